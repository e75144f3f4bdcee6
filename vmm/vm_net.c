/* SPDX-License-Identifier: MIT */
/*
 * The NICs of a VM: in the guest from boot to boot, with a cable to a port of a
 * bridge, or none, and configured by a program of the guest's own after each of
 * its starts. A cable is a socketpair: our end is the port's, and goes back to
 * the NIC when the port goes; QEMU's stays where it is.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "vmm/net/wire.h"
#include "vmm/vm_private.h"

/* What the program says is a line for each NIC that is not up. */
#define NET_OUTPUT_MAX ((size_t)64 << 10)
#define NET_SHOWN      300

static void start_set_link(struct vm *vm, size_t i, bool is_up,
			   struct qmp_call *call, int64_t deadline_ns)
{
	CLEANUP(free_ptr) char *name = mem_printf("nic%zu", i);

	qmp_call_start(call, vm->qmp, "set_link",
		       json_pack("{s:s, s:b}", "name", name, "up", is_up),
		       deadline_ns);
}

/* Where the port is; n_nics: nowhere. */
static size_t find_nic(const struct vm *vm, const struct port *port)
{
	size_t i = 0;

	while (i < vm->n_nics && vm->nics[i].port != port)
		i++;
	return i;
}

/* These, then the spare ones. */
static void lay_out(struct vm *vm, struct port *const *ports, size_t n)
{
	size_t all = n + vm->copy.spec.spare_nics;

	assert(all <= VM_NICS_MAX);
	for (size_t i = 0; i < all; i++)
		vm->nics[i] = (struct vm_nic){
		    .port = i < n ? ports[i] : NULL,
		    .socket = {.fd = -1},
		};
	vm->n_nics = all;
}

void vm_set_nics(struct vm *vm, struct port *const *ports, size_t n)
{
	assert(vm->state == VM_CREATED || vm->state == VM_SHUTDOWN);
	lay_out(vm, ports, n);
}

/* Those whose port went since then go, too. */
static void settle_nics(struct vm *vm)
{
	struct port *ports[VM_NICS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < vm->n_nics; i++)
		if (vm->nics[i].port)
			ports[n++] = vm->nics[i].port;
	lay_out(vm, ports, n);
}

/* --- cables --------------------------------------------------------------- */

/* The same in every run, whatever ran before: from the name of the VM. Ports
 * have 52:54:00:00 (bridge_host()). */
static void make_spare_mac(const struct vm *vm, size_t i, uint8_t ret[MAC_LEN])
{
	const char *name = vm_name(vm);
	uint64_t h = XXH3_64bits(name, strlen(name));
	const uint8_t mac[MAC_LEN] = {0x52,
				      0x54,
				      0x00,
				      (uint8_t)(0x10 | (h >> 12 & 0xf)),
				      (uint8_t)(h >> 4),
				      (uint8_t)(h << 4 | (i & 0xf))};

	static_assert(VM_NICS_MAX <= 16, "four bits of the address");
	memcpy(ret, mac, MAC_LEN);
}

static int plug_spare(struct vm *vm, size_t i, int *ret_theirs, struct err *err)
{
	int r = wire_pair(&vm->nics[i].socket, ret_theirs, err);

	if (r < 0)
		return r;
	make_spare_mac(vm, i, vm->nics[i].mac);
	return 0;
}

/* A NIC of before, with the MAC that its guest knows. */
static int replug(struct vm *vm, size_t i, int *ret_theirs, struct err *err)
{
	struct vm_nic *nic = &vm->nics[i];
	int r;

	if (nic->port && port_mac_clashes(nic->port, nic->mac))
		return err_set(err, -EADDRINUSE,
			       "its NIC has the MAC of another guest on bridge "
			       "'%s'",
			       bridge_name(port_bridge(nic->port)));
	if (nic->port && port_is_home_mac(nic->port, nic->mac))
		return port_plug(nic->port, ret_theirs, err);
	r = wire_pair(&nic->socket, ret_theirs, err);
	if (r == 0 && nic->port)
		r = port_give(nic->port, &nic->socket, nic->mac, err);
	return r;
}

static int replug_all(struct vm *vm, struct qemu_nic ret[VM_NICS_MAX],
		      struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < vm->n_nics && r == 0; i++) {
		r = replug(vm, i, &ret[i].fd, err);
		ret[i].mac = vm->nics[i].mac;
		ret[i].is_tap =
		    vm->nics[i].port && port_is_tap(vm->nics[i].port);
	}
	return r;
}

