/* SPDX-License-Identifier: MIT */
/*
 * Owns the type bridge: which VMs are on it, and its captures. Frames, leases
 * and names are vmm/net/bridge.h's.
 *
 * A VM is attached while it is off, and has a NIC in each boot that follows; or
 * while its guest runs, to a NIC that has no cable: bind_cable.h. The
 * attachment belongs to both: closing the bridge while the guest runs pulls
 * the cable, and the next boot is without that NIC.
 */
#include "runner/bind_bridge.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/bind_lab.h"
#include "runner/bind_nic.h"
#include "runner/bind_vm.h"
#include "runner/bridge_in_force.h"
#include "runner/evidence.h"
#include "runner/worker.h"
#include "vmm/net/bridge_log.h"
#include "vmm/net/bridge_state.h"
#include "vmm/net/packet_text.h"

struct bridge_object *bridge_check(lua_State *L, const char *method)
{
	struct bridge_object *b = object_check(L, 1, &bridge_class, method);

	if (object_is_closed(&b->obj))
		bind_fail_closed(L, method, &b->obj, "the bridge");
	return b;
}

static void bridge_object_logs(const void *object, struct strvec *paths)
{
	const struct bridge_object *b = object;

	if (b->bridge)
		bridge_log_paths(b->bridge, paths);
}

struct told_packets {
	json_t *list;
	int64_t since_ns;
};

static void tell_packet(void *ctx, int64_t realtime_ns, const uint8_t *frame,
			size_t n)
{
	const struct told_packets *told = ctx;
	CLEANUP(buf_done) struct buf text = {0};
	double at = (double)(realtime_ns - told->since_ns) / NS_PER_SEC;

	packet_text(&text, frame, n);
	json_array_append_new(
	    told->list,
	    json_pack("{s:f, s:o}", "at", at > 0 ? at : 0, "text",
		      event_string((char *)buf_data(&text), text.len)));
}

static bool bridge_object_packets(const void *object, int64_t since_ns,
				  json_t *ev)
{
	const struct bridge_object *b = object;
	struct told_packets told = {json_array(), since_ns};
	uint64_t left_out = 0;

	if (b->bridge)
		left_out =
		    bridge_log_last(b->bridge, since_ns, EVIDENCE_PACKETS_MAX,
				    tell_packet, &told);
	json_object_set_new(ev, "packets", told.list);
	if (!json_array_size(told.list))
		return false;
	json_object_set_new(ev, "bridge",
			    event_string(b->name, strlen(b->name)));
	if (left_out)
		json_object_set_new(ev, "left_out",
				    json_integer((json_int_t)left_out));
	return true;
}

static void bridge_object_close(void *p)
{
	struct bridge_object *b = p;
	CLEANUP(strvec_done) struct strvec logs = {0};
	struct attachment *a;

	if (!b->bridge)
		return;
	while ((a = TAILQ_FIRST(&b->attachments)))
		attachment_free(a);
	bridge_object_logs(b, &logs);
	for (size_t i = 0; i < logs.n; i++)
		evidence_add_file(b->worker, logs.v[i]);
	b->bridge = bridge_free(b->bridge);
	free(b->name);
	b->name = NULL;
}

/* --- VMs ------------------------------------------------------------------ */

struct vm_object *bridge_check_vm(lua_State *L, const char *method, int idx,
				  const char *name)
{
	struct vm_object *v = object_test(L, idx, &vm_class);

	if (!v)
		bind_fail_arg(L, method, "%s must be a VM, got %s", name,
			      arg_type_name(L, idx));
	if (object_is_closed(&v->obj))
		bind_fail_arg(L, method, "%s is a VM that is closed", name);
	return v;
}

struct attachment *bridge_check_attached(lua_State *L, const char *method,
					 const struct bridge_object *b, int idx,
					 const char *name)
{
	struct vm_object *v = bridge_check_vm(L, method, idx, name);
	struct attachment *a = attachment_find(v, b);

	if (!a)
		bind_fail_arg(L, method,
			      "VM '%s' is not on bridge '%s': attach it with "
			      "bridge:attach()",
			      v->name, b->name);
	return a;
}

