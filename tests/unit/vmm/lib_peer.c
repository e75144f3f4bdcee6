/* SPDX-License-Identifier: MIT */
#include "tests/unit/vmm/lib_peer.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "vmm/net/wire.h"

ssize_t peer_send(int fd, const void *p, size_t n)
{
	uint8_t *bytes = mem_alloc(WIRE_HEADER + n);
	struct pollfd room = {.fd = fd, .events = POLLOUT};
	ssize_t r = -1;

	be_put32(bytes, (uint32_t)n);
	memcpy(bytes + WIRE_HEADER, p, n);
	/* Writable: less than a quarter of the buffer is taken (unix_writable()
	 * of Linux), and none of these frames is as long as the rest. */
	if (poll(&room, 1, 0) == 1 && room.revents == POLLOUT) {
		r = send(fd, bytes, WIRE_HEADER + n, MSG_NOSIGNAL);
		assert_int_equal(WIRE_HEADER + n, r);
		r = (ssize_t)n;
	}
	free(bytes);
	return r;
}

ssize_t peer_recv(int fd, void *ret, size_t max)
{
	uint8_t header[WIRE_HEADER];
	uint8_t *bytes;
	size_t len;
	int there = 0;

	if (ioctl(fd, FIONREAD, &there) < 0 || there < (int)WIRE_HEADER)
		return -1;
	assert_int_equal(WIRE_HEADER, recv(fd, header, WIRE_HEADER, MSG_PEEK));
	len = be_get32(header);
	assert_in_range(len, FRAME_MIN, FRAME_MAX);
	if ((size_t)there < WIRE_HEADER + len)
		return -1;
	bytes = mem_alloc(WIRE_HEADER + len);
	assert_int_equal(WIRE_HEADER + len,
			 recv(fd, bytes, WIRE_HEADER + len, MSG_WAITALL));
	memcpy(ret, bytes + WIRE_HEADER, len < max ? len : max);
	free(bytes);
	return (ssize_t)len;
}
