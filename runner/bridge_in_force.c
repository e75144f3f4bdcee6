/* SPDX-License-Identifier: MIT */
#include "runner/bridge_in_force.h"

#include <stdbool.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/lua_state.h"
#include "vmm/net/impair.h"

static const char *rule_guest(const json_t *rule, const char *key)
{
	return json_string_value(json_object_get(rule, key));
}

static int64_t rule_integer(const json_t *rule, const char *key)
{
	return json_integer_value(json_object_get(rule, key));
}

static void put_word(struct buf *out, const char *word)
{
	buf_printf(out, "%s%s", out->len ? ", " : "", word);
}

static void bridge_in_force_put_span(struct buf *out, const json_t *rule,
				     const char *key, const char *word)
{
	char span[DURATION_TEXT_MAX];
	int64_t ns = rule_integer(rule, key);

	if (ns)
		buf_printf(out, "%s%s %s", out->len ? ", " : "", word,
			   duration_text(ns, span));
}

/* What the rule does; nothing where it does nothing. */
static void put_effects(struct buf *out, const json_t *rule)
{
	static const char *const chances[] = {"drop", "duplicate", "reorder",
					      "corrupt"};
	int64_t cuts = rule_integer(rule, "cuts");
	int64_t bps = rule_integer(rule, "bps");

	if (cuts & CUT_PARTITION)
		put_word(out, "partitioned");
	if (cuts & CUT_ISOLATION)
		put_word(out, "isolated");
	bridge_in_force_put_span(out, rule, "latency_ns", "latency");
	bridge_in_force_put_span(out, rule, "jitter_ns", "jitter");
	for (size_t i = 0; i < ARRAY_LEN(chances); i++) {
		double part =
		    json_number_value(json_object_get(rule, chances[i]));

		if (part > 0)
			buf_printf(out, "%s%s %g %%", out->len ? ", " : "",
				   chances[i], part * 100);
	}
	if (bps)
		buf_printf(out, "%s%g Mbit/s", out->len ? ", " : "",
			   (double)bps / 1e6);
}

static bool bridge_in_force_is_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* A rule of the other direction that does the same; or NULL. */
static const json_t *find_twin(const json_t *rules, const json_t *rule,
			       const struct buf *effects)
{
	const char *from = rule_guest(rule, "from");
	const char *to = rule_guest(rule, "to");

	for (size_t i = 0; from && to && i < json_array_size(rules); i++) {
		CLEANUP(buf_done) struct buf other = {0};
		const json_t *r = json_array_get(rules, i);

		if (!bridge_in_force_is_same(rule_guest(r, "from"), to) ||
		    !bridge_in_force_is_same(rule_guest(r, "to"), from))
			continue;
		put_effects(&other, r);
		if (other.len == effects->len &&
		    !memcmp(buf_data(&other), buf_data(effects), other.len))
			return r;
	}
	return NULL;
}

static void put_rule(struct buf *out, const json_t *rules, const json_t *rule)
{
	CLEANUP(buf_done) struct buf effects = {0};
	const char *from = rule_guest(rule, "from");
	const char *to = rule_guest(rule, "to");

	put_effects(&effects, rule);
	if (!effects.len)
		return;
	const json_t *twin = find_twin(rules, rule, &effects);
	/* Of two, the one whose name comes first speaks for both. */
	if (twin && strcmp(from, to) > 0)
		return;
	buf_printf(out, "%s", out->len ? "; " : "");
	if (from && to)
		buf_printf(out, "%s %s %s", from, twin ? "<->" : "->", to);
	else if (from || to)
		buf_printf(out, "%s %s", from ? "from" : "to",
			   from ? from : to);
	else
		buf_printf(out, "all");
	buf_append(out, " ", 1);
	buf_append(out, buf_data(&effects), effects.len);
}

void bridge_in_force(const json_t *saved, struct buf *out)
{
	const json_t *rules = json_object_get(saved, "rules");
	const json_t *ports = json_object_get(saved, "ports");
	CLEANUP(buf_done) struct buf text = {0};

	for (size_t i = 0; i < json_array_size(rules); i++)
		put_rule(&text, rules, json_array_get(rules, i));
	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);

		if (!json_is_true(json_object_get(port, "link")))
			buf_printf(&text, "%slink of %s down",
				   text.len ? "; " : "",
				   rule_guest(port, "guest"));
	}
	if (!text.len)
		return;
	buf_printf(out, "%s: ", rule_guest(saved, "name"));
	buf_append(out, buf_data(&text), text.len);
}
