/* SPDX-License-Identifier: MIT */
/* A deep copy of struct vm_spec: what a VM keeps of what it was made from. */
#ifndef VMM_VM_SPEC_H
#define VMM_VM_SPEC_H

#include "agent-proto/mem.h"
#include "vmm/vm.h"

struct vm_spec_copy {
	struct vm_spec spec; /* borrows from what follows, but spec.agent */
	struct strvec strings;
	struct strvec modules;
	struct strvec net_modules;
	struct strvec disk_modules;
	struct strvec qemu_args;
	struct alarm_rules alarms;
	struct disk_spec *disks;
	struct overlay_file *files;
	char **contents;
};

void vm_spec_copy_init(struct vm_spec_copy *c, const struct vm_spec *spec);
void vm_spec_copy_done(struct vm_spec_copy *c);

#endif
