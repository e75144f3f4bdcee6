/* SPDX-License-Identifier: MIT */
#include "vmm/net/kernel_plan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "vmm/net/kernel_name.h"
#include "vmm/net/switch.h"
#include "vmm/net/tap.h"

#define PORTS 3

struct fix {
	struct swport swports[PORTS];
	struct kernel_port ports[PORTS];
	struct kernel_view view;
	struct impair_table rules;
	struct kernel_plan plan;
	struct buf tc;
};

static const uint8_t macs[PORTS][MAC_LEN] = {
    {0x52, 0x54, 0, 0, 1, 0x0a},
    {0x52, 0x54, 0, 0, 1, 0x0b},
    {0x52, 0x54, 0, 0, 1, 0x0c},
};
static const uint8_t gateway_mac[MAC_LEN] = {0x52, 0x54, 0, 0, 1, 1};
static const char *const taps[PORTS] = {"ta", "tb", "tc"};

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));

	for (unsigned i = 0; i < PORTS; i++)
		f->ports[i] = (struct kernel_port){
		    .swport = &f->swports[i],
		    .tap = taps[i],
		    .slot = i,
		    .mac = macs[i],
		};
	f->view = (struct kernel_view){
	    .name = "br",
	    .ifb = "ifb",
	    .gateway_mac = gateway_mac,
	    .ports = f->ports,
	    .n_ports = PORTS,
	};
	impair_init(&f->rules);
	kernel_plan_make(&f->plan, &f->view, &f->rules);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	kernel_plan_done(&f->plan);
	impair_done(&f->rules);
	buf_done(&f->tc);
	free(f);
	return 0;
}

/* from and to: an index, or -1: any. */
static struct impairment *rule(struct fix *f, int from, int to)
{
	return &impair_rule(&f->rules, from < 0 ? NULL : &f->swports[from],
			    to < 0 ? NULL : &f->swports[to])
		    ->set;
}

static void assert_text(const struct buf *b, const char *expected)
{
	char *text = b->len ? mem_strndup((const char *)buf_data(b), b->len)
			    : mem_strdup("");

	assert_string_equal(text, expected);
	free(text);
}

/* The rules have changed: what tc is told, and what nft. */
static void assert_step(struct fix *f, const char *tc, const char *nft)
{
	struct kernel_plan next;

	kernel_plan_make(&next, &f->view, &f->rules);
	buf_reset(&f->tc);
	kernel_plan_diff(&f->plan, &next, &f->tc);
	assert_text(&f->tc, tc);
	assert_text(&next.nft, nft);
	kernel_plan_done(&f->plan);
	f->plan = next;
}

/* The kernel has that plan now. */
static void remake(struct fix *f)
{
	kernel_plan_done(&f->plan);
	kernel_plan_make(&f->plan, &f->view, &f->rules);
}

#define NO_LOSS "flush chain bridge br loss\n"
#define NO_NFT	"flush set bridge br cut\nflush map bridge br class\n" NO_LOSS

static void without_rules_there_is_nothing(void **state)
{
	struct fix *f = *state;

	assert_step(f, "", NO_NFT);
	/* Nor where all of them are zero. */
	rule(f, -1, -1);
	rule(f, 0, 1);
	assert_step(f, "", NO_NFT);
	assert_false(f->plan.has_ifb);
}

static void a_cut_is_a_pair_of_the_set(void **state)
{
	struct fix *f = *state;

	rule(f, 0, 1)->cuts = CUT_PARTITION;
	assert_step(f, "",
		    "flush set bridge br cut\n"
		    "add element bridge br cut { \"ta\" . \"tb\" }\n"
		    "flush map bridge br class\n" NO_LOSS);
	rule(f, 0, 1)->cuts = 0;
	rule(f, 2, -1)->cuts = CUT_ISOLATION;
	rule(f, -1, 2)->cuts = CUT_ISOLATION;
	assert_step(f, "",
		    "flush set bridge br cut\n"
		    "add element bridge br cut { \"tc\" . \"ta\", "
		    "\"tc\" . \"tb\", \"ta\" . \"tc\", \"tb\" . \"tc\" }\n"
		    "flush map bridge br class\n" NO_LOSS);
}

