/* SPDX-License-Identifier: MIT */
/* Files that share a run: the pool, serial files, limits of time. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/clock.h"
#include "runner/run.h"
#include "runner/rundir.h"
#include "tests/unit/runner/lib_runs.h"

#define M "000000" /* of bytes, in an event */

/* The fake workers ask for what these have: 1000M. */
static int set_up(void **state)
{
	struct runs *f;

	runs_set_up(state);
	f = *state;
	f->opts.pressure = f->dir;
	f->opts.wish = (struct budget_wish){
	    .memory = 1000 * 1000 * 1000,
	    .cpus = 4,
	};
	return 0;
}

static unsigned count(const char *text, const char *line)
{
	unsigned n = 0;

	for (; (text = strstr(text, line)); text++)
		n++;
	return n;
}

#define PLAN                                                                   \
	"emit {\"event\":\"plan\",\"tests\":[{\"name\":\"a\",\"line\":3}]}\n"
#define START "emit {\"event\":\"test_start\",\"test\":\"a\"}\n"
#define START_SOON                                                             \
	"emit {\"event\":\"test_start\",\"test\":\"a\",\"timeout\":2}\n"
#define PASS                                                                   \
	"emit {\"event\":\"test_end\",\"test\":\"a\",\"status\":\"passed\"}\n"
#define FILE_END  "emit {\"event\":\"file_end\"}\n"
#define GOOD_REST START PASS FILE_END
#define GOOD	  PLAN GOOD_REST
#define GOOD_EVENTS                                                            \
	"file_start\nplan a\ntest_start a\ntest_end a passed\nfile_end\n"
#define ASK(id, memory)                                                        \
	"emit {\"event\":\"ask\",\"kind\":\"vms\",\"id\":" #id                 \
	",\"memory\":" memory ",\"cpus\":1,\"what\":\"x\",\"place\":\"p:" #id  \
	"\"}\n"
#define BACK(memory)                                                           \
	"emit {\"event\":\"give_back\",\"memory\":" memory ",\"cpus\":1}\n"
#define PARKED "emit {\"event\":\"parked\",\"asks\":1}\n"
#define DEFER                                                                  \
	"@emit {\"event\":\"deferred\"}\n@emit {\"event\":\"file_end\"}\n"     \
	"@exit 0\n"

/* --- the pool -------------------------------------------------------------*/

static void an_ask_is_answered(void **state)
{
	struct runs *f = *state;

	runs_add(f, ASK(1, "800" M) "answer {\"answer\":1}\n" BACK("800" M)
			ASK(2, "900" M) "answer {\"answer\":2}\n" GOOD);
	assert_string_equal(runs_go(f), "run_start\n" GOOD_EVENTS "run_end\n");
	/* Given, back, given, back with the worker. */
	assert_true(f->rec.n_pool >= 3);
}

static void the_impossible_is_answered_with_the_flag(void **state)
{
	struct runs *f = *state;

	runs_add(f, ASK(1, "2000" M) "answer --mem\n" GOOD);
	assert_string_equal(runs_go(f), "run_start\n" GOOD_EVENTS "run_end\n");
}

static void a_worker_that_ends_makes_room(void **state)
{
	struct runs *f = *state;

	f->opts.jobs = 3;
	for (int i = 0; i < 3; i++)
		runs_add(f, ASK(1, "800" M) "answer :1\n" GOOD);
	runs_go(f);
	assert_int_equal(f->result.totals.passed, 3);
	assert_int_equal(f->result.totals.errors, 0);
}

static void a_worker_that_dies_makes_room(void **state)
{
	struct runs *f = *state;

	f->opts.jobs = 2;
	for (int i = 0; i < 2; i++)
		runs_add(f, ASK(1, "800" M) "answer :1\n" PLAN START "die 9\n");
	runs_go(f);
	assert_int_equal(f->result.totals.failed, 2);
	assert_int_equal(f->result.totals.errors, 0);
}

