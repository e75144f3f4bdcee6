/* SPDX-License-Identifier: MIT */
/* The files of the boot options: whether they are in the guest. */
#include "streams/client.h"
#include "vmm/vm_private.h"

bool vm_files_start(struct vm *vm)
{
	const struct msg m = {.type = MSG_BOOT_FILES,
			      .boot_files.count = vm->copy.spec.n_files};

	if (!vm->copy.spec.n_files)
		return false;
	vm->link = LINK_FILES;
	vm->files_word = call_new(vm->client);
	client_pass(vm->client, true);
	call_start(vm->files_word, &m, NULL, 0, CLOCK_NEVER);
	client_pass(vm->client, false);
	vm->files_word->op.on_done = vm_on_op;
	vm->files_word->op.done_ctx = vm;
	if (op_is_done(&vm->files_word->op))
		vm_kick(vm);
	return true;
}

bool vm_files_are_known(struct vm *vm, struct err *ret)
{
	const struct op *op = &vm->files_word->op;

	if (!op_is_done(op))
		return false;
	*ret = op->err;
	ret->code = op->result < 0 ? op->result : 0;
	vm_files_stop(vm);
	return true;
}

void vm_files_stop(struct vm *vm)
{
	vm->files_word = call_free(vm->files_word);
}
