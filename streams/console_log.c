/* SPDX-License-Identifier: MIT */
#include "streams/console_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GAP_TEXT_MAX 160

static const char gap_format[] = "\r\n[provium: %" PRIu64 " bytes of console "
				 "output are missing here: %s]\r\n";

int console_log_open(struct console_log *log, const char *path, struct err *err)
{
	*log = (struct console_log){0};
	log->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (log->fd < 0)
		return err_set(err, -errno,
			       "cannot create console log '%s': %s", path,
			       strerror(errno));
	return 0;
}

void console_log_done(struct console_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
	buf_done(&log->memory);
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
	buf_append(&log->memory, p, n);
	len = log->memory.len;
	/* By halves, so that not every append slides it. */
	if (len > CONSOLE_MEMORY_MAX) {
		buf_consume(&log->memory, len - CONSOLE_MEMORY_MAX / 2);
		mark_gap(log);
	}
}

void console_log_append(struct console_log *log, const uint8_t *p, size_t n)
{
	while (n && !log->err.code) {
		ssize_t k = pwrite(log->fd, p, n, (off_t)log->file_size);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			int code = k < 0 ? errno : ENOSPC;

			err_set(
			    &log->err, -code,
			    "cannot write the console log: %s; it goes on in "
			    "memory",
			    strerror(code));
			break;
		}
		log->file_size += (uint64_t)k;
		log->size += (uint64_t)k;
		p += k;
		n -= (size_t)k;
	}
	if (n)
		append_memory(log, p, n);
}

static size_t read_file(struct console_log *log, uint64_t at, uint8_t *out,
			size_t n)
{
	ssize_t k;

	if (n > log->file_size - at)
		n = (size_t)(log->file_size - at);
	do
		k = pread(log->fd, out, n, (off_t)at);
	while (k < 0 && errno == EINTR);
	if (k > 0)
		return (size_t)k;
	int code = k < 0 ? errno : ENODATA;
	err_set(&log->err, -code, "cannot read the console log back: %s",
		k < 0 ? strerror(code) : "somebody truncated it");
	return 0;
}

size_t console_log_read(struct console_log *log, uint64_t *at, uint8_t *out,
			size_t n)
{
	uint64_t memory_at = log->size - log->memory.len;

	if (*at < log->file_size) {
		n = read_file(log, *at, out, n);
		*at += n;
		return n;
	}
	if (*at < memory_at)
		*at = memory_at;
	if (n > log->size - *at)
		n = (size_t)(log->size - *at);
	if (n)
		memcpy(out, buf_data(&log->memory) + (*at - memory_at), n);
	*at += n;
	return n;
}