static void latency_is_a_netem_in_the_senders_class(void **state)
{
	struct fix *f = *state;

	rule(f, 0, 1)->latency_ns = 20 * NS_PER_MS;
	rule(f, 0, -1)->latency_ns = 0;
	rule(f, -1, 1)->latency_ns = 5 * NS_PER_MS;
	rule(f, 0, 1)->jitter_ns = 1500000;
	assert_step(
	    f,
	    "qdisc add dev tb root handle 1: htb default 0xf\n"
	    "class add dev tb parent 1: classid 1:1 htb rate 100gbit ceil "
	    "100gbit quantum 3028\n"
	    "class add dev tb parent 1:1 classid 1:10 htb rate 100gbit "
	    "ceil 100gbit quantum 3028\n"
	    "qdisc add dev tb parent 1:10 handle 10: netem limit 20000 "
	    "delay 25000.000us 1500.000us duplicate 0% reorder 0% corrupt "
	    "0% rate 100gbit\n"
	    "class add dev tb parent 1:1 classid 1:12 htb rate 100gbit "
	    "ceil 100gbit quantum 3028\n"
	    "qdisc add dev tb parent 1:12 handle 12: netem limit 20000 "
	    "delay 5000.000us 0.000us duplicate 0% reorder 0% corrupt 0% "
	    "rate 100gbit\n",
	    "flush set bridge br cut\n"
	    "flush map bridge br class\n"
	    "add element bridge br class { \"ta\" . \"tb\" : 1:10, "
	    "\"tc\" . \"tb\" : 1:12 }\n" NO_LOSS);
	/* What changes is changed where it stands, the rest is left alone. */
	rule(f, 0, 1)->jitter_ns = 0;
	rule(f, 0, 1)->chance[CHANCE_DROP] = 0.25;
	rule(f, 0, 1)->chance[CHANCE_CORRUPT] = 0.01;
	assert_step(
	    f,
	    "qdisc change dev tb parent 1:10 handle 10: netem limit 20000 "
	    "delay 25000.000us 0.000us duplicate 0% reorder 0% corrupt "
	    "1% rate 100gbit\n",
	    "flush set bridge br cut\n"
	    "flush map bridge br class\n"
	    "add element bridge br class { \"ta\" . \"tb\" : 1:10, "
	    "\"tc\" . \"tb\" : 1:12 }\n" NO_LOSS
	    "add rule bridge br loss iifname . oifname { \"ta\" . \"tb\" } "
	    "meta random < 1073741824 drop\n");
	rule(f, -1, 1)->latency_ns = 0;
	rule(f, 0, 1)->cuts = CUT_PARTITION;
	assert_step(f, "qdisc delete dev tb root handle 1:\n",
		    "flush set bridge br cut\n"
		    "add element bridge br cut { \"ta\" . \"tb\" }\n"
		    "flush map bridge br class\n" NO_LOSS);
}

static void pairs_of_one_chance_are_one_rule(void **state)
{
	struct fix *f = *state;

	rule(f, -1, -1)->chance[CHANCE_DROP] = 0.5;
	rule(f, 0, 1)->chance[CHANCE_DROP] = 0.5;
	rule(f, 2, 0)->chance[CHANCE_DROP] = 1;
	rule(f, -1, 2)->cuts = CUT_PARTITION;
	assert_step(f, "",
		    "flush set bridge br cut\n"
		    "add element bridge br cut { \"ta\" . \"tc\", "
		    "\"tb\" . \"tc\" }\n"
		    "flush map bridge br class\n" NO_LOSS
		    "add rule bridge br loss iifname . oifname "
		    "{ \"tb\" . \"ta\", \"tc\" . \"tb\" } "
		    "meta random < 2147483648 drop\n"
		    "add rule bridge br loss iifname . oifname "
		    "{ \"tc\" . \"ta\" } drop\n"
		    "add rule bridge br loss iifname . oifname "
		    "{ \"ta\" . \"tb\" } "
		    "meta random < 3221225472 drop\n");
	assert_false(f->plan.has_netem);
}