/* Their names, in the order of attach. */
static int bind_bridge_l_members(lua_State *L)
{
	struct bridge_object *b = bridge_check(L, "bridge:members");
	struct attachment *a;
	int n = 0;

	lua_newtable(L);
	TAILQ_FOREACH (a, &b->attachments, of_bridge) {
		lua_pushstring(L, a->vm->name);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

static int l_nic(lua_State *L)
{
	static const char method[] = "bridge:nic";

	bridge_check_attached(L, method, bridge_check(L, method), 2, "vm");
	nic_push(L, 2, 1);
	return 1;
}

/* --- routes --------------------------------------------------------------- */

static int l_route(lua_State *L)
{
	static const char method[] = "bridge:route";
	struct bridge_object *b = bridge_check(L, method);
	struct bridge_object *other = object_test(L, 2, &bridge_class);

	if (!other)
		bind_fail_arg(L, method, "other must be a bridge, got %s",
			      arg_type_name(L, 2));
	if (object_is_closed(&other->obj))
		bind_fail_arg(L, method, "other is a bridge that is closed");
	if (other == b)
		bind_fail_arg(L, method, "other is the bridge '%s' itself",
			      b->name);
	bridge_route(b->bridge, other->bridge);
	lua_settop(L, 1);
	return 1;
}

static int l_routes(lua_State *L)
{
	const struct bridge_object *b = bridge_check(L, "bridge:routes");
	const struct bridge *other = NULL;
	int n = 0;

	lua_newtable(L);
	while ((other = bridge_next_route(b->bridge, other))) {
		lua_pushstring(L, bridge_name(other));
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

/* --- the uplink ----------------------------------------------------------- */

static int l_enable_uplink(lua_State *L)
{
	static const char method[] = "bridge:enable_uplink";
	struct bridge_object *b = bridge_check(L, method);
	struct err err = {0};

	if (bridge_enable_uplink(b->bridge, &err) < 0)
		bind_fail_err(L, method, &err);
	lua_settop(L, 1);
	return 1;
}

static int l_disable_uplink(lua_State *L)
{
	struct bridge_object *b = bridge_check(L, "bridge:disable_uplink");

	bridge_disable_uplink(b->bridge);
	lua_settop(L, 1);
	return 1;
}

/* --- the rest ------------------------------------------------------------- */

static int bind_bridge_l_name(lua_State *L)
{
	lua_pushstring(L, bridge_check(L, "bridge:name")->name);
	return 1;
}

static int bind_bridge_l_capture(lua_State *L)
{
	static const char method[] = "bridge:capture";
	struct bridge_object *b = bridge_check(L, method);

	nic_push_capture(L, method, "bridge_capture", b, NULL, b->name);
	return 1;
}

static int bind_bridge_l_tostring(lua_State *L)
{
	const struct bridge_object *b = lua_touserdata(L, 1);

	if (object_is_closed(&b->obj))
		lua_pushfstring(L, "bridge (closed): %p", (const void *)b);
	else
		lua_pushfstring(L, "bridge '%s': %p", b->name, (const void *)b);
	return 1;
}

/* --- in labs -------------------------------------------------------------- */

struct bridge_opts {
	bool ipv6;
	int dhcp;	     /* stack index; 0: it does not say */
	const char *network; /* NULL: it does not say */
};

static const struct opt bridge_options[] = {
    {"ipv6", OPT_BOOL, offsetof(struct bridge_opts, ipv6)},
    {"dhcp", OPT_VALUE, offsetof(struct bridge_opts, dhcp)},
    {"network", OPT_STRING, offsetof(struct bridge_opts, network)},
    {NULL, 0, 0},
};

static enum network check_network(lua_State *L, const char *method,
				  const struct bridge_opts *o)
{
	enum network network = worker_of(L)->config.network;

	if (o->network && network_parse(o->network, &network) < 0)
		bind_fail_arg(L, method,
			      "options.network must be \"user\" or "
			      "\"kernel\", got \"%s\"",
			      o->network);
	return network;
}

/* Pushes the object of a new bridge, which has the name in the lab at 1. */
static void push_bridge(lua_State *L, const char *name, struct bridge *bridge)
{
	struct worker *w = worker_of(L);

	/* What cannot be kept is no failure of the test's. */
	if (w->job->keeps_logs)
		bridge_log(bridge, w->job->run_dir, NULL);
	struct bridge_object *b = object_new(L, &bridge_class, 0);
	b->bridge = bridge;
	b->worker = w;
	b->name = mem_strdup(name);
	TAILQ_INIT(&b->attachments);
	scope_name(w->scope, L, 1, name, lua_gettop(L));
}

static struct bridge *make_bridge(struct net *net, const char *name,
				  const struct bridge_opts *o, bool has_dhcp,
				  enum network network, struct err *err)
{
	struct bridge *b = bridge_new(net, name, err);

	if (b && o->ipv6)
		bridge_enable_ipv6(b);
	if (b && !has_dhcp)
		bridge_disable_dhcp(b);
	if (b && network == NETWORK_KERNEL && bridge_use_kernel(b, err) < 0)
		return bridge_free(b);
	return b;
}

static void create_bridge(lua_State *L, const char *name,
			  const struct bridge_opts *o, bool has_dhcp,
			  enum network network)
{
	struct err err = {0};
	struct bridge *bridge = make_bridge(worker_net(worker_of(L)), name, o,
					    has_dhcp, network, &err);

	if (!bridge)
		bind_fail_err(L, "lab:bridge", &err);
	push_bridge(L, name, bridge);
}

bool bridge_object_restore(lua_State *L, const char *name, const json_t *saved,
			   struct err *err)
{
	struct worker *w = worker_of(L);
	struct bridge *bridge;

	scope_find(w->scope, L, 1, &bridge_class, name);
	if (!lua_isnil(L, -1))
		return true;
	lua_pop(L, 1);
	bridge = bridge_new_saved(worker_net(w), name, saved, err);
	if (bridge)
		push_bridge(L, name, bridge);
	return bridge;
}

static void check_same_network(lua_State *L, const char *method,
			       const struct bridge_object *b, int wanted)
{
	enum network is =
	    bridge_is_kernel(b->bridge) ? NETWORK_KERNEL : NETWORK_USER;

	if (wanted >= 0 && wanted != (int)is)
		bind_fail_arg(L, method,
			      "bridge '%s' was made with network \"%s\": ask "
			      "for another where it is made",
			      b->name, network_name(is));
}

static int lab_bridge(lua_State *L)
{
	static const char method[] = "lab:bridge";
	struct bridge_opts o = {0};

	bind_lab_check(L, method);
	const char *name = bind_lab_check_name(L, method, 2);
	bind_options(L, method, arg_opt_table(L, method, 3, "options"),
		     bridge_options, &o);
	enum network network = check_network(L, method, &o);
	bool has_dhcp = !o.dhcp || arg_bool(L, method, o.dhcp, "dhcp", true);
	scope_find(worker_of(L)->scope, L, 1, &bridge_class, name);
	const struct bridge_object *b = object_test(L, -1, &bridge_class);
	if (b && o.ipv6 && !bridge_has_ipv6(b->bridge))
		bind_fail_arg(L, method,
			      "bridge '%s' was made without IPv6: ask for it "
			      "where it is made",
			      name);
	if (b && o.dhcp && has_dhcp != bridge_has_dhcp(b->bridge))
		bind_fail_arg(L, method,
			      "bridge '%s' was made with dhcp = %s: ask for "
			      "another where it is made",
			      name, has_dhcp ? "false" : "true");
	if (b) {
		check_same_network(L, method, b, o.network ? (int)network : -1);
		return 1;
	}
	lua_pop(L, 1);
	bind_lab_check_not_reserved(L, method, name);
	create_bridge(L, name, &o, has_dhcp, network);
	return 1;
}

static int lab_bridge_names(lua_State *L)
{
	bind_lab_check(L, "lab:bridge_names");
	scope_list_names(worker_of(L)->scope, L, 1, &bridge_class);
	return 1;
}

static const struct bind_method lab_methods[] = {
    {"bridge", lab_bridge, 2},
    {"bridge_names", lab_bridge_names, 0},
    {NULL, NULL, 0},
};

static const struct bind_method methods[] = {
    {"enable_uplink", l_enable_uplink, 0},
    {"disable_uplink", l_disable_uplink, 0},

    {"members", bind_bridge_l_members, 0},
    {"route", l_route, 1},
    {"routes", l_routes, 0},
    {"name", bind_bridge_l_name, 0},
    {"nic", l_nic, 1},
    {"capture", bind_bridge_l_capture, 1},
    {NULL, NULL, 0},
};

static const struct bind_function meta[] = {
    {"__tostring", bind_bridge_l_tostring},
    {NULL, NULL},
};

static void bridge_object_in_force(const void *object, void *json_array)
{
	const struct bridge_object *b = object;
	CLEANUP(buf_done) struct buf text = {0};
	json_t *saved = b->bridge ? bridge_save(b->bridge) : NULL;

	bridge_in_force(saved, &text);
	json_decref(saved);
	if (text.len)
		json_array_append_new(
		    json_array,
		    event_string((char *)buf_data(&text), text.len));
}

const struct object_class bridge_class = {
    .name = "bridge",
    .rank = RANK_BRIDGE,
    .size = sizeof(struct bridge_object),
    .close = bridge_object_close,
    .in_force = bridge_object_in_force,
    .logs = bridge_object_logs,
    .packets = bridge_object_packets,
    .methods = methods,
    .meta = meta,
};

void bind_bridge_register(lua_State *L)
{
	bind_class(L, &bridge_class);
	bind_class_extend(L, &lab_class, lab_methods);
}
