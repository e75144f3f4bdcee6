/* SPDX-License-Identifier: MIT */
/* The NICs of a VM: plugged into their bridges while QEMU runs, and configured
 * in the guest, by a program of its own, after each of its starts. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "vmm/vm_private.h"

/* What the program says is a line for each NIC that is not up. */
#define NET_OUTPUT_MAX ((size_t)64 << 10)
#define NET_SHOWN      300

void vm_set_nics(struct vm *vm, struct port *const *ports, size_t n)
{
	assert(vm->state == VM_CREATED || vm->state == VM_SHUTDOWN);
	assert(n <= VM_NICS_MAX);
	for (size_t i = 0; i < n; i++)
		vm->nics[i] = ports[i];
	vm->n_nics = n;
}

void vm_drop_nic(struct vm *vm, const struct port *port)
{
	size_t kept = 0;

	for (size_t i = 0; i < vm->n_nics; i++)
		if (vm->nics[i] != port)
			vm->nics[kept++] = vm->nics[i];
	vm->n_nics = kept;
}

int vm_plug_nics(struct vm *vm, struct qemu_nic ret[VM_NICS_MAX],
		 struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < vm->n_nics && r == 0; i++) {
		r = port_plug(vm->nics[i], &ret[i].fd, err);
		if (r < 0)
			ret[i].fd = -1;
		ret[i].mac = port_mac(vm->nics[i]);
	}
	return r;
}

void vm_unplug_nics(struct vm *vm)
{
	for (size_t i = 0; i < vm->n_nics; i++)
		port_unplug(vm->nics[i]);
}

bool vm_net_start(struct vm *vm)
{
	const char *program = vm->copy.spec.net_setup;
	CLEANUP(strvec_done) struct strvec argv = {0};
	struct exec_spec spec = {0};
	char mac[MAC_TEXT_MAX];

	vm->net_err.code = 0;
	if (!program || !vm->n_nics)
		return false;
	strvec_add(&argv, program);
	for (size_t i = 0; i < vm->n_nics; i++) {
		mac_format(port_mac(vm->nics[i]), mac);
		strvec_addf(&argv, "%s=%s", mac,
			    bridge_name(port_bridge(vm->nics[i])));
	}
	spec.argv = (const char *const *)argv.v;
	vm->link = LINK_NET;
	vm->net_setup = exec_new(vm->client);
	vm->net_setup->max_output = NET_OUTPUT_MAX;
	exec_start(vm->net_setup, &spec, CLOCK_NEVER);
	vm->net_setup->op.on_done = vm_on_op;
	vm->net_setup->op.done_ctx = vm;
	if (op_is_done(&vm->net_setup->op))
		vm_kick(vm);
	return true;
}

/* What it printed, as one line. */
static void describe(const struct exec *x, struct err *err)
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

bool vm_net_is_done(struct vm *vm)
{
	const struct exec *x = vm->net_setup;

	if (!op_is_done(&x->op))
		return false;
	if (x->op.result < 0)
		vm->net_err = x->op.err;
	else if (x->status || x->signalled)
		describe(x, &vm->net_err);
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