int vm_plug_nics(struct vm *vm, struct qemu_nic ret[VM_NICS_MAX],
		 struct err *err)
{
	int r = 0;

	if (vm->revival)
		return replug_all(vm, ret, err);
	settle_nics(vm);
	for (size_t i = 0; i < vm->n_nics && r == 0; i++) {
		struct vm_nic *nic = &vm->nics[i];

		r = nic->port ? port_plug(nic->port, &ret[i].fd, err)
			      : plug_spare(vm, i, &ret[i].fd, err);
		if (r < 0)
			ret[i].fd = -1;
		else if (nic->port)
			memcpy(nic->mac, port_mac(nic->port), MAC_LEN);
		ret[i].mac = nic->mac;
		ret[i].is_tap = nic->port && port_is_tap(nic->port);
	}
	return r;
}

void vm_unplug_nics(struct vm *vm)
{
	for (size_t i = 0; i < vm->n_nics; i++) {
		struct vm_nic *nic = &vm->nics[i];

		if (nic->set_link.command)
			qmp_call_done(&nic->set_link);
		if (nic->port)
			port_unplug(nic->port);
		wire_socket_close(&nic->socket);
	}
}

void vm_net_restarted(struct vm *vm)
{
	for (size_t i = 0; i < vm->n_nics; i++)
		if (vm->nics[i].port)
			port_restarted(vm->nics[i].port);
}

unsigned vm_spare_nics(const struct vm *vm)
{
	return vm->copy.spec.spare_nics;
}

bool vm_has_free_nic(const struct vm *vm)
{
	size_t i = find_nic(vm, NULL);

	return i < vm->n_nics && vm->nics[i].socket.fd >= 0;
}

int vm_plug_nic(struct vm *vm, struct port *port, struct err *err)
{
	size_t i = find_nic(vm, NULL);
	struct vm_nic *nic = &vm->nics[i];

	if (!vm_has_free_nic(vm))
		return err_set(err, -ENODEV, "VM %s has no NIC without a cable",
			       vm_name(vm));
	if (port_mac_is_taken(port, nic->mac))
		return err_set(err, -EADDRINUSE,
			       "VM %s: its NIC has the MAC of another guest on "
			       "bridge '%s'",
			       vm_name(vm), bridge_name(port_bridge(port)));
	port_set_link(port, false);
	int r = port_give(port, &nic->socket, nic->mac, err);
	if (r < 0)
		return r;
	nic->port = port;
	return 0;
}

void vm_drop_nic(struct vm *vm, struct port *port)
{
	size_t i = find_nic(vm, port);
	struct vm_nic *nic = &vm->nics[i];

	if (i == vm->n_nics)
		return;
	port_take(port, &nic->socket);
	nic->port = NULL;
	if (!vm->qmp)
		return;
	/* Nobody waits for that. */
	if (nic->set_link.command)
		qmp_call_done(&nic->set_link);
	start_set_link(vm, i, false, &nic->set_link, CLOCK_NEVER);
}

/* --- links ---------------------------------------------------------------- */

void vm_start_nics(struct vm *vm)
{
	for (size_t i = 0; i < vm->n_nics; i++) {
		struct vm_nic *nic = &vm->nics[i];

		if (!nic->port || !port_has_link(nic->port))
			start_set_link(vm, i, false, &nic->set_link,
				       CLOCK_NEVER);
	}
}

void vm_tell_links(struct vm *vm)
{
	for (size_t i = 0; i < vm->n_nics; i++) {
		struct vm_nic *nic = &vm->nics[i];

		if (nic->set_link.command)
			qmp_call_done(&nic->set_link);
		start_set_link(vm, i, nic->port && port_has_link(nic->port),
			       &nic->set_link, CLOCK_NEVER);
	}
}

void vm_link_start(struct vm *vm, struct port *port, bool is_up,
		   struct qmp_call *call, int64_t deadline_ns)
{
	size_t i = find_nic(vm, port);

	port_set_link(port, is_up);
	if (vm->qmp && i < vm->n_nics) {
		start_set_link(vm, i, is_up, call, deadline_ns);
		return;
	}
	qmp_call_skip(call, vm->loop);
}

/* --- in the guest --------------------------------------------------------- */

