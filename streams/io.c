/* SPDX-License-Identifier: MIT */
#include "streams/io.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

/* Of an offset: where the descriptor stands. */
#define HERE (-1)

static int write_whole(int fd, const uint8_t *p, size_t n, off_t at)
{
	while (n) {
		ssize_t r = at < 0 ? write(fd, p, n) : pwrite(fd, p, n, at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -ENODATA;
		p += r;
		n -= (size_t)r;
		at += at < 0 ? 0 : r;
	}
	return 0;
}

int io_write(int fd, const void *p, size_t n)
{
	return write_whole(fd, p, n, HERE);
}

int io_write_at(int fd, const void *p, size_t n, uint64_t at)
{
	assert(at <= INT64_MAX);
	return write_whole(fd, p, n, (off_t)at);
}

static ssize_t io_read_whole(int fd, uint8_t *p, size_t n, off_t at)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = at < 0
				? read(fd, p + got, n - got)
				: pread(fd, p + got, n - got, at + (off_t)got);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (!r)
			break;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

ssize_t io_read(int fd, void *p, size_t n)
{
	return io_read_whole(fd, p, n, HERE);
}

ssize_t io_read_at(int fd, void *p, size_t n, uint64_t at)
{
	assert(at <= INT64_MAX);
	return io_read_whole(fd, p, n, (off_t)at);
}

ssize_t io_write_some(int fd, const void *p, size_t n)
{
	static const struct timespec at_once = {0};
	sigset_t sigpipe, old;

	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &sigpipe, &old);
	ssize_t ret = write(fd, p, n);
	int code = errno;
	if (ret < 0 && code == EPIPE)
		sigtimedwait(&sigpipe, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = code;
	return ret;
}