static void the_least_chance_is_one(void **state)
{
	struct fix *f = *state;

	rule(f, 0, 1)->chance[CHANCE_DROP] = 1e-12;
	assert_step(f, "",
		    NO_NFT "add rule bridge br loss iifname . oifname "
			   "{ \"ta\" . \"tb\" } meta random < 1 drop\n");
}

static void a_class_that_goes_takes_its_netem_along(void **state)
{
	struct fix *f = *state;

	rule(f, 0, 1)->latency_ns = 20 * NS_PER_MS;
	rule(f, 2, 1)->latency_ns = 20 * NS_PER_MS;
	remake(f);
	rule(f, 0, 1)->latency_ns = 0;
	assert_step(
	    f,
	    "qdisc delete dev tb parent 1:10 handle 10:\n"
	    "class delete dev tb parent 1:1 classid 1:10\n",
	    "flush set bridge br cut\n"
	    "flush map bridge br class\n"
	    "add element bridge br class { \"tc\" . \"tb\" : 1:12 }\n" NO_LOSS);
}

/* Where nothing is on its way there is nothing to overtake. */
static void reordering_brings_a_latency(void **state)
{
	struct fix *f = *state;

	f->view.n_ports = 2;
	rule(f, 0, 1)->chance[CHANCE_REORDER] = 1;
	assert_step(
	    f,
	    "qdisc add dev tb root handle 1: htb default 0xf\n"
	    "class add dev tb parent 1: classid 1:1 htb rate 100gbit ceil "
	    "100gbit quantum 3028\n"
	    "class add dev tb parent 1:1 classid 1:10 htb rate 100gbit "
	    "ceil 100gbit quantum 3028\n"
	    "qdisc add dev tb parent 1:10 handle 10: netem limit 20000 "
	    "delay 10000.000us 0.000us duplicate 0% reorder 50% corrupt "
	    "0% rate 100gbit\n",
	    "flush set bridge br cut\n"
	    "flush map bridge br class\n"
	    "add element bridge br class { \"ta\" . \"tb\" : 1:10 }\n" NO_LOSS);
}

/* Newer kernels take one netem a device, where it duplicates. */
static void equal_senders_share_what_duplicates(void **state)
{
	struct fix *f = *state;
	size_t netems = 0;

	rule(f, -1, -1)->chance[CHANCE_DUPLICATE] = 0.5;
	assert_step(
	    f,
	    "qdisc add dev ta root handle 1: htb default 0xf\n"
	    "class add dev ta parent 1: classid 1:1 htb rate 100gbit ceil "
	    "100gbit quantum 3028\n"
	    "class add dev ta parent 1:1 classid 1:11 htb rate 100gbit "
	    "ceil 100gbit quantum 3028\n"
	    "qdisc add dev ta parent 1:11 handle 11: netem limit 20000 "
	    "delay 0.000us 0.000us duplicate 50% reorder 0% corrupt 0% "
	    "rate 100gbit\n"
	    "qdisc add dev tb root handle 1: htb default 0xf\n"
	    "class add dev tb parent 1: classid 1:1 htb rate 100gbit ceil "
	    "100gbit quantum 3028\n"
	    "class add dev tb parent 1:1 classid 1:10 htb rate 100gbit "
	    "ceil 100gbit quantum 3028\n"
	    "qdisc add dev tb parent 1:10 handle 10: netem limit 20000 "
	    "delay 0.000us 0.000us duplicate 50% reorder 0% corrupt 0% "
	    "rate 100gbit\n"
	    "qdisc add dev tc root handle 1: htb default 0xf\n"
	    "class add dev tc parent 1: classid 1:1 htb rate 100gbit ceil "
	    "100gbit quantum 3028\n"
	    "class add dev tc parent 1:1 classid 1:10 htb rate 100gbit "
	    "ceil 100gbit quantum 3028\n"
	    "qdisc add dev tc parent 1:10 handle 10: netem limit 20000 "
	    "delay 0.000us 0.000us duplicate 50% reorder 0% corrupt 0% "
	    "rate 100gbit\n",
	    "flush set bridge br cut\n"
	    "flush map bridge br class\n"
	    "add element bridge br class { \"tb\" . \"ta\" : 1:11, "
	    "\"tc\" . \"ta\" : 1:11, \"ta\" . \"tb\" : 1:10, "
	    "\"tc\" . \"tb\" : 1:10, \"ta\" . \"tc\" : 1:10, "
	    "\"tb\" . \"tc\" : 1:10 }\n" NO_LOSS);
	/* Others do not. */
	rule(f, 0, 1)->latency_ns = NS_PER_MS;
	assert_step(
	    f,
	    "qdisc change dev tb parent 1:10 handle 10: netem limit 20000 "
	    "delay 1000.000us 0.000us duplicate 50% reorder 0% corrupt "
	    "0% rate 100gbit\n"
	    "class add dev tb parent 1:1 classid 1:12 htb rate 100gbit "
	    "ceil 100gbit quantum 3028\n"
	    "qdisc add dev tb parent 1:12 handle 12: netem limit 20000 "
	    "delay 0.000us 0.000us duplicate 50% reorder 0% corrupt 0% "
	    "rate 100gbit\n",
	    "flush set bridge br cut\n"
	    "flush map bridge br class\n"
	    "add element bridge br class { \"tb\" . \"ta\" : 1:11, "
	    "\"tc\" . \"ta\" : 1:11, \"ta\" . \"tb\" : 1:10, "
	    "\"tc\" . \"tb\" : 1:12, \"ta\" . \"tc\" : 1:10, "
	    "\"tb\" . \"tc\" : 1:10 }\n" NO_LOSS);
	for (size_t i = 0; i < f->plan.n_items; i++)
		netems += !strncmp(f->plan.items[i].what, "netem", 5);
	assert_int_equal(4, netems);
	assert_true(f->plan.has_netem && f->plan.has_duplicates);
}

