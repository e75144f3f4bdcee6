/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/cleanup.h"
#include "runner/select.h"

/* About the test that all rules here are asked about. */
static enum verdict judge(const char *const *rules, bool is_slow)
{
	CLEANUP(strvec_done) struct strvec v = {0};
	CLEANUP(strvec_done) struct strvec tags = {0};
	json_t *meta = json_pack("{s:s, s:i, s:b, s:[s,s], s:f, s:f}", "spec",
				 "7.1", "number", 7, "flag", 1, "list", "a",
				 "b", "real", 1.5, "sum", 0.1 + 0.2);
	struct select_test t = {
	    .path = "tests/net/dhcp.test.lua",
	    .file = "/src/tests/net/dhcp.test.lua",
	    .name = "a lease is renewed",
	    .tags = &tags,
	    .meta = meta,
	    .is_slow = is_slow,
	};
	struct err err;

	strvec_add(&tags, "net");
	strvec_add(&tags, "quick");
	for (; *rules; rules++)
		strvec_add(&v, *rules);
	struct selection *s = selection_new(&v, &err);
	assert_non_null(s);
	enum verdict v_of = selection_judge(s, &t);
	selection_free(s);
	json_decref(meta);
	return v_of;
}

static bool takes(const char *const *rules)
{
	return judge(rules, false) == VERDICT_YES;
}

#define TAKES(...) assert_true(takes((const char *const[]){__VA_ARGS__, NULL}))
#define LEAVES(...)                                                            \
	assert_false(takes((const char *const[]){__VA_ARGS__, NULL}))

static void no_rule_takes_everything(void **state)
{
	(void)state;
	assert_true(takes((const char *const[]){NULL}));
}

static void a_filter_is_in_the_path_or_in_the_name(void **state)
{
	(void)state;
	TAKES("filter=dhcp");
	TAKES("filter=lease is");
	TAKES("filter=");
	LEAVES("filter=Lease");
	LEAVES("filter=dhcp.test.lua a lease");
	TAKES("filter=none", "filter=net/");
	LEAVES("filter=none", "filter=neither");
	LEAVES("filter=d.cp");
}

static void a_filter_in_slashes_is_a_regular_expression(void **state)
{
	(void)state;
	TAKES("filter=/d.cp/");
	TAKES("filter=/^a (lease|bridge) .*renewed$/");
	LEAVES("filter=/^lease/");
	TAKES("filter=//");
	TAKES("filter=/");
	LEAVES("filter=/nowhere");
}

static void of_tags_one_is_enough(void **state)
{
	(void)state;
	TAKES("tag=net");
	TAKES("tag=slow", "tag=quick");
	LEAVES("tag=slow");
	LEAVES("tag=ne");
	LEAVES("no-tag=net");
	TAKES("no-tag=slow");
	LEAVES("no-tag=slow", "no-tag=quick");
	LEAVES("tag=net", "no-tag=quick");
}

static void meta_is_compared_as_it_is_written(void **state)
{
	(void)state;
	TAKES("tag-meta=spec=7.1");
	TAKES("tag-meta=number=7", "tag-meta=flag=true");
	TAKES("tag-meta=list=b", "tag-meta=real=1.5");
	TAKES("tag-meta=sum=0.30000000000000004");
	LEAVES("tag-meta=sum=0.3");
	LEAVES("tag-meta=sum=");
	LEAVES("tag-meta=number=7", "tag-meta=flag=false");
	LEAVES("tag-meta=none=1");
	LEAVES("tag-meta=spec=");
	TAKES("no-tag-meta=spec=7.2", "no-tag-meta=none=1");
	LEAVES("no-tag-meta=spec=7.2", "no-tag-meta=list=a");
}

static void kinds_of_rules_must_all_hold(void **state)
{
	(void)state;
	TAKES("filter=lease", "tag=net", "tag-meta=spec=7.1");
	LEAVES("filter=lease", "tag=none");
	LEAVES("filter=none", "tag=net");
	LEAVES("slow=only");
	TAKES("slow=include");
}

#define JUDGE_SLOW(...) judge((const char *const[]){__VA_ARGS__, NULL}, true)

static void slow_tests_are_left_out_unless_asked_for(void **state)
{
	(void)state;
	assert_int_equal(judge((const char *const[]){NULL}, true),
			 VERDICT_LEFT_OUT);
	assert_int_equal(JUDGE_SLOW("filter=lease"), VERDICT_LEFT_OUT);
	assert_int_equal(JUDGE_SLOW("filter=none"), VERDICT_NO);
	assert_int_equal(JUDGE_SLOW("slow=include"), VERDICT_YES);
	assert_int_equal(JUDGE_SLOW("slow=only"), VERDICT_YES);
	assert_int_equal(JUDGE_SLOW("slow=only", "filter=none"), VERDICT_NO);
}

static void a_rerun_names_a_test_or_all_of_a_file(void **state)
{
	(void)state;
	TAKES("rerun=/src/tests/net/dhcp.test.lua\na lease is renewed");
	TAKES("rerun=/src/tests/net/dhcp.test.lua\n");
	TAKES("rerun=/other\n", "rerun=/src/tests/net/dhcp.test.lua\n");
	LEAVES("rerun=/src/tests/net/dhcp.test.lua\na lease");
	LEAVES("rerun=tests/net/dhcp.test.lua\n");
	LEAVES("rerun=/src/tests/net/dhcp.test.lua\n", "filter=none");
}

static void bad_rules_are_quoted(void **state)
{
	static const struct {
		const char *rule, *says;
	} bad[] = {
	    {"filter=/(/", "'/(/' is no regular expression: "},
	    {"tag-meta=x", "'x' must be KEY=VALUE"},
	    {"no-tag-meta==x", "'=x' must be KEY=VALUE"},
	    {"slow=maybe", "'maybe' must be"},
	    {"rerun=x", "'x' must be a path"},
	    {"tags=x", "'tags=x' is no rule"},
	    {"", "'' is no rule"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(strvec_done) struct strvec v = {0};
		struct err err = {0};

		strvec_add(&v, "filter=/good/");
		strvec_add(&v, bad[i].rule);
		assert_null(selection_new(&v, &err));
		assert_non_null(strstr(err.text, bad[i].says));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_rule_takes_everything),
	    cmocka_unit_test(a_filter_is_in_the_path_or_in_the_name),
	    cmocka_unit_test(a_filter_in_slashes_is_a_regular_expression),
	    cmocka_unit_test(of_tags_one_is_enough),
	    cmocka_unit_test(meta_is_compared_as_it_is_written),
	    cmocka_unit_test(kinds_of_rules_must_all_hold),
	    cmocka_unit_test(slow_tests_are_left_out_unless_asked_for),
	    cmocka_unit_test(a_rerun_names_a_test_or_all_of_a_file),
	    cmocka_unit_test(bad_rules_are_quoted),
	};

	return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
