/* SPDX-License-Identifier: MIT */
/* A worker seen from its parent, where run.c is not needed to see it. */
#include "runner/worker_proc.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/job.h"
#include "tests/unit/runner/lib_fake_worker.h"
#include "tests/unit/tmp.h"

struct probe {
	unsigned events;
	unsigned outputs;
	bool has_ended;
	int status;
	char last[16];	 /* of the output */
	char order[256]; /* "text " or "bytes* " an output, "! " an event */
};

static void append(struct probe *p, size_t n, const char *text)
{
	size_t at = strlen(p->order);

	if (n > 16)
		snprintf(p->order + at, sizeof(p->order) - at, "%zu* ", n);
	else
		snprintf(p->order + at, sizeof(p->order) - at, "%.*s ", (int)n,
			 text);
}

static void on_event(void *ctx, const char *line, size_t n)
{
	struct probe *p = ctx;

	(void)line;
	(void)n;
	assert_false(p->has_ended);
	p->events++;
	append(p, 1, "!");
}

static void on_output(void *ctx, const char *line, size_t n)
{
	struct probe *p = ctx;

	assert_false(p->has_ended);
	p->outputs++;
	snprintf(p->last, sizeof(p->last), "%.*s", (int)n, line);
	append(p, n, line);
}

static void on_nothing(void *ctx)
{
	assert_false(((struct probe *)ctx)->has_ended);
}

static void on_deaf(void *ctx, int code)
{
	(void)ctx;
	fail_msg("cannot read: %s", strerror(code));
}

static void on_exited(void *ctx, int status)
{
	struct probe *p = ctx;

	assert_false(p->has_ended);
	p->has_ended = true;
	p->status = status;
}

static const struct worker_proc_ops ops = {
    .event = on_event,
    .output = on_output,
    .overlong = on_nothing,
    .hangup = on_nothing,
    .deaf = on_deaf,
    .exited = on_exited,
};

/* A file with the script; the path is owned. */
static char *write_script(const struct buf *script)
{
	char *path = mem_alloc(TMP_PATH_MAX);

	tmp_template(path);
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, buf_data(script), script->len), script->len);
	close(fd);
	return path;
}

static int do_script(void *ctx, int fd)
{
	return fake_worker(NULL, ctx, fd);
}

/* Runs the script to its end; with looks_late, looks only when it has ended.
 * mark may be NULL. */
static void run_script(const struct buf *script, const struct output_mark *mark,
		       bool looks_late, struct probe *p)
{
	CLEANUP(free_ptr) char *file = write_script(script);
	struct job job = {.file = file, .run_dir = "", .mark = mark};
	struct err err = {0};
	struct loop *l = loop_new(&err);
	siginfo_t info;

	struct worker_proc *w =
	    worker_proc_new(l, do_script, &job, mark, &ops, p, &err);
	assert_non_null(w);
	if (looks_late)
		assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
	while (!p->has_ended)
		loop_turn(l);
	worker_proc_free(w);
	loop_free(l);
	unlink(file);
}

/* Nobody looks before the worker is gone: events of more than one read, and
 * output whose last line does not end. */
static void all_that_was_said_comes_before_the_exit(void **state)
{
	enum { EVENTS = 25 }; /* what a socket holds, and more than a read */
	CLEANUP(buf_done) struct buf script = {0};
	struct probe p = {0};
	char filler[3500];

	(void)state;
	memset(filler, 'x', sizeof(filler));
	for (int i = 0; i < EVENTS; i++)
		buf_printf(&script, "emit %.*s\n", (int)sizeof(filler), filler);
	buf_printf(&script, "print one\npart two\nexit 3\n");
	run_script(&script, NULL, true, &p);
	assert_true(WIFEXITED(p.status));
	assert_int_equal(WEXITSTATUS(p.status), 3);
	assert_int_equal(p.events, EVENTS);
	assert_int_equal(p.outputs, 2);
	assert_string_equal(p.last, "two");
}

/* Runs the script with marks, and expects that order. */
static void keeps_order(const char *text, bool looks_late, const char *want)
{
	CLEANUP(buf_done) struct buf script = {0};
	struct probe p = {0};
	struct output_mark mark;

	output_mark_init(&mark);
	buf_printf(&script, "%s", text);
	run_script(&script, &mark, looks_late, &p);
	assert_string_equal(p.order, want);
}

static void output_stands_where_it_was_printed(void **state)
{
	static const char script[] = "print a\nemit x\nprint b\nprint c\n"
				     "emit y\nemit z\npart d\nemit u\n"
				     "print e\npart f\nexit 0\n";
	static const char want[] = "a ! b c ! ! d ! e f ";

	(void)state;
	keeps_order(script, true, want);
	keeps_order(script, false, want);
	/* Slower than who looks. */
	keeps_order("print a\nnap 20\nemit x\nprint b\nnap 20\nemit y\n"
		    "nap 20\nprint c\nexit 0\n",
		    false, "a ! b ! c ");
}

/* A line that may be longer than is shown, with an event before it ends. */
static void a_mark_is_found_behind_a_line_without_end(void **state)
{
	(void)state;
	for (int n = WORKER_OUTPUT_LINE - 60; n < WORKER_OUTPUT_LINE + 120;
	     n += 7) {
		CLEANUP(buf_done) struct buf script = {0};
		CLEANUP(free_ptr)
		char *want =
		    mem_printf("%d* ! b ",
			       n < WORKER_OUTPUT_LINE ? n : WORKER_OUTPUT_LINE);

		for (int i = 0; i < n; i++)
			buf_printf(&script, i % 2000 ? "y" : "\npart y");
		buf_printf(&script, "\nemit x\nprint b\nexit 0\n");
		buf_append(&script, "", 1);
		keeps_order((char *)buf_data(&script) + 1, true, want);
		keeps_order((char *)buf_data(&script) + 1, false, want);
	}
}

static void a_mark_that_is_lost_holds_up_nothing(void **state)
{
	(void)state;
	keeps_order("raw x\nprint a\nraw y\nexit 0\n", true, "a ! ! ");
	keeps_order("raw x\nprint a\nemit y\nprint b\nexit 0\n", true,
		    "a ! ! b ");
}

/* It may be asked before it has set anything up. */
static void a_worker_can_be_asked_from_its_first_moment(void **state)
{
	CLEANUP(buf_done) struct buf script = {0};
	struct err err = {0};
	sigset_t asked, before;

	(void)state;
	buf_printf(&script, "exit 3\n");
	CLEANUP(free_ptr) char *file = write_script(&script);
	struct job job = {.file = file, .run_dir = ""};
	struct loop *l = loop_new(&err);
	/* As a run does, which has a signalfd for it. */
	sigemptyset(&asked);
	sigaddset(&asked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &asked, &before);
	for (int i = 0; i < 50; i++) {
		struct probe p = {0};
		struct worker_proc *w = worker_proc_new(
		    l, do_script, &job, job.mark, &ops, &p, &err);

		assert_non_null(w);
		worker_proc_ask_state(w);
		while (!p.has_ended)
			loop_turn(l);
		worker_proc_free(w);
		assert_true(WIFEXITED(p.status));
		assert_int_equal(WEXITSTATUS(p.status), 3);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	loop_free(l);
	unlink(file);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_that_was_said_comes_before_the_exit),
	    cmocka_unit_test(output_stands_where_it_was_printed),
	    cmocka_unit_test(a_mark_is_found_behind_a_line_without_end),
	    cmocka_unit_test(a_mark_that_is_lost_holds_up_nothing),
	    cmocka_unit_test(a_worker_can_be_asked_from_its_first_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
