/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "runner/fixture_failure.h"
#include "tests/unit/tmp.h"
#include "vmm/store.h"

static char dir[TMP_PATH_MAX];

static int set_up(void **state)
{
	(void)state;
	tmp_template(dir);
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	store_remove(dir);
	unsetenv("PROVIUM_FIXTURE_FAILURES");
	return 0;
}

/* NULL: nothing must be known. */
static void knows(const char *source, const char *want)
{
	struct buf text = {0};
	bool is_known = fixture_failure_find(source, &text);

	assert_int_equal(is_known, want != NULL);
	buf_append(&text, "", 1);
	assert_string_equal((char *)buf_data(&text), want ? want : "");
	buf_done(&text);
}

static void a_failure_is_known_by_its_source(void **state)
{
	(void)state;
	fixture_failure_keep_in(dir);
	knows("/t/a.fixture.lua", NULL);
	fixture_failure_remember("/t/a.fixture.lua", "no space\nleft");
	knows("/t/a.fixture.lua",
	      "no space\nleft\n(it was built once in this run)");
	knows("/t/b.fixture.lua", NULL);
}

static void the_first_one_counts(void **state)
{
	(void)state;
	fixture_failure_keep_in(dir);
	fixture_failure_remember("/t/a.fixture.lua", "first");
	fixture_failure_remember("/t/a.fixture.lua", "second");
	knows("/t/a.fixture.lua", "first\n(it was built once in this run)");
}

static void outside_of_a_run_nothing_is_remembered(void **state)
{
	(void)state;
	fixture_failure_remember("/t/a.fixture.lua", "first");
	knows("/t/a.fixture.lua", NULL);
	fixture_failure_keep_in("/nonexistent");
	fixture_failure_remember("/t/a.fixture.lua", "first");
	knows("/t/a.fixture.lua", NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_failure_is_known_by_its_source),
	    T(the_first_one_counts),
	    T(outside_of_a_run_nothing_is_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