static void pipes_to_one_are_classes_of_its_tap(void **state)
{
	struct fix *f = *state;

	rule(f, -1, 1)->bps = 8000000;
	rule(f, 0, 1)->bps = 1000000;
	rule(f, 2, 1)->latency_ns = NS_PER_MS;
	assert_step(
	    f,
	    "qdisc add dev tb root handle 1: htb default 0xf\n"
	    "class add dev tb parent 1: classid 1:1 htb rate 8000000bit "
	    "ceil 8000000bit quantum 3028\n"
	    "class add dev tb parent 1:1 classid 1:10 htb rate 1000000bit "
	    "ceil 1000000bit quantum 3028\n"
	    "qdisc add dev tb parent 1:10 handle 10: bfifo limit 24576\n"
	    "class add dev tb parent 1:1 classid 1:12 htb rate 4000000bit "
	    "ceil 8000000bit quantum 3028\n"
	    "qdisc add dev tb parent 1:12 handle 12: netem limit 20000 "
	    "delay 1000.000us 0.000us duplicate 0% reorder 0% corrupt 0% "
	    "rate 100gbit\n"
	    "qdisc add dev tb parent 12:1 handle 1012: bfifo limit 100000\n",
	    "flush set bridge br cut\n"
	    "flush map bridge br class\n"
	    "add element bridge br class { \"ta\" . \"tb\" : 1:10, "
	    "\"tc\" . \"tb\" : 1:12 }\n" NO_LOSS);
}

static void pipes_from_one_are_classes_of_the_ifb(void **state)
{
	struct fix *f = *state;

	rule(f, 0, -1)->bps = 1000000;
	assert_step(
	    f,
	    "qdisc add dev ifb root handle 2: htb default 0xf\n"
	    "class add dev ifb parent 2: classid 2:1 htb rate 100gbit ceil "
	    "100gbit quantum 3028\n"
	    "class add dev ifb parent 2:1 classid 2:10 htb rate 1000000bit "
	    "ceil 1000000bit quantum 3028\n"
	    "qdisc add dev ifb parent 2:10 handle 10: bfifo limit 24576\n"
	    "filter add dev ifb parent 2: protocol all prio 16 u32 match ether "
	    "src 52:54:00:00:01:0a flowid 2:10\n"
	    "qdisc add dev ta handle ffff: ingress\n"
	    "filter add dev ta parent ffff: protocol all prio 1 u32 match "
	    "ether dst 52:54:00:00:01:01 flowid 1:1\n"
	    "filter add dev ta parent ffff: protocol all prio 2 u32 match u32 "
	    "0 0 flowid 1:2 action mirred egress redirect dev ifb\n",
	    NO_NFT);
	assert_true(f->plan.has_ifb);
	rule(f, 0, -1)->bps = 0;
	assert_step(f,
		    "qdisc delete dev ta handle ffff: ingress\n"
		    "qdisc delete dev ifb root handle 2:\n",
		    NO_NFT);
	assert_false(f->plan.has_ifb);
}