static void a_file_that_waits_for_itself_is_refused(void **state)
{
	struct runs *f = *state;

	runs_add(f, ASK(1, "600" M) "answer :1\n" PLAN START ASK(2, "600" M)
			PARKED "answer and holds\n" PASS FILE_END);
	runs_go(f);
	assert_int_equal(f->result.totals.passed, 1);
}

/* Whichever is refused: both go on, and nothing hangs. */
static void a_deadlock_is_broken(void **state)
{
	static const char script[] =
	    ASK(1, "400" M) "answer :1\n" ASK(2, "550" M) PARKED
	    "answer :2\n" GOOD;
	struct runs *f = *state;

	f->opts.jobs = 2;
	runs_add(f, script);
	runs_add(f, script);
	runs_go(f);
	assert_int_equal(f->result.totals.passed, 2);
}

static void nonsense_about_the_pool_ends_the_worker(void **state)
{
	static const char *const bad[] = {
	    "emit {\"event\":\"ask\"}\n",
	    "emit {\"event\":\"ask\",\"id\":-1,\"kind\":\"vms\",\"memory\":1,"
	    "\"cpus\":1,\"what\":\"x\",\"place\":\"y\"}\n",
	    "emit {\"event\":\"withdraw\",\"id\":\"x\"}\n",
	    "emit {\"event\":\"parked\"}\n",
	    BACK("1"),
	    ASK(1, "2000" M) ASK(2, "800" M) ASK(2, "900" M) ASK(2, "900" M),
	};
	struct runs *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *script = mem_printf("%shang\n", bad[i]);

		f->files.n = 0;
		runs_add(f, script);
		assert_int_equal(
		    count(runs_go(f), "file_error: the worker sent"), 1);
		free(f->v[0].path);
		free(f->v[0].display);
		free(script);
	}
	f->files.n = 0;
}

static void under_pressure_files_run_one_by_one(void **state)
{
	struct runs *f = *state;

	runs_put(f, "memory",
		 "some avg10=50.00 avg60=0.00 avg300=0.00 total=0\n");
	f->opts.jobs = 3;
	for (int i = 0; i < 3; i++)
		runs_add(f, ASK(1, "800" M) "answer :1\n" GOOD);
	assert_string_equal(runs_go(f),
			    "run_start\n" GOOD_EVENTS GOOD_EVENTS GOOD_EVENTS
			    "run_end\n");
}

/* The host may stay busy by what others do: files that need each other still
 * meet. */
static void pressure_that_stays_delays_a_file_a_while(void **state)
{
	struct runs *f = *state;
	char *a = mem_printf("pid %s/a\nawait %s/b\n" GOOD, f->dir, f->dir);
	char *b = mem_printf("pid %s/b\nawait %s/a\n" GOOD, f->dir, f->dir);

	runs_put(f, "cpu",
		 "some avg10=99.00 avg60=99.00 avg300=99.00 total=0\n");
	f->opts.jobs = 2;
	runs_add(f, a);
	runs_add(f, b);
	runs_go(f);
	assert_int_equal(f->result.totals.passed, 2);
	free(a);
	free(b);
}

/* --- serial ---------------------------------------------------------------*/

static void a_file_that_wants_to_be_alone_is_run_again(void **state)
{
	struct runs *f = *state;
	const char *text;

	f->opts.jobs = 2;
	runs_add(f, "print early\n" DEFER GOOD);
	runs_add(f, GOOD);
	text = runs_go(f);
	assert_int_equal(f->result.totals.passed, 2);
	assert_int_equal(f->result.files_run, 2);
	assert_int_equal(count(text, "file_start"), 2);
	assert_int_equal(count(text, "output: early"), 1);
	assert_int_equal(count(text, "plan a"), 2);
}

static void one_that_is_known_to_be_serial_is_run_once(void **state)
{
	struct runs *f = *state;

	f->opts.jobs = 2;
	/* It would end, if it were not alone. */
	runs_add(f, "@die 9\n" GOOD)->is_serial = true;
	runs_add(f, GOOD);
	assert_string_equal(runs_go(f),
			    "run_start\n" GOOD_EVENTS GOOD_EVENTS "run_end\n");
}

