/* SPDX-License-Identifier: MIT */
/*
 * The agent's own memory, at an address that a system call gave. The kernel
 * copies it, into a memfd, and so finds what cannot be read: a bad address is
 * an answer, not our death.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/io/xfer.h"
#include "cmd/provium-agent/ops/ops.h"

static int copy_memory(int fd, uintptr_t address, size_t n)
{
	while (n) {
		/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
		ssize_t done = write(fd, (const void *)address, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? -errno : -EFAULT;
		address += (size_t)done;
		n -= (size_t)done;
	}
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

void op_read_mem(const struct req *r)
{
	const struct msg_read_mem *q = &r->m->read_mem;
	CLEANUP(fd_closep) int fd = -1;
	int rc = q->n > MSG_READ_MEM_MAX ? -EFBIG : 0;

	if (!rc) {
		fd = memfd_create("provium-read", MFD_CLOEXEC);
		rc = fd < 0
			 ? -errno
			 : copy_memory(fd, (uintptr_t)q->address, (size_t)q->n);
	}
	if (rc < 0)
		req_error(r, -rc, "read %" PRIu64 " bytes at 0x%" PRIx64, q->n,
			  q->address);
	else
		source_start(r, TAKE_FD(fd), false, (int64_t)q->n,
			     mem_printf("read memory"));
}
