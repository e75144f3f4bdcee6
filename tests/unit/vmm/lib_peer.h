/* SPDX-License-Identifier: MIT */
/* QEMU's end of a wire: whole frames, behind their lengths. */
#ifndef TESTS_LIB_PEER_H
#define TESTS_LIB_PEER_H

#include <stddef.h>
#include <sys/types.h>

/* n, or -1 where the socket has no room for all of it: nothing is sent then. */
ssize_t peer_send(int fd, const void *p, size_t n);
/* The length of the frame, or -1 while there is none; its first max bytes are
 * in ret. */
ssize_t peer_recv(int fd, void *ret, size_t max);

#endif
