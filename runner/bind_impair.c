/* SPDX-License-Identifier: MIT */
/*
 * Owns how an author says what a bridge does to its frames. vmm/net/impair.h
 * has the rules and how they compose, vmm/net/shaper.h what they do.
 *
 * Each knob takes a number, for all of the bridge, or a table with `from` and
 * `to`, of which one may be missing: then it is any guest. It sets that rule
 * and no other, and 0 takes it back; partitions and isolations are bits of the
 * same rules.
 */
#include "runner/bind_impair.h"

#include <math.h>

#include "runner/bind_bridge.h"
#include "runner/bind_vm.h"
#include "runner/json_text.h"

/* An hour: so no sum of rules comes near to the clock's end. */
#define LATENCY_MAX_MS 3600000.0
#define BPS_MAX	       1e12 /* 1 Tbit/s */

struct direction {
	const struct port *from, *to; /* NULL: any */
};

struct knob {
	const char *method;
	const char *key;  /* of the value, in the table form */
	const char *name; /* of the value, in the number form */
	double max;
	void (*set)(struct impairment *i, double value);
	bool is_directional; /* the table form alone, with both ends */
};

/* The rules of b were changed. */
static void bind_impair_apply(lua_State *L, const char *method,
			      struct bridge_object *b)
{
	struct err err = {0};

	if (bridge_impaired(b->bridge, &err) < 0)
		bind_fail_err(L, method, &err);
	lua_settop(L, 1);
}

/* --- arguments ------------------------------------------------------------ */

static double check_number(lua_State *L, const char *method, int idx,
			   const char *name, double max)
{
	char most[JSON_REAL_MAX], got[JSON_REAL_MAX];
	double n;

	if (lua_type(L, idx) != LUA_TNUMBER)
		bind_fail_arg(L, method, "%s must be a number, got %s", name,
			      arg_type_name(L, idx));
	n = lua_tonumber(L, idx);
	if (!(n >= 0 && n <= max))
		bind_fail_arg(
		    L, method, "%s must be a number from 0 to %s, got %s", name,
		    json_text_real(max, most), json_text_real(n, got));
	return n;
}

static const struct port *check_port(lua_State *L, const char *method,
				     const struct bridge_object *b, int idx,
				     const char *name)
{
	return bridge_check_attached(L, method, b, idx, name)->port;
}

/* Where the ends of a direction are on the stack; 0: any. */
struct ends {
	int from, to;
	const char *from_name, *to_name;
};

static const struct opt end_options[] = {
    {"from", OPT_VALUE, offsetof(struct ends, from)},
    {"to", OPT_VALUE, offsetof(struct ends, to)},
    {NULL, 0, 0},
};

/* Types before all else. */
static struct direction check_ends(lua_State *L, const char *method,
				   const struct bridge_object *b,
				   const struct ends *e, bool needs_both)
{
	struct direction d = {0};

	if (e->from)
		bridge_check_vm(L, method, e->from, e->from_name);
	if (e->to)
		bridge_check_vm(L, method, e->to, e->to_name);
	if (needs_both && (!e->from || !e->to))
		bind_fail_arg(L, method, "needs both from and to");
	if (e->from)
		d.from = check_port(L, method, b, e->from, e->from_name);
	if (e->to)
		d.to = check_port(L, method, b, e->to, e->to_name);
	if (d.from && d.from == d.to)
		bind_fail_arg(L, method, "both ends are the same VM");
	return d;
}

/* (a, b), or {from =, to =}, which is one way only: *ret_is_both says which. */
static struct direction bind_impair_check_pair(lua_State *L, const char *method,
					       const struct bridge_object *b,
					       bool *ret_is_both)
{
	struct ends e = {2, 3, "a", "b"};

	*ret_is_both = !lua_istable(L, 2);
	if (!*ret_is_both) {
		e = (struct ends){0, 0, "from", "to"};
		bind_options(L, method, 2, end_options, &e);
	}
	return check_ends(L, method, b, &e, true);
}

