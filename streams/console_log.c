/* SPDX-License-Identifier: MIT */
#include "streams/console_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "streams/disk_err.h"

#define GAP_TEXT_MAX 160

static const char gap_format[] = "\r\n[provium: %" PRIu64 " bytes of console "
				 "output are missing here: %s]\r\n";

int console_log_open(struct console_log *log, const char *path, struct err *err)
{
	*log = (struct console_log){0};
	log->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (log->fd < 0)
		return disk_err(err, -errno, path,
				"cannot create console log '%s'", path);
	pthread_mutex_init(&log->mutex, NULL);
	return 0;
}

void console_log_done(struct console_log *log)
{
	if (log->fd < 0)
		return;
	close(log->fd);
	log->fd = -1;
	pthread_mutex_destroy(&log->mutex);
	buf_done(&log->memory);
}

static void fail_write(struct console_log *log, int code)
{
	char path[sizeof("/proc/self/fd/") + 11];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", log->fd);
	disk_err(&log->err, -code, path,
		 "cannot write the console log, which goes on in memory");
}

/* In place of the first bytes that are left, so that offsets hold: for whoever
 * reads over the gap. */
static void mark_gap(struct console_log *log)
{
	char text[GAP_TEXT_MAX];
	uint64_t missing = log->size - log->memory.len - log->file_size;
	int n;

	/* It is missing, too; the number has as many digits with it, or is out
	 * by the few bytes of this line. */
	n = snprintf(text, sizeof(text), gap_format, missing,
		     strerror(-log->err.code));
	n = snprintf(text, sizeof(text), gap_format, missing + (uint64_t)n,
		     strerror(-log->err.code));
	if (n >= (int)sizeof(text))
		n = sizeof(text) - 1;
	memcpy(buf_data(&log->memory), text, (size_t)n);
}

static void append_memory(struct console_log *log, const uint8_t *p, size_t n)
{
	size_t len;

	log->size += n;
	log->last_ns = clock_now_ns();
	buf_append(&log->memory, p, n);
	len = log->memory.len;
	/* By halves, so that not every append slides it. */
	if (len > CONSOLE_MEMORY_MAX) {
		buf_consume(&log->memory, len - CONSOLE_MEMORY_MAX / 2);
		mark_gap(log);
	}
}

/* Returns how much of p is in the file now: less than n where the file cannot
 * be written any more. */
static size_t append_file(struct console_log *log, const uint8_t *p, size_t n)
{
	size_t done = 0;
	int code = 0;

	while (done < n && !code) {
		/* Nobody else moves its end. */
		ssize_t k = pwrite(log->fd, p + done, n - done,
				   (off_t)(log->file_size + done));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			code = k < 0 ? errno : ENOSPC;
		else
			done += (size_t)k;
	}
	pthread_mutex_lock(&log->mutex);
	log->file_size += done;
	log->size += done;
	log->last_ns = clock_now_ns();
	if (code)
		fail_write(log, code);
	pthread_mutex_unlock(&log->mutex);
	return done;
}

void console_log_append(struct console_log *log, const uint8_t *p, size_t n)
{
	struct err err;
	size_t done = 0;

	if (!console_log_broken(log, &err))
		done = append_file(log, p, n);
	if (done == n)
		return;
	pthread_mutex_lock(&log->mutex);
	append_memory(log, p + done, n - done);
	pthread_mutex_unlock(&log->mutex);
}

int64_t console_log_last_ns(struct console_log *log)
{
	int64_t last_ns;

	pthread_mutex_lock(&log->mutex);
	last_ns = log->last_ns;
	pthread_mutex_unlock(&log->mutex);
	return last_ns;
}

uint64_t console_log_size(struct console_log *log)
{
	uint64_t size;

	pthread_mutex_lock(&log->mutex);
	size = log->size;
	pthread_mutex_unlock(&log->mutex);
	return size;
}

bool console_log_broken(struct console_log *log, struct err *ret)
{
	bool is_broken;

	pthread_mutex_lock(&log->mutex);
	is_broken = log->err.code != 0;
	if (is_broken)
		*ret = log->err;
	pthread_mutex_unlock(&log->mutex);
	return is_broken;
}

/* Up to n bytes, which are there. */
static size_t console_log_read_file(struct console_log *log, uint64_t at,
				    uint8_t *out, size_t n)
{
	ssize_t k;

	do
		k = pread(log->fd, out, n, (off_t)at);
	while (k < 0 && errno == EINTR);
	if (k > 0)
		return (size_t)k;
	int code = k < 0 ? errno : ENODATA;
	pthread_mutex_lock(&log->mutex);
	err_set(&log->err, -code, "cannot read the console log back: %s",
		k < 0 ? strerror(code) : "somebody truncated it");
	pthread_mutex_unlock(&log->mutex);
	return 0;
}

/* With the mutex. */
static size_t console_log_read_memory(struct console_log *log, uint64_t *at,
				      uint8_t *out, size_t n)
{
	uint64_t memory_at = log->size - log->memory.len;

	if (*at < memory_at)
		*at = memory_at;
	if (n > log->size - *at)
		n = (size_t)(log->size - *at);
	if (n)
		memcpy(out, buf_data(&log->memory) + (*at - memory_at), n);
	*at += n;
	return n;
}

size_t console_log_read(struct console_log *log, uint64_t *at, uint8_t *out,
			size_t n)
{
	uint64_t in_file;

	pthread_mutex_lock(&log->mutex);
	in_file = log->file_size > *at ? log->file_size - *at : 0;
	if (!in_file)
		n = console_log_read_memory(log, at, out, n);
	pthread_mutex_unlock(&log->mutex);
	if (!in_file)
		return n;
	n = console_log_read_file(log, *at, out,
				  n < in_file ? n : (size_t)in_file);
	*at += n;
	return n;
}
