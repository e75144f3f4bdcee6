/* SPDX-License-Identifier: MIT */
/*
 * QEMU's command line and the kernel's: pure functions from what is wanted to
 * strings, so that golden files can hold them. Option names are those of
 * qemu-system-x86_64(1), version 7.2.
 */
#ifndef VMM_QEMU_ARGV_H
#define VMM_QEMU_ARGV_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "vmm/host.h"
#include "vmm/qemu_disk.h"

/* The name of the virtserialport, by which the agent finds it. */
#define QEMU_AGENT_PORT "provium.0"
/* Its device id, in QMP's VSERPORT_CHANGE events. */
#define QEMU_AGENT_ID "agent"

/* What a kernel for x86 keeps of its command line, NUL included
 * (COMMAND_LINE_SIZE in arch/x86/include/asm/setup.h). */
#define KERNEL_CMDLINE_MAX 2048

/* fd: the other end of a wire (vmm/net/wire.h); or a TAP, without a header
 * before the frame. */
struct qemu_nic {
	int fd;
	const uint8_t *mac; /* MAC_LEN bytes */
	bool is_tap;
};

/* All borrowed. The fds are connected sockets that QEMU inherits. */
struct qemu_spec {
	const char *name;
	const char *qemu;
	const char *kernel;
	const char *initrd;
	const char *cmdline; /* complete: kernel_cmdline() */
	uint64_t memory;     /* bytes */
	unsigned cpus;
	int64_t initial_time; /* seconds since 1970, UTC; 0: the host's */
	bool may_suspend;     /* as vm_spec's */
	bool has_rng_seed;
	uint64_t rng_seed;
	enum accel accel;
	enum transport transport;
	int ram_fd; /* what RAM begins with, to be mapped privately; the machine
		     * then waits for migrate-incoming. -1: a boot */
	const char *console_path; /* QEMU opens .in and .out after it */
	int qmp_fd;
	int agent_fd; /* serial */
	int vhost_fd; /* vsock: /dev/vhost-vsock, which has the CID already */
	uint32_t guest_cid;	     /* vsock */
	const struct qemu_nic *nics; /* in the order the guest finds them */
	size_t n_nics;
	const struct qemu_disk *disks; /* likewise */
	size_t n_disks;
	const char *const *extra; /* the user's, appended */
	size_t n_extra;
};

/* As QEMU's key=value options want it: a comma is written twice. Owned by the
 * caller. */
char *qemu_escape(const char *s);

/* Appends the whole argument vector. */
void qemu_argv(struct strvec *argv, const struct qemu_spec *s);

/*
 * The kernel command line of a guest: ours, then the user's, which so may
 * override all but rdinit=. Owned by the caller; NULL with err where the user
 * asks for another rdinit, or the whole is too long for the kernel.
 */
char *kernel_cmdline(const char *user, enum accel accel, unsigned cpus,
		     struct err *err);

#endif
