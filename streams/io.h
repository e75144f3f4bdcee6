/* SPDX-License-Identifier: MIT */
/* Whole reads and writes of what blocks: files, pipes, the memory of another
 * process. A signal does not cut them short. */
#ifndef STREAMS_IO_H
#define STREAMS_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* All n bytes. 0 or -errno: -ENODATA where nothing is taken any more, as by the
 * memory of a process that has ended (mem_rw() of Linux' fs/proc/base.c). */
int io_write(int fd, const void *p, size_t n);
int io_write_at(int fd, const void *p, size_t n, uint64_t at);

/* How many bytes there were, fewer than n only at the end; or -errno. */
ssize_t io_read(int fd, void *p, size_t n);
ssize_t io_read_at(int fd, void *p, size_t n, uint64_t at);

/* As write(2), but that a pipe or socket without a reader is -1 with EPIPE, and
 * no signal. */
ssize_t io_write_some(int fd, const void *p, size_t n);

#endif
