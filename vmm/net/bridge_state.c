/* SPDX-License-Identifier: MIT */
#include "vmm/net/bridge_state.h"

#include <errno.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "vmm/net/bridge_private.h"
#include "vmm/net/shaper.h"

static const char *const chance_names[CHANCES] = {
    [CHANCE_DROP] = "drop",
    [CHANCE_DUPLICATE] = "duplicate",
    [CHANCE_REORDER] = "reorder",
    [CHANCE_CORRUPT] = "corrupt",
};

/* --- saving ----------------------------------------------------------------
 */

static json_t *save_ports(const struct bridge *b)
{
	json_t *list = json_array();

	for (size_t i = 0; i < PORTS_MAX; i++) {
		const struct port *p = b->ports[i];

		if (p)
			json_array_append_new(
			    list, json_pack("{s:s, s:I, s:b}", "guest",
					    p->guest, "slot", (json_int_t)i,
					    "link", !p->is_down));
	}
	return list;
}

static void set_guest(json_t *o, const char *key, const struct bridge *b,
		      const struct swport *sw)
{
	for (size_t i = 0; sw && i < PORTS_MAX; i++)
		if (b->ports[i] && &b->ports[i]->swport == sw)
			json_object_set_new(o, key,
					    json_string(b->ports[i]->guest));
}

static json_t *save_rule(const struct bridge *b, const struct impair_rule *r)
{
	const struct impairment *set = &r->set;
	json_t *o =
	    json_pack("{s:i, s:I, s:I, s:I}", "cuts", (int)set->cuts,
		      "latency_ns", (json_int_t)set->latency_ns, "jitter_ns",
		      (json_int_t)set->jitter_ns, "bps", (json_int_t)set->bps);

	for (int c = 0; c < CHANCES; c++)
		json_object_set_new(o, chance_names[c],
				    json_real(set->chance[c]));
	set_guest(o, "from", b, r->from);
	set_guest(o, "to", b, r->to);
	return o;
}

static json_t *save_rules(const struct bridge *b)
{
	const struct impair_table *t = shaper_rules(vswitch_shaper(b->sw));
	const struct impair_rule *r;
	json_t *list = json_array();

	TAILQ_FOREACH (r, &t->rules, link)
		json_array_append_new(list, save_rule(b, r));
	return list;
}

static json_t *save_routes(const struct bridge *b)
{
	const struct bridge *other = NULL;
	json_t *list = json_array();

	while ((other = bridge_next_route(b, other)))
		json_array_append_new(list, json_string(other->name));
	return list;
}

json_t *bridge_save(const struct bridge *b)
{
	return json_pack(
	    "{s:s, s:I, s:b, s:b, s:b, s:b, s:I, s:o, s:o, s:o}", "name",
	    b->name, "number", (json_int_t)b->number, "ipv6",
	    bridge_has_ipv6(b), "dhcp", bridge_has_dhcp(b), "kernel",
	    bridge_is_kernel(b), "uplink", bridge_has_uplink(b), "seed",
	    (json_int_t)shaper_get_seed(vswitch_shaper(b->sw)), "routes",
	    save_routes(b), "ports", save_ports(b), "rules", save_rules(b));
}

/* --- loading ---------------------------------------------------------------
 */

static const struct port *find_guest(const struct bridge *b, const json_t *o,
				     const char *key)
{
	const char *guest = json_string_value(json_object_get(o, key));

	for (size_t i = 0; guest && i < PORTS_MAX; i++)
		if (b->ports[i] && !strcmp(b->ports[i]->guest, guest))
			return b->ports[i];
	return NULL;
}

static void load_rule(struct bridge *b, const json_t *o)
{
	const struct port *from = find_guest(b, o, "from");
	const struct port *to = find_guest(b, o, "to");
	struct impairment *set;

	if ((!from && json_object_get(o, "from")) ||
	    (!to && json_object_get(o, "to")))
		return;
	set = bridge_impairment(b, from, to);
	set->cuts = (unsigned)json_integer_value(json_object_get(o, "cuts"));
	set->latency_ns = json_integer_value(json_object_get(o, "latency_ns"));
	set->jitter_ns = json_integer_value(json_object_get(o, "jitter_ns"));
	set->bps = (uint64_t)json_integer_value(json_object_get(o, "bps"));
	for (int c = 0; c < CHANCES; c++)
		set->chance[c] =
		    json_number_value(json_object_get(o, chance_names[c]));
}

static void load_links(struct bridge *b, const json_t *ports)
{
	size_t i;
	json_t *o;

	json_array_foreach (ports, i, o) {
		const struct port *p = find_guest(b, o, "guest");

		if (p)
			port_set_link(b->ports[p->slot],
				      json_is_true(json_object_get(o, "link")));
	}
}

int bridge_load(struct bridge *b, const json_t *saved, struct err *err)
{
	json_int_t seed = json_integer_value(json_object_get(saved, "seed"));
	size_t i;
	json_t *o;
	int r = bridge_reset_impairments(b, err);

	if (r < 0)
		return r;
	json_array_foreach (json_object_get(saved, "rules"), i, o) {
		load_rule(b, o);
	}
	/* One of the kernel's has none. */
	if (!bridge_is_kernel(b))
		r = bridge_seed(b, (uint64_t)seed, err);
	if (r == 0)
		r = bridge_impaired(b, err);
	if (r < 0)
		return r;
	load_links(b, json_object_get(saved, "ports"));
	if (json_is_true(json_object_get(saved, "uplink")))
		return bridge_enable_uplink(b, err);
	bridge_disable_uplink(b);
	return 0;
}

struct bridge *bridge_new_saved(struct net *n, const char *name,
				const json_t *saved, struct err *err)
{
	json_int_t number =
	    json_integer_value(json_object_get(saved, "number"));
	struct bridge *b;

	if (number < 1 || number > (json_int_t)BRIDGES_MAX ||
	    n->bridges[number - 1])
		number = 0;
	b = bridge_new_at(n, name, (unsigned)number, err);
	if (b && json_is_true(json_object_get(saved, "ipv6")))
		bridge_enable_ipv6(b);
	/* Older snapshots lack the key: their bridges have DHCP. */
	if (b && json_is_false(json_object_get(saved, "dhcp")))
		bridge_disable_dhcp(b);
	if (b && json_is_true(json_object_get(saved, "kernel")) &&
	    bridge_use_kernel(b, err) < 0)
		return bridge_free(b);
	return b;
}