static void one_that_is_alone_has_nothing_to_wait_for(void **state)
{
	struct runs *f = *state;

	runs_add(f, "emit {\"event\":\"deferred\"}\nhang\n");
	assert_int_equal(
	    count(runs_go(f), "the worker sent an event that was not expected"),
	    1);
}

static void one_that_dies_before_its_plan_is_told_of(void **state)
{
	struct runs *f = *state;

	f->opts.jobs = 2;
	runs_add(f, "print early\ndie 6\n");
	runs_add(f, "print early\ndie 6\n");
	assert_int_equal(count(runs_go(f), "file_error: the worker died"), 2);
	assert_int_equal(f->result.totals.errors, 2);
}

/* --- time -----------------------------------------------------------------*/

static void a_slow_test_is_told_of(void **state)
{
	struct runs *f = *state;
	const char *text;

	f->opts.slow_ns = 10 * NS_PER_MS;
	f->opts.grace_ns = 10 * NS_PER_MS;
	runs_add(f, PLAN START_SOON "hang\n");
	text = runs_go(f);
	assert_true(count(text, "slow a\n") >= 1);
	assert_true(strstr(text, "slow a\n") < strstr(text, "test_end a"));
	assert_int_equal(f->result.totals.failed, 1);
}

static void what_a_test_waits_for_is_passed_on(void **state)
{
	struct runs *f = *state;

	runs_add(f, PLAN START
		 "emit {\"event\":\"waiting\",\"calls\":[]}\n" PASS FILE_END);
	assert_string_equal(
	    runs_go(f), "run_start\nfile_start\nplan a\ntest_start a\n"
			"waiting a\ntest_end a passed\nfile_end\nrun_end\n");
	assert_int_equal(f->result.signal, 0);
}

static void a_run_that_is_overdue_ends(void **state)
{
	struct runs *f = *state;

	f->opts.run_timeout_ns = 1;
	runs_add(f, "hang\n");
	runs_add(f, GOOD);
	runs_go(f);
	assert_true(f->result.is_overdue);
	assert_int_equal(f->result.signal, 0);
	assert_int_equal(f->result.totals.passed, 0);
}

static void a_file_that_is_overdue_ends(void **state)
{
	struct runs *f = *state;
	const char *text;

	f->opts.file_timeout_ns = 100 * NS_PER_MS;
	runs_add(f, PLAN START "hang\n");
	text = runs_go(f);
	assert_true(count(text, "(--file-timeout)") >= 1);
	assert_int_equal(f->result.totals.passed, 0);
}

int main(void)
{
#define RUN(t) cmocka_unit_test_setup_teardown(t, set_up, runs_tear_down)
	static const struct CMUnitTest tests[] = {
	    RUN(an_ask_is_answered),
	    RUN(the_impossible_is_answered_with_the_flag),
	    RUN(a_worker_that_ends_makes_room),
	    RUN(a_worker_that_dies_makes_room),
	    RUN(a_file_that_waits_for_itself_is_refused),
	    RUN(a_deadlock_is_broken),
	    RUN(nonsense_about_the_pool_ends_the_worker),
	    RUN(under_pressure_files_run_one_by_one),
	    RUN(pressure_that_stays_delays_a_file_a_while),
	    RUN(a_file_that_wants_to_be_alone_is_run_again),
	    RUN(one_that_is_known_to_be_serial_is_run_once),
	    RUN(one_that_is_alone_has_nothing_to_wait_for),
	    RUN(one_that_dies_before_its_plan_is_told_of),
	    RUN(a_slow_test_is_told_of),
	    RUN(what_a_test_waits_for_is_passed_on),
	    RUN(a_run_that_is_overdue_ends),
	    RUN(a_file_that_is_overdue_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
