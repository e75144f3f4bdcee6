/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/bridge_in_force.h"

/* rules and ports: the members of the lists, in JSON. */
static void says(const char *rules, const char *ports, const char *want)
{
	CLEANUP(free_ptr)
	char *text = mem_printf("{\"name\":\"lan\",\"rules\":[%s],"
				"\"ports\":[%s]}",
				rules, ports);
	json_t *saved = json_loads(text, 0, NULL);
	CLEANUP(buf_done) struct buf out = {0};

	assert_non_null(saved);
	bridge_in_force(saved, &out);
	buf_append(&out, "", 1);
	assert_string_equal((const char *)buf_data(&out), want);
	json_decref(saved);
}

static void a_perfect_network_is_not_worth_a_word(void **state)
{
	(void)state;
	says("", "", "");
	says("{\"from\":\"a\",\"cuts\":0,\"drop\":0.0,\"bps\":0}",
	     "{\"guest\":\"a\",\"link\":true}", "");
}

static void both_directions_of_a_pair_are_one(void **state)
{
	(void)state;
	says("{\"from\":\"a\",\"to\":\"b\",\"cuts\":1},"
	     "{\"from\":\"b\",\"to\":\"a\",\"cuts\":1}",
	     "", "lan: a <-> b partitioned");
	says("{\"from\":\"b\",\"to\":\"a\",\"cuts\":1},"
	     "{\"from\":\"a\",\"to\":\"b\",\"cuts\":2}",
	     "", "lan: b -> a partitioned; a -> b isolated");
	says("{\"from\":\"b\",\"to\":\"a\",\"cuts\":3}", "",
	     "lan: b -> a partitioned, isolated");
}

static void every_effect_is_told(void **state)
{
	(void)state;
	says("{\"latency_ns\":50000000,\"jitter_ns\":1000000,\"drop\":0.1,"
	     "\"duplicate\":1,\"reorder\":0.005,\"corrupt\":0.25,"
	     "\"bps\":1500000}",
	     "",
	     "lan: all latency 50ms, jitter 1ms, drop 10 %, duplicate 100 %, "
	     "reorder 0.5 %, corrupt 25 %, 1.5 Mbit/s");
	says("{\"from\":\"a\",\"drop\":1},{\"to\":\"a\",\"drop\":1}", "",
	     "lan: from a drop 100 %; to a drop 100 %");
}

static void a_link_that_is_down_is_told(void **state)
{
	(void)state;
	says("{\"cuts\":1}",
	     "{\"guest\":\"a\",\"link\":true},{\"guest\":\"b\",\"link\":false}",
	     "lan: all partitioned; link of b down");
}

#define T(name) cmocka_unit_test(name)

static const struct CMUnitTest tests[] = {
    T(a_perfect_network_is_not_worth_a_word),
    T(both_directions_of_a_pair_are_one),
    T(every_effect_is_told),
    T(a_link_that_is_down_is_told),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
