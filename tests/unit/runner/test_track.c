/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/clock.h"
#include "runner/track.h"
#include "tests/unit/runner/lib_recorder.h"

#define SEC NS_PER_SEC

struct fixture {
	struct recorder rec;
	struct track t;
	struct strvec skip;
};

static void begin(struct fixture *f, bool list_only)
{
	struct track_spec spec = {
	    .display = "x.test.lua",
	    .list_only = list_only,
	    .timeout_ns = 10 * SEC,
	    .grace_ns = 4 * SEC,
	};

	*f = (struct fixture){0};
	recorder_init(&f->rec);
	track_init(&f->t, &spec, &f->rec.sink, 0);
	track_worker_start(&f->t, &f->skip, 0);
	assert_string_equal(recorder_take(&f->rec), "file_start\n");
}

static void end(struct fixture *f)
{
	recorder_take(&f->rec);
	track_done(&f->t, 99 * SEC);
	assert_string_equal(recorder_take(&f->rec), "file_end\n");
	recorder_done(&f->rec);
	strvec_done(&f->skip);
}

static int feed(struct fixture *f, const char *line, int64_t now_ns,
		struct err *err)
{
	json_t *ev = event_decode(line, strlen(line), err);
	int r = ev ? track_event(&f->t, ev, now_ns, err) : -EBADMSG;

	json_decref(ev);
	return r;
}

static void say_at(struct fixture *f, int64_t now_ns, const char *line)
{
	struct err err = {0};

	if (feed(f, line, now_ns, &err) < 0)
		fail_msg("%s: %s", line, err.text);
}

static void say(struct fixture *f, const char *line)
{
	say_at(f, SEC, line);
}

static void refuses(struct fixture *f, const char *line, const char *why)
{
	struct err err = {0};

	assert_int_equal(feed(f, line, SEC, &err), -EBADMSG);
	assert_non_null(strstr(err.text, why));
}

static void got(struct fixture *f, const char *want)
{
	assert_string_equal(recorder_take(&f->rec), want);
}

#define PLAN_AB                                                                \
	"{\"event\":\"plan\",\"tests\":[{\"name\":\"a\",\"line\":1},"          \
	"{\"name\":\"b\",\"line\":5}]}"
#define START(t) "{\"event\":\"test_start\",\"test\":\"" t "\",\"line\":7}"
#define END(t, s)                                                              \
	"{\"event\":\"test_end\",\"test\":\"" t "\",\"status\":\"" s "\"}"
#define FILE_END "{\"event\":\"file_end\"}"

static void what_is_known_of_a_failure_is_passed_on_before_it(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	say(&f, PLAN_AB);
	say(&f, START("a"));
	say(&f, "{\"event\":\"failure_console\",\"test\":\"a\","
		"\"vm\":\"v\",\"text\":\"up\"}");
	say(&f, "{\"event\":\"failure_packets\",\"test\":\"a\","
		"\"bridge\":\"lan\",\"packets\":[]}");
	say(&f, "{\"event\":\"failure_calls\",\"test\":\"a\","
		"\"calls\":[]}");
	say(&f, END("a", "failed"));
	say(&f, END("b", "passed"));
	say(&f, FILE_END);
	track_worker_end(&f.t, NULL, SEC);
	got(&f, "plan a b\ntest_start a\nfailure_console a: up\n"
		"failure_packets a\nfailure_calls a\ntest_end a failed\n"
		"test_end b passed\n");
	end(&f);
}

static void a_good_file_is_passed_on(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	say(&f, "{\"event\":\"file_start\",\"file\":\"whatever\"}");
	say(&f, PLAN_AB);
	say(&f, START("a"));
	say(&f, "{\"event\":\"log\",\"test\":\"a\",\"text\":\"hi\"}");
	say(&f, END("a", "passed"));
	say(&f, END("b", "skipped"));
	say(&f, FILE_END);
	track_worker_end(&f.t, NULL, SEC);
	got(&f, "plan a b\ntest_start a\nlog a: hi\n"
		"test_end a passed\ntest_end b skipped\n");
	assert_int_equal(f.t.totals.passed, 1);
	assert_int_equal(f.t.totals.skipped, 1);
	assert_int_equal(f.t.totals.failed + f.t.totals.errors, 0);
	end(&f);
}

