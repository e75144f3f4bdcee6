/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "runner/prompt.h"

struct fixture {
	struct loop *loop;
	struct prompt *p;
	int in[2];
	FILE *out;
	char *text; /* of out */
	size_t n_text;
	char *line; /* the last one */
	int n;	    /* lines, or ends, that came */
};

static void on_line(void *ctx, const char *line)
{
	struct fixture *f = ctx;

	free(f->line);
	f->line = line ? mem_strdup(line) : NULL;
	f->n++;
}

static void begin(struct fixture *f, int fd)
{
	struct err err;

	*f = (struct fixture){.in = {-1, -1}};
	f->loop = loop_new(&err);
	if (fd < 0)
		assert_int_equal(pipe2(f->in, O_CLOEXEC), 0);
	f->out = open_memstream(&f->text, &f->n_text);
	f->p = prompt_new(f->loop, fd < 0 ? f->in[0] : fd, f->out);
}

static void end(struct fixture *f)
{
	prompt_free(f->p);
	fclose(f->out);
	free(f->text);
	free(f->line);
	fd_closep(&f->in[0]);
	fd_closep(&f->in[1]);
	loop_free(f->loop);
}

static void put(struct fixture *f, const char *s)
{
	assert_int_equal(write(f->in[1], s, strlen(s)), strlen(s));
}

/* Asks, and waits for the answer; NULL for the end. */
static const char *ask(struct fixture *f)
{
	int n = f->n;

	prompt_ask(f->p, on_line, f);
	while (f->n == n)
		loop_turn(f->loop);
	return f->line;
}

static void lines_come_one_at_a_time(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, -1);
	put(&f, "one\n\nthree\nfo");
	assert_string_equal(ask(&f), "one");
	assert_string_equal(ask(&f), "");
	assert_string_equal(ask(&f), "three");
	assert_string_equal(f.text, "provium> provium> provium> ");
	prompt_ask(f.p, on_line, &f);
	for (int i = 0; i < 5; i++)
		loop_poll(f.loop);
	assert_int_equal(f.n, 3);
	put(&f, "ur\nlast");
	while (f.n == 3)
		loop_turn(f.loop);
	assert_string_equal(f.line, "four");
	fd_closep(&f.in[1]);
	/* What has no newline is a line all the same. */
	assert_string_equal(ask(&f), "last");
	assert_null(ask(&f));
	assert_null(ask(&f));
	end(&f);
}

static void files_and_null_are_read_too(void **state)
{
	char path[] = "/tmp/provium-prompt-XXXXXX";
	int fd = mkstemp(path);
	struct fixture f;

	(void)state;
	unlink(path);
	assert_int_equal(write(fd, "a\nb", 3), 3);
	lseek(fd, 0, SEEK_SET);
	begin(&f, fd);
	assert_string_equal(ask(&f), "a");
	assert_string_equal(ask(&f), "b");
	assert_null(ask(&f));
	end(&f);
	close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	begin(&f, fd);
	assert_null(ask(&f));
	end(&f);
	close(fd);
}

static void who_has_gone_gets_nothing(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, -1);
	prompt_ask(f.p, on_line, &f);
	prompt_cancel(f.p);
	put(&f, "late\n");
	for (int i = 0; i < 5; i++)
		loop_poll(f.loop);
	assert_int_equal(f.n, 0);
	assert_string_equal(ask(&f), "late");
	end(&f);
}

static void a_line_without_end_is_cut(void **state)
{
	struct fixture f;
	FILE *tmp = tmpfile();

	(void)state;
	for (unsigned i = 0; i < PROMPT_LINE_MAX + 10; i++)
		fputc('x', tmp);
	fflush(tmp);
	rewind(tmp);
	begin(&f, fileno(tmp));
	assert_in_range(strlen(ask(&f)), PROMPT_LINE_MAX, PROMPT_LINE_MAX + 10);
	end(&f);
	fclose(tmp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_come_one_at_a_time),
	    cmocka_unit_test(files_and_null_are_read_too),
	    cmocka_unit_test(who_has_gone_gets_nothing),
	    cmocka_unit_test(a_line_without_end_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