/* --- knobs ---------------------------------------------------------------- */

struct knob_values {
	struct ends ends;
	int value, jitter;
};

static void set_latency(struct impairment *i, double ms)
{
	i->latency_ns = (int64_t)(ms * (double)NS_PER_MS);
}

static void set_bandwidth(struct impairment *i, double bps)
{
	i->bps = (uint64_t)ceil(bps);
}

static void set_drop(struct impairment *i, double percent)
{
	i->chance[CHANCE_DROP] = percent / 100;
}

static void set_duplicate(struct impairment *i, double percent)
{
	i->chance[CHANCE_DUPLICATE] = percent / 100;
}

static void set_reorder(struct impairment *i, double percent)
{
	i->chance[CHANCE_REORDER] = percent / 100;
}

static void set_corrupt(struct impairment *i, double percent)
{
	i->chance[CHANCE_CORRUPT] = percent / 100;
}

/* The table form. */
static void set_some(lua_State *L, const struct knob *k,
		     const struct bridge_object *b)
{
	const bool has_jitter = k->set == set_latency;
	const struct opt opts[] = {
	    {"from", OPT_VALUE, offsetof(struct knob_values, ends.from)},
	    {"to", OPT_VALUE, offsetof(struct knob_values, ends.to)},
	    {k->key, OPT_VALUE, offsetof(struct knob_values, value)},
	    {has_jitter ? "jitter" : NULL, OPT_VALUE,
	     offsetof(struct knob_values, jitter)},
	    {NULL, 0, 0},
	};
	struct knob_values v = {.ends = {0, 0, "from", "to"}};
	double value = 0, jitter = 0;

	bind_options(L, k->method, 2, opts, &v);
	if (v.value)
		value = check_number(L, k->method, v.value, k->key, k->max);
	if (v.jitter)
		jitter = check_number(L, k->method, v.jitter, "jitter", k->max);
	struct direction d =
	    check_ends(L, k->method, b, &v.ends, k->is_directional);
	if (!v.value)
		bind_fail_arg(L, k->method, "needs %s", k->key);
	struct impairment *i = bridge_impairment(b->bridge, d.from, d.to);
	k->set(i, value);
	if (has_jitter)
		i->jitter_ns = (int64_t)(jitter * (double)NS_PER_MS);
}

static int bind_impair_turn(lua_State *L, const struct knob *k)
{
	struct bridge_object *b = bridge_check(L, k->method);

	if (lua_istable(L, 2)) {
		set_some(L, k, b);
	} else if (k->is_directional) {
		bind_fail_arg(L, k->method, "options must be a table, got %s",
			      arg_type_name(L, 2));
	} else {
		double v = check_number(L, k->method, 2, k->name, k->max);
		struct impairment *i = bridge_impairment(b->bridge, NULL, NULL);

		k->set(i, v);
		if (k->set == set_latency)
			i->jitter_ns = 0;
	}
	bind_impair_apply(L, k->method, b);
	return 1;
}

static int l_add_latency(lua_State *L)
{
	static const struct knob k = {"bridge:add_latency", "ms",	 "ms",
				      LATENCY_MAX_MS,	    set_latency, false};

	return bind_impair_turn(L, &k);
}

static int l_add_directional_latency(lua_State *L)
{
	static const struct knob k = {"bridge:add_directional_latency",
				      "ms",
				      "",
				      LATENCY_MAX_MS,
				      set_latency,
				      true};

	return bind_impair_turn(L, &k);
}

static int l_bandwidth_limit(lua_State *L)
{
	static const struct knob k = {"bridge:bandwidth_limit",
				      "bps",
				      "bps",
				      BPS_MAX,
				      set_bandwidth,
				      false};

	return bind_impair_turn(L, &k);
}

static int l_drop_rate(lua_State *L)
{
	static const struct knob k = {"bridge:drop_rate", "p",	"percent", 100,
				      set_drop,		  false};

	return bind_impair_turn(L, &k);
}