static void
a_crash_fails_the_running_test_and_wants_another_worker(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	say(&f, PLAN_AB);
	say(&f, START("a"));
	assert_true(track_worker_lost(&f.t, "died", 2 * SEC));
	got(&f, "plan a b\ntest_start a\ntest_end a failed: died\n");

	track_worker_start(&f.t, &f.skip, 3 * SEC);
	assert_int_equal(f.skip.n, 1);
	assert_string_equal(f.skip.v[0], "a");
	say(&f, PLAN_AB); /* again, and not passed on */
	say(&f, START("b"));
	say(&f, END("b", "passed"));
	say(&f, FILE_END);
	track_worker_end(&f.t, NULL, SEC);
	got(&f, "test_start b\ntest_end b passed\n");
	assert_int_equal(f.t.totals.failed, 1);
	assert_int_equal(f.t.totals.passed, 1);
	end(&f);
}

static void a_crash_in_the_last_test_wants_no_other_worker(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	say(&f, PLAN_AB);
	say(&f, END("a", "passed"));
	say(&f, START("b"));
	assert_false(track_worker_lost(&f.t, "died", SEC));
	end(&f);
}

static void a_crash_between_tests_is_retried_only_after_progress(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	say(&f, PLAN_AB);
	say(&f, END("a", "passed"));
	assert_true(track_worker_lost(&f.t, "died", SEC));
	track_worker_start(&f.t, &f.skip, SEC);
	recorder_take(&f.rec);
	assert_false(track_worker_lost(&f.t, "died", SEC));
	got(&f, "file_error: died\ntest_end b failed: not run: died\n");
	assert_int_equal(f.t.totals.errors, 1);
	assert_int_equal(f.t.totals.failed, 1);
	end(&f);
}

static void a_crash_while_loading_is_an_error_of_the_file(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	assert_false(track_worker_lost(&f.t, "died", SEC));
	got(&f, "file_error: died\n");
	assert_int_equal(f.t.totals.errors, 1);
	end(&f);
}

static void a_bad_end_is_an_error_of_the_file(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	say(&f, FILE_END);
	track_worker_end(&f.t, "died late", SEC);
	got(&f, "file_error: died late\n");
	end(&f);
}

static void no_test_gets_lost(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	say(&f, PLAN_AB);
	say(&f, START("a"));
	say(&f, FILE_END);
	track_worker_end(&f.t, NULL, SEC);
	got(&f, "plan a b\ntest_start a\n"
		"test_end a failed: the worker ended the file without ending "
		"this test\n"
		"test_end b failed: the worker did not run this test\n");
	assert_int_equal(f.t.totals.failed, 2);
	end(&f);
}

static void a_listing_misses_no_test(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, true);
	say(&f, PLAN_AB);
	say(&f, FILE_END);
	track_worker_end(&f.t, NULL, SEC);
	got(&f, "plan a b\n");
	assert_int_equal(f.t.totals.listed, 2);
	end(&f);
}

static void an_interrupt_skips_the_running_test(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	say(&f, PLAN_AB);
	say(&f, START("a"));
	track_interrupt(&f.t, "interrupted", SEC);
	got(&f, "plan a b\ntest_start a\ntest_end a skipped: interrupted\n");
	end(&f);
}

#define MARKED(name, message)                                                  \
	"{\"event\":\"marked\",\"test\":\"" name "\",\"line\":3,\"message\":"  \
	"\"" message "\",\"trace\":\"at\"}"

