/* SPDX-License-Identifier: MIT */
/*
 * A Nic object is a name for an attachment, which VM and bridge own: making
 * many, or closing one, changes nothing for the others. It hangs on the
 * bridge, and says so when the VM is not on it any more.
 */
#include "runner/bind_nic.h"

#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/mem.h"
#include "runner/bind_capture.h"
#include "runner/bind_stream.h"

struct nic_object {
	struct object obj;
	struct vm_object *vm; /* kept by the fields, as is the bridge */
	struct bridge_object *bridge;
};

/* Where the VM is kept among the object's fields. */
static const char vm_key;

static struct nic_object *check_nic(lua_State *L, const char *method)
{
	struct nic_object *nic = object_check(L, 1, &nic_class, method);

	if (object_is_closed(&nic->obj))
		bind_fail_closed(L, method, &nic->obj, "the NIC");
	return nic;
}

static struct attachment *check_attachment(lua_State *L, const char *method,
					   struct nic_object **ret)
{
	struct nic_object *nic = check_nic(L, method);
	struct attachment *a;

	*ret = nic;
	if (object_is_closed(&nic->vm->obj))
		bind_fail_closed(L, method, &nic->vm->obj, "its VM");
	a = attachment_find(nic->vm, nic->bridge);
	if (!a)
		bind_fail_arg(L, method,
			      "VM '%s' is not on bridge '%s' any "
			      "more",
			      nic->vm->name, nic->bridge->name);
	return a;
}

void nic_push(lua_State *L, int vm_idx, int bridge_idx)
{
	struct nic_object *nic = object_new(L, &nic_class, bridge_idx);

	nic->vm = lua_touserdata(L, vm_idx);
	nic->bridge = lua_touserdata(L, bridge_idx);
	object_push_fields(L, -1);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&vm_key);
	lua_pushvalue(L, vm_idx);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

/* --- captures ------------------------------------------------------------- */

void nic_push_capture(lua_State *L, const char *method, const char *kind,
		      struct bridge_object *b, struct port *only,
		      const char *detail)
{
	struct capture_options o = {0};
	struct stream_label label;
	struct err err = {0};
	struct stream *s;
	struct site site;

	capture_check_options(L, method, 2, &o);
	stream_label_here(L, kind, detail, &site, &label);
	s = bridge_capture(b->bridge, only, &o, &label, &err);
	if (!s)
		bind_fail_err(L, method, &err);
	stream_push(L, s, 0);
}

static int bind_nic_l_capture(lua_State *L)
{
	static const char method[] = "nic:capture";
	struct nic_object *nic;
	struct attachment *a = check_attachment(L, method, &nic);

	lua_settop(L, 2);
	lua_pushfstring(L, "%s on %s", nic->vm->name, nic->bridge->name);
	nic_push_capture(L, method, "nic_capture", nic->bridge, a->port,
			 lua_tostring(L, 3));
	return 1;
}

int nic_l_ends(lua_State *L)
{
	struct nic_object *nic;

	check_attachment(L, luaL_checkstring(L, 2), &nic);
	object_push(L, &nic->bridge->obj);
	object_push(L, &nic->vm->obj);
	return 2;
}

/* --- answers -------------------------------------------------------------- */

static int l_vm_name(lua_State *L)
{
	struct nic_object *nic;

	check_attachment(L, "nic:vm_name", &nic);
	lua_pushstring(L, nic->vm->name);
	return 1;
}

static int l_bridge(lua_State *L)
{
	struct nic_object *nic;

	check_attachment(L, "nic:bridge", &nic);
	lua_pushstring(L, nic->bridge->name);
	return 1;
}

static int l_mac(lua_State *L)
{
	struct nic_object *nic;
	char mac[MAC_TEXT_MAX];

	mac_format(port_mac(check_attachment(L, "nic:mac", &nic)->port), mac);
	lua_pushstring(L, mac);
	return 1;
}

