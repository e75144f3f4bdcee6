/* SPDX-License-Identifier: MIT */
#include "vmm/filehash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "agent-proto/mem.h"
#include "streams/io.h"

#define PAGE  4096u
#define BLOCK (64u * PAGE)

struct filehash {
	int fd; /* borrowed */
	off_t at;
	bool is_done;
	uint64_t sum;
	XXH3_state_t *state;
	uint8_t bytes[BLOCK];
};

struct filehash *filehash_new(int fd)
{
	struct filehash *h = mem_alloc(sizeof(*h));

	h->fd = fd;
	h->at = 0;
	h->is_done = false;
	h->state = XXH3_createState();
	if (!h->state)
		abort(); /* out of memory, as mem_alloc() would */
	XXH3_64bits_reset(h->state);
	return h;
}

struct filehash *filehash_free(struct filehash *h)
{
	if (h)
		XXH3_freeState(h->state);
	free(h);
	return NULL;
}

static void add_block(struct filehash *h, size_t n)
{
	for (size_t i = 0; i < n; i += PAGE) {
		size_t len = n - i < PAGE ? n - i : PAGE;
		uint64_t place = (uint64_t)h->at + i;

		if (mem_is_zero(h->bytes + i, len))
			continue;
		XXH3_64bits_update(h->state, &place, sizeof(place));
		XXH3_64bits_update(h->state, h->bytes + i, len);
	}
}

static int filehash_fail(struct err *err, int code)
{
	return err_set(err, code, "cannot read a file: %s", strerror(-code));
}

static int filehash_finish(struct filehash *h, struct err *err)
{
	uint64_t size;
	off_t end = lseek(h->fd, 0, SEEK_END);

	if (end < 0)
		return filehash_fail(err, -errno);
	size = (uint64_t)end;
	XXH3_64bits_update(h->state, &size, sizeof(size));
	h->sum = XXH3_64bits_digest(h->state);
	h->is_done = true;
	return 1;
}

/* To the block with the next byte that is not in a hole; 1: there is none. */
static int skip_hole(struct filehash *h)
{
	off_t data = lseek(h->fd, h->at, SEEK_DATA);

	if (data < 0 && errno == ENXIO)
		return 1;
	if (data >= 0)
		h->at = data - data % PAGE;
	/* Where holes cannot be asked for, there are none. */
	return 0;
}

int filehash_step(struct filehash *h, size_t max, struct err *err)
{
	size_t sum = 0;

	if (h->is_done)
		return 1;
	while (sum < max) {
		if (skip_hole(h))
			return filehash_finish(h, err);
		ssize_t n = io_read_at(h->fd, h->bytes, BLOCK, (uint64_t)h->at);
		if (n < 0)
			return filehash_fail(err, (int)n);
		add_block(h, (size_t)n);
		h->at += n;
		sum += (size_t)n;
		if (n < (ssize_t)BLOCK)
			return filehash_finish(h, err);
	}
	return 0;
}

void filehash_text(const struct filehash *h, char ret[FILEHASH_TEXT_MAX])
{
	snprintf(ret, FILEHASH_TEXT_MAX, "%016" PRIx64, h->sum);
}

int filehash_of(int fd, char ret[FILEHASH_TEXT_MAX], struct err *err)
{
	struct filehash *h = filehash_new(fd);
	int r;

	do
		r = filehash_step(h, SIZE_MAX, err);
	while (!r);
	if (r > 0)
		filehash_text(h, ret);
	filehash_free(h);
	return r < 0 ? r : 0;
}