static void a_failure_that_is_known_is_not_lost(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	say(&f, PLAN_AB);
	say(&f, START("a"));
	say(&f, MARKED("a", "why"));
	track_interrupt(&f.t, "interrupted", SEC);
	got(&f, "plan a b\ntest_start a\ntest_end a failed: why\n");
	assert_int_equal(f.t.totals.failed, 1);
	end(&f);

	begin(&f, false);
	say(&f, PLAN_AB);
	say(&f, START("a"));
	say(&f, MARKED("a", "b\\u0000why"));
	assert_true(track_worker_lost(&f.t, "the worker died", SEC));
	got(&f, "plan a b\ntest_start a\ntest_end a failed: b\n");
	end(&f);

	begin(&f, false);
	say(&f, PLAN_AB);
	say(&f, START("a"));
	say(&f, MARKED("a", "why"));
	track_late(&f.t, "the file took longer", SEC);
	got(&f, "plan a b\ntest_start a\n"
		"test_end a failed: why\n(then the file took longer)\n"
		"test_end b failed: not run: the file took longer\n");
	end(&f);
}

#define ATTEMPT(name, n, message)                                              \
	"{\"event\":\"test_attempt\",\"test\":\"" name "\",\"line\":3,"        \
	"\"attempt\":" #n ",\"duration\":1,\"message\":\"" message "\"}"

/* It would have been tried again; what is known of it is that it failed. */
static void an_interrupt_tells_an_attempt_that_failed(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	say(&f, PLAN_AB);
	say(&f, START("a"));
	say(&f, ATTEMPT("a", 1, "why"));
	say(&f, ATTEMPT("a", 2, "and why"));
	track_interrupt(&f.t, "interrupted", SEC);
	got(&f, "plan a b\ntest_start a\ntest_attempt a: why\n"
		"test_attempt a: and why\ntest_end a failed: and why\n"
		"(then in attempt 3: interrupted)\n");
	assert_int_equal(f.t.totals.failed, 1);
	assert_int_equal(f.t.totals.skipped, 0);
	end(&f);

	/* Of the test that runs, and of no other. */
	begin(&f, false);
	say(&f, PLAN_AB);
	refuses(&f, ATTEMPT("a", 1, "why"), "which does not run");
	say(&f, START("a"));
	say(&f, ATTEMPT("a", 1, "why"));
	say(&f, END("a", "passed"));
	say(&f, START("b"));
	track_interrupt(&f.t, "interrupted", SEC);
	got(&f, "plan a b\ntest_start a\ntest_attempt a: why\n"
		"test_end a passed\ntest_start b\n"
		"test_end b skipped: interrupted\n");
	end(&f);
}

static void a_mark_is_of_its_test_alone(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	say(&f, PLAN_AB);
	refuses(&f, MARKED("a", "why"), "which does not run");
	say(&f, START("a"));
	refuses(&f, MARKED("b", "why"), "which does not run");
	say(&f, MARKED("a", "why"));
	/* It was taken off. */
	say(&f, "{\"event\":\"marked\",\"test\":\"a\"}");
	say(&f, END("a", "passed"));
	say(&f, START("b"));
	say(&f, MARKED("b", "why"));
	say(&f, END("b", "failed"));
	say(&f, FILE_END);
	track_worker_end(&f.t, NULL, SEC);
	got(&f, "plan a b\ntest_start a\ntest_end a passed\n"
		"test_start b\ntest_end b failed\n");
	end(&f);
}

/* Whoever tells of it: a worker, or what became of one. */
static void a_failure_of_a_shuffled_run_says_how_to_repeat_it(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	f.t.spec.repeat = "run x";
	say(&f, PLAN_AB);
	say(&f, START("a"));
	say(&f, END("a", "failed"));
	got(&f, "plan a b\ntest_start a\ntest_end a failed: run x\n");
	say(&f, START("b"));
	track_worker_lost(&f.t, "it died", SEC);
	got(&f, "test_start b\ntest_end b failed: it died: run x\n");
	say(&f, "{\"event\":\"file_error\",\"message\":\"no\"}");
	track_file_error(&f.t, "no");
	got(&f, "file_error: no: run x\nfile_error: no: run x\n");
	end(&f);
	begin(&f, false);
	f.t.spec.repeat = "run x";
	say(&f, PLAN_AB);
	say(&f, START("a"));
	say(&f, END("a", "passed"));
	got(&f, "plan a b\ntest_start a\ntest_end a passed\n");
	end(&f);
}