static int l_directional_drop_rate(lua_State *L)
{
	static const struct knob k = {
	    "bridge:directional_drop_rate", "p", "", 100, set_drop, true};

	return bind_impair_turn(L, &k);
}

static int l_duplicate_rate(lua_State *L)
{
	static const struct knob k = {
	    "bridge:duplicate_rate", "p", "percent", 100, set_duplicate, false};

	return bind_impair_turn(L, &k);
}

static int l_reorder_rate(lua_State *L)
{
	static const struct knob k = {
	    "bridge:reorder_rate", "p", "percent", 100, set_reorder, false};

	return bind_impair_turn(L, &k);
}

static int l_corrupt_rate(lua_State *L)
{
	static const struct knob k = {
	    "bridge:corrupt_rate", "p", "percent", 100, set_corrupt, false};

	return bind_impair_turn(L, &k);
}

/* --- partitions and isolations -------------------------------------------- */

static void set_cut(struct bridge *b, struct direction d, unsigned cut,
		    bool is_cut)
{
	struct impairment *i = bridge_impairment(b, d.from, d.to);

	i->cuts = is_cut ? i->cuts | cut : i->cuts & ~cut;
}

static bool is_cut(const struct bridge *b, struct direction d, unsigned cut)
{
	return bridge_get_impairment(b, d.from, d.to).cuts & cut;
}

static struct direction reversed(struct direction d)
{
	return (struct direction){d.to, d.from};
}

static int cut_pair(lua_State *L, const char *method, bool shall_cut)
{
	struct bridge_object *b = bridge_check(L, method);
	bool is_both;
	struct direction d = bind_impair_check_pair(L, method, b, &is_both);

	set_cut(b->bridge, d, CUT_PARTITION, shall_cut);
	if (is_both)
		set_cut(b->bridge, reversed(d), CUT_PARTITION, shall_cut);
	bind_impair_apply(L, method, b);
	return 1;
}

static int l_partition(lua_State *L)
{
	return cut_pair(L, "bridge:partition", true);
}

static int l_unpartition(lua_State *L)
{
	return cut_pair(L, "bridge:unpartition", false);
}

static int l_is_partitioned(lua_State *L)
{
	static const char method[] = "bridge:is_partitioned";
	const struct bridge_object *b = bridge_check(L, method);
	bool is_both;
	struct direction d = bind_impair_check_pair(L, method, b, &is_both);
	bool is = is_cut(b->bridge, d, CUT_PARTITION);

	if (is_both)
		is = is || is_cut(b->bridge, reversed(d), CUT_PARTITION);
	lua_pushboolean(L, is);
	return 1;
}

/* Of every two that are attached; of each with the others. */
static void cut_all(struct bridge_object *b, unsigned cut, bool shall_cut)
{
	struct attachment *from, *to;

	TAILQ_FOREACH (from, &b->attachments, of_bridge)
		TAILQ_FOREACH (to, &b->attachments, of_bridge)
			if (from != to)
				set_cut(
				    b->bridge,
				    (struct direction){from->port, to->port},
				    cut, shall_cut);
}

static void set_isolated(struct bridge *b, const struct port *p, bool is)
{
	set_cut(b, (struct direction){p, NULL}, CUT_ISOLATION, is);
	set_cut(b, (struct direction){NULL, p}, CUT_ISOLATION, is);
}

static int l_partition_all(lua_State *L)
{
	struct bridge_object *b = bridge_check(L, "bridge:partition_all");

	cut_all(b, CUT_PARTITION, true);
	bind_impair_apply(L, "bridge:partition_all", b);
	return 1;
}

static int l_restore_all(lua_State *L)
{
	struct bridge_object *b = bridge_check(L, "bridge:restore_all");
	struct attachment *a;

	cut_all(b, CUT_PARTITION, false);
	TAILQ_FOREACH (a, &b->attachments, of_bridge)
		set_isolated(b->bridge, a->port, false);
	bind_impair_apply(L, "bridge:restore_all", b);
	return 1;
}

