/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: one row of bytes, of which the oldest are in `in`, the
 * newest in `out`, and those between them in the file. Each record has its
 * length before it.
 */
#include "streams/backlog.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"

#define LENGTH_SIZE sizeof(uint32_t)

void backlog_init(struct backlog *b, const char *dir, uint64_t max)
{
	*b = (struct backlog){
	    .dir = mem_strdup(dir),
	    .fd = -1,
	    .max = max,
	};
}

void backlog_done(struct backlog *b)
{
	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
	free_ptr(&b->dir);
	buf_done(&b->in);
	buf_done(&b->out);
	b->from = b->end = 0;
}

bool backlog_is_empty(const struct backlog *b)
{
	return !b->in.len && b->from == b->end && !b->out.len;
}

/* --- the file ------------------------------------------------------------ */

/* Where the file system cannot make a file without a name, one that loses it
 * at once. */
static int open_unnamed(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *path;

	if (fd >= 0)
		return fd;
	path = mem_printf("%s/capture-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	else
		unlink(path);
	free(path);
	return fd;
}

static int set_unwritable(const struct backlog *b, int code, struct err *err)
{
	return err_set(err, code,
		       "cannot keep more packets for a slow reader in '%s': %s",
		       b->dir, strerror(-code));
}

static int backlog_flush(struct backlog *b, struct err *err)
{
	if (b->fd < 0)
		b->fd = open_unnamed(b->dir);
	if (b->fd < 0)
		return set_unwritable(b, b->fd, err);
	while (b->out.len) {
		ssize_t k =
		    pwrite(b->fd, buf_data(&b->out), b->out.len, (off_t)b->end);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return set_unwritable(b, k < 0 ? -errno : -ENOSPC, err);
		b->end += (uint64_t)k;
		buf_consume(&b->out, (size_t)k);
	}
	return 0;
}

/* The file's bytes before from are of no use. Not every file system can free
 * them before the rest has been read. */
static void free_disk(struct backlog *b, uint64_t before)
{
	if (b->from < b->end) {
		fallocate(b->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)before, (off_t)(b->from - before));
		return;
	}
	if (ftruncate(b->fd, 0) == 0)
		b->from = b->end = 0;
}

/* Moves the next bytes to `in`; 0 when there are none. */
static ssize_t backlog_fill(struct backlog *b, struct err *err)
{
	size_t n = BACKLOG_BLOCK;
	uint64_t before = b->from;
	ssize_t k;

	if (b->from == b->end) {
		k = (ssize_t)b->out.len;
		if (k)
			buf_append(&b->in, buf_data(&b->out), b->out.len);
		buf_reset(&b->out);
		return k;
	}
	if (n > b->end - b->from)
		n = (size_t)(b->end - b->from);
	do
		k = pread(b->fd, buf_room(&b->in, n), n, (off_t)b->from);
	while (k < 0 && errno == EINTR);
	if (k <= 0) {
		int code = k < 0 ? errno : ENODATA;

		return err_set(err, -code,
			       "cannot read back the packets kept in '%s': %s",
			       b->dir, strerror(code));
	}
	buf_commit(&b->in, (size_t)k);
	b->from += (uint64_t)k;
	free_disk(b, before);
	return k;
}

/* --- records ------------------------------------------------------------- */

int backlog_put(struct backlog *b, const void *p, size_t n, struct err *err)
{
	uint32_t length = (uint32_t)n;

	assert(n && n <= BACKLOG_RECORD_MAX);
	if (b->in.len + (b->end - b->from) + b->out.len + LENGTH_SIZE + n >
	    b->max)
		return err_set(err, -ENOSPC,
			       "the reader is behind by %llu bytes, "
			       "the most that is kept for it",
			       (unsigned long long)b->max);
	buf_append(&b->out, &length, LENGTH_SIZE);
	buf_append(&b->out, p, n);
	return b->out.len < BACKLOG_BLOCK ? 0 : backlog_flush(b, err);
}

static size_t first_length(const struct backlog *b)
{
	uint32_t length;

	if (b->in.len < LENGTH_SIZE)
		return 0;
	memcpy(&length, buf_data(&b->in), LENGTH_SIZE);
	return length;
}

static bool has_first(const struct backlog *b)
{
	size_t n = first_length(b);

	return n && b->in.len >= LENGTH_SIZE + n;
}

const uint8_t *backlog_peek(struct backlog *b, size_t *ret_n, struct err *err)
{
	ssize_t k;

	err_clear(err);
	while (!has_first(b)) {
		k = backlog_fill(b, err);
		if (k < 0)
			return NULL;
		if (!k) {
			buf_done(&b->in);
			buf_done(&b->out);
			return NULL;
		}
	}
	*ret_n = first_length(b);
	return buf_data(&b->in) + LENGTH_SIZE;
}

void backlog_drop(struct backlog *b)
{
	assert(has_first(b));
	buf_consume(&b->in, LENGTH_SIZE + first_length(b));
}