static int l_ip(lua_State *L)
{
	struct nic_object *nic;
	char ip[IPV4_TEXT_MAX];

	ipv4_format(port_ip(check_attachment(L, "nic:ip", &nic)->port), ip);
	lua_pushstring(L, ip);
	return 1;
}

static int l_ip6(lua_State *L)
{
	struct nic_object *nic;
	char text[IPV6_TEXT_MAX];
	uint8_t ip[IPV6_LEN];

	if (!port_ip6(check_attachment(L, "nic:ip6", &nic)->port, ip))
		return 0;
	ipv6_format(ip, text);
	lua_pushstring(L, text);
	return 1;
}

static int l_counters(lua_State *L)
{
	struct nic_object *nic;
	struct port_counters c;

	port_counters(check_attachment(L, "nic:counters", &nic)->port, &c);
	const struct {
		const char *name;
		uint64_t value;
	} fields[] = {
	    {"rx_bytes", c.rx_bytes},	      {"tx_bytes", c.tx_bytes},
	    {"rx_packets", c.rx_frames},      {"tx_packets", c.tx_frames},
	    {"errors", c.errors + c.dropped},
	};
	lua_createtable(L, 0, ARRAY_LEN(fields));
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		bind_push_u64(L, fields[i].value);
		lua_setfield(L, -2, fields[i].name);
	}
	return 1;
}

static int bind_nic_l_tostring(lua_State *L)
{
	const struct nic_object *nic = lua_touserdata(L, 1);

	if (object_is_closed(&nic->obj) || object_is_closed(&nic->vm->obj))
		lua_pushfstring(L, "nic (closed): %p", (const void *)nic);
	else
		lua_pushfstring(L, "nic of '%s' on '%s': %p", nic->vm->name,
				nic->bridge->name, (const void *)nic);
	return 1;
}

/* --- vm:nic --------------------------------------------------------------- */

static _Noreturn void fail_no_nic(lua_State *L, const struct vm_object *v,
				  const char *name)
{
	struct buf *text = bind_push_buf(L);
	struct attachment *a;

	TAILQ_FOREACH (a, &v->attachments, of_vm)
		buf_printf(text, "%s%s", text->len ? ", " : "",
			   a->bridge->name);
	if (!text->len)
		bind_fail_arg(L, "vm:nic",
			      "VM '%s' is on no bridge: attach it with "
			      "bridge:attach()",
			      v->name);
	bind_fail_arg(L, "vm:nic",
		      "VM '%s' is not on a bridge '%s'; it is on: %.*s",
		      v->name, name, (int)text->len, (char *)buf_data(text));
}

static int vm_nic(lua_State *L)
{
	struct vm_object *v = vm_check(L, 1, "vm:nic");
	const char *name = arg_path(L, "vm:nic", 2, "bridge");
	struct attachment *a;

	TAILQ_FOREACH (a, &v->attachments, of_vm) {
		if (strcmp(a->bridge->name, name) != 0)
			continue;
		object_push(L, &a->bridge->obj);
		nic_push(L, 1, lua_gettop(L));
		return 1;
	}
	fail_no_nic(L, v, name);
}

static const struct bind_method methods[] = {
    {"capture", bind_nic_l_capture, 1},
    {"vm_name", l_vm_name, 0},
    {"bridge", l_bridge, 0},
    {"mac", l_mac, 0},
    {"ip", l_ip, 0},
    {"counters", l_counters, 0},
    {"ip6", l_ip6, 0},
    {NULL, NULL, 0},
};

static const struct bind_function meta[] = {
    {"__tostring", bind_nic_l_tostring},
    {NULL, NULL},
};

const struct object_class nic_class = {
    .name = "nic",
    .rank = RANK_FILE,
    .size = sizeof(struct nic_object),
    .methods = methods,
    .meta = meta,
};

void bind_nic_register(lua_State *L)
{
	static const struct bind_method vm_methods[] = {
	    {"nic", vm_nic, 1},
	    {NULL, NULL, 0},
	};

	bind_class(L, &nic_class);
	bind_class_extend(L, &vm_class, vm_methods);
}