static void a_pipe_of_all_is_the_parent_of_theirs(void **state)
{
	struct fix *f = *state;
	const char *text;

	rule(f, -1, -1)->bps = 8000000;
	rule(f, 1, -1)->bps = 1000000;
	remake(f);
	kernel_plan_diff(&(struct kernel_plan){0}, &f->plan, &f->tc);
	buf_append(&f->tc, "", 1);
	text = (const char *)buf_data(&f->tc);
	assert_non_null(strstr(text, "classid 2:1 htb rate 8000000bit ceil "
				     "8000000bit"));
	/* A part for each, and for those whom nobody knows. */
	assert_non_null(strstr(text, "parent 2:1 classid 2:f htb rate "
				     "2000000bit ceil 8000000bit"));
	assert_non_null(strstr(text, "parent 2:1 classid 2:10 htb rate "
				     "2000000bit ceil 8000000bit"));
	assert_non_null(strstr(text, "parent 2:1 classid 2:11 htb rate "
				     "1000000bit ceil 1000000bit"));
}

static void what_was_on_a_tap_that_is_gone_is_forgotten(void **state)
{
	struct fix *f = *state;

	rule(f, -1, -1)->latency_ns = NS_PER_MS;
	remake(f);
	kernel_plan_forget(&f->plan, "tc");
	f->view.n_ports = 2;
	assert_step(f,
		    "qdisc delete dev tb parent 1:12 handle 12:\n"
		    "class delete dev tb parent 1:1 classid 1:12\n"
		    "qdisc delete dev ta parent 1:12 handle 12:\n"
		    "class delete dev ta parent 1:1 classid 1:12\n",
		    "flush set bridge br cut\n"
		    "flush map bridge br class\n"
		    "add element bridge br class { \"tb\" . \"ta\" : 1:11, "
		    "\"ta\" . \"tb\" : 1:10 }\n" NO_LOSS);
}

static void extremes_are_what_tc_takes(void **state)
{
	struct fix *f = *state;
	const char *text;

	f->view.n_ports = 2;
	rule(f, 0, 1)->bps = 1;
	rule(f, 0, 1)->latency_ns = INT64_C(3600000) * NS_PER_MS;
	rule(f, 0, 1)->chance[CHANCE_DROP] = 1;
	rule(f, 1, 0)->bps = UINT64_C(1000000000000);
	remake(f);
	kernel_plan_diff(&(struct kernel_plan){0}, &f->plan, &f->tc);
	buf_append(&f->tc, "", 1);
	text = (const char *)buf_data(&f->tc);
	assert_non_null(strstr(text, "htb rate 8bit ceil 8bit"));
	assert_non_null(strstr(text, "delay 3600000000.000us 0.000us"));
	assert_non_null(strstr(text, "rate 1000000000000bit"));
	assert_non_null(strstr(text, "bfifo limit 16777216"));
}

/* --- names, and what a TAP counts ------------------------------------------
 */

static void names_tell_the_run_and_the_kind(void **state)
{
	const struct kernel_tag tag = {.text = "0a1b2c", .fd = -1};
	char name[IF_NAMESIZE], its[KERNEL_TAG_LEN + 1];
	enum kernel_kind kind;

	(void)state;
	kernel_name(&tag, KERNEL_BRIDGE, 250, name);
	assert_string_equal("pv0a1b2cb250", name);
	assert_true(kernel_name_parse(name, its, &kind));
	assert_string_equal("0a1b2c", its);
	assert_int_equal(KERNEL_BRIDGE, kind);
	kernel_name(&tag, KERNEL_TAP, KERNEL_NUMBER_MAX, name);
	assert_string_equal("pv0a1b2ct99999", name);
	assert_true(kernel_name_parse(name, its, &kind));
	assert_int_equal(KERNEL_TAP, kind);
}

