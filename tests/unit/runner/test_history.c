/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "runner/history.h"
#include "runner/rundir.h"
#include "tests/unit/tmp.h"

struct fixture {
	char dir[TMP_PATH_MAX];
	char *path;
	struct test_file v[2];
	struct test_files files;
};

static int set_up(void **state)
{
	static struct fixture f;

	tmp_template(f.dir);
	assert_non_null(mkdtemp(f.dir));
	f.path = mem_printf("%s/sub/history", f.dir);
	f.v[0].path = mem_strdup("/base/t/a.test.lua");
	f.v[0].display = mem_strdup("t/a.test.lua");
	f.v[1].path = mem_strdup("/else/b.test.lua");
	f.v[1].display = mem_strdup("../b.test.lua");
	f.files = (struct test_files){f.v, 2};
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	rundir_remove(f->dir);
	free(f->path);
	for (int i = 0; i < 2; i++) {
		free(f->v[i].path);
		free(f->v[i].display);
	}
	return 0;
}

static struct history *open_it(struct fixture *f)
{
	struct err err = {0};
	struct history *h = history_open(f->path, "/base", &err);

	if (!h)
		fail_msg("%s", err.text);
	return h;
}

/* A run that says these events, in lines; the history after it. */
static struct history *after(struct fixture *f, bool is_whole, const char *said)
{
	struct history *h = open_it(f);
	struct event_sink *sink = history_sink(h, &f->files, is_whole);
	struct err err = {0};
	const char *nl;

	for (; *said; said = nl + 1) {
		nl = strchr(said, '\n');
		json_t *ev = json_loadb(said, (size_t)(nl - said), 0, NULL);

		assert_non_null(ev);
		sink->event(sink, ev);
		json_decref(ev);
	}
	if (history_save(h, &err) < 0)
		fail_msg("%s", err.text);
	history_free(h);
	return open_it(f);
}

#define A	       "\"file\":\"t/a.test.lua\""
#define B	       "\"file\":\"../b.test.lua\""
#define PLAN(f, tests) "{\"event\":\"plan\"," f ",\"tests\":[" tests "]}\n"
#define T(name)	       "{\"name\":\"" name "\"}"
#define END(f, name, status)                                                   \
	"{\"event\":\"test_end\"," f ",\"test\":\"" name                       \
	"\",\"status\":\"" status "\"}\n"
#define OVER(f, s) "{\"event\":\"file_end\"," f ",\"duration\":" s "}\n"
#define BROKEN(f)  "{\"event\":\"file_error\"," f ",\"message\":\"no\"}\n"

/* The rules that run again what failed; frees the history. */
static void reruns(struct fixture *f, struct history *h, const char *want)
{
	CLEANUP(strvec_done) struct strvec rules = {0};
	CLEANUP(buf_done) struct buf have = {0};

	for (size_t i = 0; i < f->files.n; i++)
		history_add_reruns(h, &f->v[i], &rules);
	for (size_t i = 0; i < rules.n; i++)
		buf_printf(&have, "%s;", rules.v[i]);
	buf_append(&have, "", 1);
	assert_string_equal((char *)buf_data(&have), want);
	history_free(h);
}

static void times_and_serial_tests_are_known_of_whole_runs(void **state)
{
	struct fixture *f = *state;
	struct history *h = open_it(f);

	assert_int_equal(history_hint(h, &f->v[0]).duration_ns, 0);
	history_free(h);
	h = after(f, true,
		  PLAN(A, "{\"name\":\"x\",\"serial\":true}") OVER(A, "1.5"));
	assert_int_equal(history_hint(h, &f->v[0]).duration_ns,
			 1500 * NS_PER_MS);
	assert_true(history_hint(h, &f->v[0]).is_serial);
	assert_false(history_hint(h, &f->v[0]).has_failed);
	assert_int_equal(history_hint(h, &f->v[1]).duration_ns, 0);
	history_free(h);
	/* A part of a file tells neither. */
	h = after(f, false, PLAN(A, T("y")) OVER(A, "0.1"));
	assert_int_equal(history_hint(h, &f->v[0]).duration_ns,
			 1500 * NS_PER_MS);
	assert_true(history_hint(h, &f->v[0]).is_serial);
	history_free(h);
	h = after(f, true, PLAN(A, T("x")) OVER(A, "2"));
	assert_false(history_hint(h, &f->v[0]).is_serial);
	history_free(h);
}

static void what_failed_is_run_again_until_it_passes(void **state)
{
	struct fixture *f = *state;

	reruns(f,
	       after(f, true,
		     PLAN(A, T("x") "," T("y")) END(A, "x", "failed")
			 END(A, "y", "failed") PLAN(B, T("z"))
			     END(B, "z", "passed")),
	       "rerun=/base/t/a.test.lua\nx;rerun=/base/t/a.test.lua\ny;");
	/* What is not run stays as it was. */
	reruns(f, after(f, false, PLAN(A, T("x")) END(A, "x", "passed")),
	       "rerun=/base/t/a.test.lua\ny;");
	reruns(f, after(f, false, PLAN(A, T("y")) END(A, "y", "skipped")),
	       "rerun=/base/t/a.test.lua\ny;");
	/* A test that is no more is forgotten. */
	reruns(f, after(f, true, PLAN(A, T("x")) END(A, "x", "passed")), "");
}

static void once_failed_in_a_run_is_failed(void **state)
{
	struct fixture *f = *state;

	reruns(f,
	       after(f, true,
		     PLAN(A, T("x")) END(A, "x", "failed") PLAN(A, T("x"))
			 END(A, "x", "passed")),
	       "rerun=/base/t/a.test.lua\nx;");
}

