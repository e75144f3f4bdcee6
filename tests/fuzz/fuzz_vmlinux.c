/* SPDX-License-Identifier: MIT */
/* Kernel images and modules: any bytes are fine, and nothing hangs. */
#include <stdint.h>
#include <stdlib.h>

#include "agent-proto/mem.h"
#include "vmm/kmod.h"
#include "vmm/vmlinux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct strvec values = {0};
	struct buf elf = {0};
	struct err err;

	if (vmlinux_extract(data, n, &elf, &err) == 0)
		vmlinux_has_pvh(buf_data(&elf), elf.len);
	vmlinux_has_pvh(data, n);
	free(vmlinux_release(data, n));
	kmod_modinfo(data, n, "depends", &values);
	strvec_done(&values);
	buf_done(&elf);
	return 0;
}