/* "MAC=BRIDGE", and of IPv6 behind it ",ADDRESS,GATEWAY". */
static void vm_net_add_words(struct strvec *argv, const struct vm_nic *nic)
{
	const struct bridge *b = port_bridge(nic->port);
	char mac[MAC_TEXT_MAX], own[IPV6_TEXT_MAX], gateway[IPV6_TEXT_MAX];
	uint8_t ip[IPV6_LEN];

	mac_format(nic->mac, mac);
	if (!bridge_has_ipv6(b)) {
		strvec_addf(argv, "%s=%s", mac, bridge_name(b));
		return;
	}
	port_make_ip6(nic->port, ip);
	ipv6_format(ip, own);
	bridge_ip6(b, ip);
	ipv6_format(ip, gateway);
	strvec_addf(argv, "%s=%s,%s,%s", mac, bridge_name(b), own, gateway);
}

/* Whether the guest's program configures the NIC of this port (NULL: a spare
 * NIC). A NIC on a bridge without DHCP belongs to the test. */
static bool is_set_up(const struct port *p)
{
	return p && port_has_link(p) && bridge_has_dhcp(port_bridge(p));
}

static void add_nic(struct strvec *argv, const struct vm_nic *nic)
{
	if (is_set_up(nic->port))
		vm_net_add_words(argv, nic);
	else
		strvec_add(argv, "-");
}

void vm_net_command(const struct vm *vm, const struct port *port,
		    const char *verb, struct strvec *argv)
{
	size_t i = find_nic(vm, port);

	if (!vm->copy.spec.net_setup || i == vm->n_nics ||
	    !bridge_has_dhcp(port_bridge(port)))
		return;
	strvec_add(argv, vm->copy.spec.net_setup);
	strvec_add(argv, verb);
	strvec_addf(argv, "%zu", i);
	vm_net_add_words(argv, &vm->nics[i]);
}

static bool has_nic_to_set_up(const struct vm *vm)
{
	for (size_t i = 0; i < vm->n_nics; i++)
		if (is_set_up(vm->nics[i].port))
			return true;
	return false;
}

bool vm_net_start(struct vm *vm)
{
	const char *program = vm->copy.spec.net_setup;
	CLEANUP(strvec_done) struct strvec argv = {0};
	struct exec_spec spec = {0};

	vm->net_err.code = 0;
	if (!program || !has_nic_to_set_up(vm))
		return false;
	strvec_add(&argv, program);
	for (size_t i = 0; i < vm->n_nics; i++)
		add_nic(&argv, &vm->nics[i]);
	spec.argv = (const char *const *)argv.v;
	vm->link = LINK_NET;
	vm->net_setup = exec_new(vm->client);
	vm->net_setup->max_output = NET_OUTPUT_MAX;
	client_pass(vm->client, true);
	exec_start(vm->net_setup, &spec, CLOCK_NEVER);
	client_pass(vm->client, false);
	vm->net_setup->op.on_done = vm_on_op;
	vm->net_setup->op.done_ctx = vm;
	if (op_is_done(&vm->net_setup->op))
		vm_kick(vm);
	return true;
}

/* What it printed, as one line. */
static void vm_net_describe(const struct exec *x, struct err *err)
{
	CLEANUP(buf_done) struct buf text = {0};
	const struct buf *b = &x->err_out;
	size_t n = b->len;

	while (n && buf_data(b)[n - 1] == '\n')
		n--;
	if (n)
		stream_escape_tail(&text, buf_data(b), n, NET_SHOWN);
	else
		buf_printf(&text, "%s %d", x->signalled ? "signal" : "status",
			   x->status);
	err_set(err, -ENETUNREACH, "%.*s", (int)text.len,
		(char *)buf_data(&text));
}

/* What the guest was given, it says nothing of. */
static void tell_ports(struct vm *vm)
{
	for (size_t i = 0; i < vm->n_nics; i++)
		if (is_set_up(vm->nics[i].port))
			port_gave_ip6(vm->nics[i].port);
}

bool vm_net_is_done(struct vm *vm)
{
	const struct exec *x = vm->net_setup;

	if (!op_is_done(&x->op))
		return false;
	if (x->op.result < 0)
		vm->net_err = x->op.err;
	else if (x->status || x->signalled)
		vm_net_describe(x, &vm->net_err);
	else
		tell_ports(vm);
	if (vm->net_err.code)
		err_wrap(&vm->net_err, "VM %s: the guest's network",
			 vm_name(vm));
	vm_net_stop(vm);
	return true;
}

void vm_net_stop(struct vm *vm)
{
	vm->net_setup = exec_free(vm->net_setup);
}