static void of_a_broken_file_all_is_run_again(void **state)
{
	struct fixture *f = *state;

	reruns(f, after(f, true, BROKEN(B)), "rerun=/else/b.test.lua\n;");
	reruns(f, after(f, true, PLAN(B, T("z")) END(B, "z", "passed")), "");
}

static void two_runs_at_a_time_keep_each_others(void **state)
{
	struct fixture *f = *state;
	struct history *early = open_it(f);
	struct event_sink *sink = history_sink(early, &f->files, true);
	json_t *ev =
	    json_loads(END(A, "x", "failed"), JSON_DISABLE_EOF_CHECK, NULL);
	struct err err = {0};

	history_free(after(f, true, PLAN(B, T("z")) END(B, "z", "failed")));
	sink->event(sink, ev);
	json_decref(ev);
	assert_int_equal(history_save(early, &err), 0);
	history_free(early);
	reruns(f, open_it(f),
	       "rerun=/base/t/a.test.lua\nx;rerun=/else/b.test.lua\nz;");
}

static void nowhere_is_nothing_remembered(void **state)
{
	struct fixture *f = *state;
	struct err err = {0};
	struct history *h = history_open(NULL, "/base", &err);
	struct event_sink *sink = history_sink(h, &f->files, true);
	json_t *ev =
	    json_loads(END(A, "x", "failed"), JSON_DISABLE_EOF_CHECK, NULL);

	sink->event(sink, ev);
	json_decref(ev);
	assert_int_equal(history_save(h, &err), 0);
	reruns(f, h, "");
}

static void what_is_no_history_is_refused_and_kept(void **state)
{
	static const char *const bad[] = {"", "[]", "{\"version\":2}",
					  "{\"version\":1,\"files\":[]}",
					  "\177ELF"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(free_ptr) char *path = mem_printf("%s/bad", f->dir);
		FILE *out = fopen(path, "we");
		struct err err = {0};

		fputs(bad[i], out);
		fclose(out);
		assert_null(history_open(path, "/base", &err));
		assert_non_null(strstr(err.text, path));
		assert_non_null(strstr(err.text, "is no history of provium"));
	}
}

static void records_of_another_shape_do_no_harm(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) char *dir = mem_printf("%s/sub", f->dir);
	FILE *out;

	mkdir(dir, 0700);
	out = fopen(f->path, "we");
	fputs("{\"version\":1,\"files\":{\"t/a.test.lua\":{\"seconds\":\"x\","
	      "\"failed\":[1,null,\"y\"],\"broken\":3},"
	      "\"/else/b.test.lua\":7}}",
	      out);
	fclose(out);
	reruns(f, open_it(f), "rerun=/base/t/a.test.lua\ny;");
	history_free(after(f, true, PLAN(B, T("z")) END(B, "z", "failed")));
	reruns(f, open_it(f),
	       "rerun=/base/t/a.test.lua\ny;rerun=/else/b.test.lua\nz;");
}

static void a_history_that_cannot_be_written_is_told(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) char *path = mem_printf("%s/file/history", f->dir);
	CLEANUP(free_ptr) char *in_way = mem_printf("%s/file", f->dir);
	struct err err = {0};
	struct history *h = history_open(path, "/base", &err);
	struct event_sink *sink = history_sink(h, &f->files, true);
	json_t *ev =
	    json_loads(END(A, "x", "failed"), JSON_DISABLE_EOF_CHECK, NULL);

	fclose(fopen(in_way, "we"));
	sink->event(sink, ev);
	json_decref(ev);
	assert_true(history_save(h, &err) < 0);
	assert_non_null(strstr(err.text, in_way));
	history_free(h);
}

/* The default place is by the base, and what is of a base that is gone goes
 * with the first run of another. */
static void histories_of_what_is_gone_are_removed(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) char *gone = mem_printf("%s/a%%b/c", f->dir);
	CLEANUP(free_ptr) char *old = history_path(f->dir, gone);
	CLEANUP(free_ptr) char *kept = history_path(f->dir, f->dir);
	char long_base[1000];
	struct fixture at = *f;

	memset(long_base, 'x', sizeof(long_base) - 1);
	long_base[0] = '/';
	long_base[sizeof(long_base) - 1] = '\0';
	CLEANUP(free_ptr) char *cut = history_path(f->dir, long_base);
	long_base[500] = 'y';
	CLEANUP(free_ptr) char *other = history_path(f->dir, long_base);
	assert_string_not_equal(cut, other);
	for (int i = 0; i < 3; i++) {
		at.path = i == 0 ? old : i == 1 ? cut : kept;
		history_free(
		    after(&at, true, PLAN(A, T("x")) END(A, "x", "failed")));
		assert_int_equal(access(at.path, F_OK), 0);
	}
	assert_int_equal(access(old, F_OK), -1);
	assert_int_equal(access(cut, F_OK), 0);
}

#define F(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    F(times_and_serial_tests_are_known_of_whole_runs),
	    F(what_failed_is_run_again_until_it_passes),
	    F(once_failed_in_a_run_is_failed),
	    F(of_a_broken_file_all_is_run_again),
	    F(two_runs_at_a_time_keep_each_others),
	    F(nowhere_is_nothing_remembered),
	    F(what_is_no_history_is_refused_and_kept),
	    F(records_of_another_shape_do_no_harm),
	    F(a_history_that_cannot_be_written_is_told),
	    F(histories_of_what_is_gone_are_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