static void names_of_others_are_not_ours(void **state)
{
	static const char *const others[] = {
	    "",		  "pv",		 "pv0a1b2",    "pv0a1b2c",
	    "pv0a1b2cb",  "pv0a1b2cx1",	 "pv0A1B2Cb1", "pv0a1b2cb1x",
	    "xv0a1b2cb1", "pv0a1b2gb1",	 "eth0",       "pvprivate1",
	    "pv0a1b2c1",  "pv0a1b2cb-1", "lo",	       "pv0a1b2cb123456",
	};
	char its[KERNEL_TAG_LEN + 1];
	enum kernel_kind kind;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(kernel_name_parse(others[i], its, &kind));
}

static void a_tag_is_held_by_one(void **state)
{
	struct kernel_tag one, two;

	(void)state;
	assert_int_equal(0, kernel_tag_take(&one, NULL));
	assert_int_equal(-EADDRINUSE, kernel_tag_take_text(&two, one.text));
	kernel_tag_done(&one);
	assert_int_equal(0, kernel_tag_take_text(&two, one.text));
	assert_string_equal(one.text, two.text);
	kernel_tag_done(&two);
}

static void statistics_are_found_by_name(void **state)
{
	static const char text[] =
	    "Inter-|   Receive      |  Transmit\n"
	    " face |bytes    packets errs drop fifo frame compressed multicast|"
	    "bytes    packets errs drop fifo colls carrier compressed\n"
	    "    lo:  1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
	    "pvt1: 100 2 3 4 5 6 7 8 18446744073709551615 10 11 12 13 14 15 "
	    "16\n"
	    "pvt:21 22 23 0 0 0 0 0 29 30 0 32 0 0 0 0\n";
	struct tap_stats s;

	(void)state;
	assert_true(tap_parse_stats(text, "pvt1", &s));
	assert_int_equal(100, s.rx.bytes);
	assert_int_equal(2, s.rx.frames);
	assert_int_equal(3, s.rx_errors);
	assert_true(s.tx.bytes == UINT64_MAX);
	assert_int_equal(10, s.tx.frames);
	assert_int_equal(12, s.tx_dropped);
	assert_true(tap_parse_stats(text, "pvt", &s));
	assert_int_equal(21, s.rx.bytes);
	assert_int_equal(32, s.tx_dropped);
	assert_false(tap_parse_stats(text, "eth0", &s));
	assert_false(tap_parse_stats(text, "o", &s));
	assert_false(tap_parse_stats("pvt: 1 2 3", "pvt", &s));
	assert_false(tap_parse_stats("", "pvt", &s));
	assert_int_equal(0, s.rx.bytes);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    TEST(without_rules_there_is_nothing),
	    TEST(a_cut_is_a_pair_of_the_set),
	    TEST(latency_is_a_netem_in_the_senders_class),
	    TEST(pairs_of_one_chance_are_one_rule),
	    TEST(the_least_chance_is_one),
	    TEST(a_class_that_goes_takes_its_netem_along),
	    TEST(reordering_brings_a_latency),
	    TEST(equal_senders_share_what_duplicates),
	    TEST(pipes_to_one_are_classes_of_its_tap),
	    TEST(pipes_from_one_are_classes_of_the_ifb),
	    TEST(a_pipe_of_all_is_the_parent_of_theirs),
	    TEST(what_was_on_a_tap_that_is_gone_is_forgotten),
	    TEST(extremes_are_what_tc_takes),
	    cmocka_unit_test(names_tell_the_run_and_the_kind),
	    cmocka_unit_test(names_of_others_are_not_ours),
	    cmocka_unit_test(a_tag_is_held_by_one),
	    cmocka_unit_test(statistics_are_found_by_name),
	};

	return cmocka_run_group_tests_name("net_kernel_plan", tests, NULL,
					   NULL);
}