static int isolate(lua_State *L, const char *method, bool is)
{
	struct bridge_object *b = bridge_check(L, method);

	set_isolated(b->bridge, check_port(L, method, b, 2, "vm"), is);
	bind_impair_apply(L, method, b);
	return 1;
}

static int l_isolate(lua_State *L)
{
	return isolate(L, "bridge:isolate", true);
}

static int l_unisolate(lua_State *L)
{
	return isolate(L, "bridge:unisolate", false);
}

static int l_is_isolated(lua_State *L)
{
	static const char method[] = "bridge:is_isolated";
	const struct bridge_object *b = bridge_check(L, method);
	struct direction d = {check_port(L, method, b, 2, "vm"), NULL};

	lua_pushboolean(L, is_cut(b->bridge, d, CUT_ISOLATION));
	return 1;
}

/* --- the rest ------------------------------------------------------------- */

static int l_seed(lua_State *L)
{
	static const char method[] = "bridge:seed";
	struct bridge_object *b = bridge_check(L, method);
	struct err err = {0};

	if (bridge_seed(b->bridge, arg_u64(L, method, 2, "seed"), &err) < 0)
		bind_fail_err(L, method, &err);
	lua_settop(L, 1);
	return 1;
}

static int bind_impair_l_reset(lua_State *L)
{
	static const char method[] = "bridge:reset";
	struct bridge_object *b = bridge_check(L, method);
	struct err err = {0};

	if (bridge_reset_impairments(b->bridge, &err) < 0)
		bind_fail_err(L, method, &err);
	lua_settop(L, 1);
	return 1;
}

/* The rule of all of the bridge, or of {from =, to =}. */
static struct impairment bind_impair_get(lua_State *L, const char *method)
{
	const struct bridge_object *b = bridge_check(L, method);
	struct ends e = {0, 0, "from", "to"};

	bind_options(L, method, arg_opt_table(L, method, 2, "direction"),
		     end_options, &e);
	struct direction d = check_ends(L, method, b, &e, false);
	return bridge_get_impairment(b->bridge, d.from, d.to);
}

static int l_latency_ms(lua_State *L)
{
	lua_pushnumber(
	    L, (double)bind_impair_get(L, "bridge:latency_ms").latency_ns /
		   (double)NS_PER_MS);
	return 1;
}

static int l_drop_rate_pct(lua_State *L)
{
	lua_pushnumber(
	    L, bind_impair_get(L, "bridge:drop_rate_pct").chance[CHANCE_DROP] *
		   100);
	return 1;
}

static int l_bandwidth_bps(lua_State *L)
{
	lua_pushnumber(L,
		       (double)bind_impair_get(L, "bridge:bandwidth_bps").bps);
	return 1;
}

static const struct bind_method methods[] = {
    {"add_latency", l_add_latency, 1},
    {"add_directional_latency", l_add_directional_latency, 1},
    {"bandwidth_limit", l_bandwidth_limit, 1},
    {"drop_rate", l_drop_rate, 1},
    {"directional_drop_rate", l_directional_drop_rate, 1},
    {"duplicate_rate", l_duplicate_rate, 1},
    {"reorder_rate", l_reorder_rate, 1},
    {"corrupt_rate", l_corrupt_rate, 1},
    {"partition", l_partition, 2},
    {"unpartition", l_unpartition, 2},
    {"is_partitioned", l_is_partitioned, 2},
    {"partition_all", l_partition_all, 0},
    {"restore_all", l_restore_all, 0},
    {"isolate", l_isolate, 1},
    {"unisolate", l_unisolate, 1},
    {"is_isolated", l_is_isolated, 1},
    {"seed", l_seed, 1},
    {"reset", bind_impair_l_reset, 0},
    {"latency_ms", l_latency_ms, 1},
    {"drop_rate_pct", l_drop_rate_pct, 1},
    {"bandwidth_bps", l_bandwidth_bps, 1},
    {NULL, NULL, 0},
};

void bind_impair_register(lua_State *L)
{
	bind_class_extend(L, &bridge_class, methods);
}