static void output_belongs_to_the_running_test(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	track_output(&f.t, "one", 3);
	say(&f, START("a"));
	track_output(&f.t, "t\xffo", 3);
	got(&f, "output: one\ntest_start a\noutput a: t\xef\xbf\xbdo\n");
	end(&f);
}

static void deadlines_follow_the_worker(void **state)
{
	struct fixture f;
	int64_t grace = 4 * SEC;

	(void)state;
	begin(&f, false);
	assert_true(f.t.deadline_ns == 10 * SEC + grace);
	say_at(&f, 2 * SEC, "{\"event\":\"file_start\",\"timeout\":20}");
	assert_true(f.t.deadline_ns == 22 * SEC + grace);
	say_at(&f, 3 * SEC, PLAN_AB);
	assert_true(f.t.deadline_ns == 13 * SEC + grace);
	say_at(&f, 4 * SEC,
	       "{\"event\":\"test_start\",\"test\":\"a\",\"timeout\":0.5}");
	assert_true(f.t.deadline_ns == 4 * SEC + SEC / 2 + grace);
	/* What it says does not keep a test alive. */
	say_at(&f, 5 * SEC, "{\"event\":\"log\",\"text\":\"x\"}");
	assert_true(f.t.deadline_ns == 4 * SEC + SEC / 2 + grace);
	say_at(&f, 6 * SEC, END("a", "passed"));
	assert_true(f.t.deadline_ns == 16 * SEC + grace);
	say_at(&f, 6 * SEC,
	       "{\"event\":\"test_start\",\"test\":\"b\",\"timeout\":1e300}");
	assert_true(f.t.deadline_ns == CLOCK_NEVER);
	end(&f);
}

static void nonsense_is_refused(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, false);
	refuses(&f, "hello", "not an event");
	refuses(&f, "{\"event\":\"run_end\"}", "not expected");
	refuses(&f, "{\"event\":\"plan\"}", "a plan without tests");
	refuses(&f, "{\"event\":\"test_start\"}", "without a test");
	refuses(&f, "{\"event\":\"test_end\",\"test\":5}", "without a test");
	refuses(&f, END("a", "great"), "no valid status");
	say(&f, START("a"));
	refuses(&f, START("b"), "while 'a' runs");
	say(&f, END("a", "passed"));
	refuses(&f, START("a"), "started again");
	refuses(&f, END("a", "passed"), "ended twice");
	say(&f, FILE_END);
	refuses(&f, START("c"), "not expected");
	got(&f, "test_start a\ntest_end a passed\n");
	end(&f);
}

int main(void)
{
#define UNIT cmocka_unit_test
	static const struct CMUnitTest tests[] = {
	    UNIT(a_good_file_is_passed_on),
	    UNIT(what_is_known_of_a_failure_is_passed_on_before_it),
	    UNIT(a_crash_fails_the_running_test_and_wants_another_worker),
	    UNIT(a_crash_in_the_last_test_wants_no_other_worker),
	    UNIT(a_crash_between_tests_is_retried_only_after_progress),
	    UNIT(a_crash_while_loading_is_an_error_of_the_file),
	    UNIT(a_bad_end_is_an_error_of_the_file),
	    UNIT(no_test_gets_lost),
	    UNIT(a_listing_misses_no_test),
	    UNIT(an_interrupt_skips_the_running_test),
	    UNIT(an_interrupt_tells_an_attempt_that_failed),
	    UNIT(a_failure_that_is_known_is_not_lost),
	    UNIT(a_mark_is_of_its_test_alone),
	    UNIT(output_belongs_to_the_running_test),
	    UNIT(a_failure_of_a_shuffled_run_says_how_to_repeat_it),
	    UNIT(deadlines_follow_the_worker),
	    UNIT(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
