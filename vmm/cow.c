/* SPDX-License-Identifier: MIT */
/*
 * Each file but the base has a map, a bit for each block that it has, at the
 * block's own offset. That of a layer is kept behind its blocks.
 */
#include "vmm/cow.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/io.h"
#include "vmm/disk.h"

/* Copied in one go by a flush. */
#define RUN_MAX ((size_t)256 << 10)

struct cow_file {
	int fd;	      /* borrowed, but the cache's; or -1 */
	uint8_t *map; /* NULL: it has every block */
};

struct cow {
	uint64_t size;
	uint64_t n_blocks;
	int base;
	struct cow_file layers[DISK_LAYERS_MAX];
	size_t n_layers;
	struct cow_file top, cache;
	uint64_t dirty_from, dirty_to; /* blocks of the cache are in here */
	uint8_t *run;		       /* RUN_MAX bytes */
};

static size_t map_bytes(const struct cow *c)
{
	return (size_t)((c->n_blocks + 7) / 8);
}

static uint64_t map_offset(const struct cow *c)
{
	return c->n_blocks * COW_BLOCK;
}

static bool cow_has(const struct cow_file *f, uint64_t block)
{
	return f->fd >= 0 && (!f->map || f->map[block / 8] & 1u << (block % 8));
}

static void set_bit(struct cow_file *f, uint64_t block, bool on)
{
	uint8_t bit = (uint8_t)(1u << (block % 8));

	if (!f->map)
		return;
	if (on)
		f->map[block / 8] |= bit;
	else
		f->map[block / 8] &= (uint8_t)~bit;
}

/* --- files -----------------------------------------------------------------
 */

/* What is behind the end of the file is zero. */
static int read_at(int fd, void *p, size_t n, uint64_t at)
{
	ssize_t got = io_read_at(fd, p, n, at);

	if (got < 0)
		return (int)got;
	memset((uint8_t *)p + got, 0, n - (size_t)got);
	return 0;
}

/* --- reading ---------------------------------------------------------------
 */

/* The file that has the block, flushed; -1: none. */
static int find_flushed(const struct cow *c, uint64_t block)
{
	if (cow_has(&c->top, block))
		return c->top.fd;
	for (size_t i = c->n_layers; i-- > 0;)
		if (cow_has(&c->layers[i], block))
			return c->layers[i].fd;
	return c->base;
}

static int cow_find(const struct cow *c, uint64_t block, bool flushed_only)
{
	return !flushed_only && cow_has(&c->cache, block)
		   ? c->cache.fd
		   : find_flushed(c, block);
}

static int read_view(const struct cow *c, uint64_t off, void *p, size_t n,
		     bool flushed_only)
{
	uint8_t *to = p;
	int r = 0;

	assert(off <= c->size && n <= c->size - off);
	while (n && r == 0) {
		uint64_t block = off / COW_BLOCK;
		int fd = cow_find(c, block, flushed_only);
		uint64_t end = (block + 1) * COW_BLOCK;
		size_t run;

		while (end < off + n &&
		       cow_find(c, end / COW_BLOCK, flushed_only) == fd)
			end += COW_BLOCK;
		run = end - off < n ? (size_t)(end - off) : n;
		if (fd >= 0)
			r = read_at(fd, to, run, off);
		else
			memset(to, 0, run);
		to += run;
		off += run;
		n -= run;
	}
	return r;
}

int cow_read(const struct cow *c, uint64_t off, void *p, size_t n)
{
	return read_view(c, off, p, n, false);
}

/* --- writing ---------------------------------------------------------------
 */

/* A part of a block: the rest of it comes from below. */
static int write_part(struct cow *c, struct cow_file *f, uint64_t off,
		      const void *p, size_t n)
{
	uint64_t block = off / COW_BLOCK, start = block * COW_BLOCK;
	size_t len =
	    c->size - start < COW_BLOCK ? (size_t)(c->size - start) : COW_BLOCK;
	uint8_t bytes[COW_BLOCK];
	int r;

	if (cow_has(f, block))
		return io_write_at(f->fd, p, n, off);
	r = read_view(c, start, bytes, len, f == &c->top);
	if (r < 0)
		return r;
	memcpy(bytes + (off - start), p, n);
	return io_write_at(f->fd, bytes, len, start);
}

static void note_dirty(struct cow *c, uint64_t block)
{
	if (block < c->dirty_from)
		c->dirty_from = block;
	if (block >= c->dirty_to)
		c->dirty_to = block + 1;
}

/* Whole blocks in one go, its ragged ends by themselves. */
static int cow_write_file(struct cow *c, struct cow_file *f, uint64_t off,
			  const void *p, size_t n)
{
	const uint8_t *from = p;
	int r;

	while (n) {
		size_t in_block = (size_t)(off % COW_BLOCK);
		size_t run = n / COW_BLOCK * COW_BLOCK;

		if (in_block || !run) {
			run =
			    COW_BLOCK - in_block < n ? COW_BLOCK - in_block : n;
			r = write_part(c, f, off, from, run);
		} else {
			r = io_write_at(f->fd, from, run, off);
		}
		if (r < 0)
			return r;
		for (uint64_t b = off / COW_BLOCK;
		     b <= (off + run - 1) / COW_BLOCK; b++) {
			set_bit(f, b, true);
			if (f == &c->cache)
				note_dirty(c, b);
		}
		from += run;
		off += run;
		n -= run;
	}
	return 0;
}

/* Where the cache has blocks of it, they change, too. */
static int update_cache(struct cow *c, uint64_t off, const uint8_t *p, size_t n)
{
	int r = 0;

	while (n && r == 0) {
		size_t run = COW_BLOCK - (size_t)(off % COW_BLOCK);

		run = run < n ? run : n;
		if (cow_has(&c->cache, off / COW_BLOCK))
			r = io_write_at(c->cache.fd, p, run, off);
		p += run;
		off += run;
		n -= run;
	}
	return r;
}

int cow_write(struct cow *c, uint64_t off, const void *p, size_t n,
	      bool is_flushed)
{
	int r;

	assert(off <= c->size && n <= c->size - off);
	if (!is_flushed)
		return cow_write_file(c, &c->cache, off, p, n);
	r = cow_write_file(c, &c->top, off, p, n);
	return r < 0 ? r : update_cache(c, off, p, n);
}

/* The blocks from first on that the cache has, up to RUN_MAX. */
static int flush_run(struct cow *c, uint64_t first, uint64_t *ret_next)
{
	uint64_t at = first * COW_BLOCK, end = first;
	size_t n;
	int r;

	while (end < c->dirty_to && cow_has(&c->cache, end) &&
	       (end - first) * COW_BLOCK < RUN_MAX)
		end++;
	n = end * COW_BLOCK < c->size ? (size_t)((end - first) * COW_BLOCK)
				      : (size_t)(c->size - at);
	r = read_at(c->cache.fd, c->run, n, at);
	if (r == 0)
		r = io_write_at(c->top.fd, c->run, n, at);
	for (uint64_t b = first; r == 0 && b < end; b++) {
		set_bit(&c->top, b, true);
		set_bit(&c->cache, b, false);
	}
	*ret_next = end;
	return r;
}

static void empty_cache(struct cow *c)
{
	c->dirty_from = UINT64_MAX;
	c->dirty_to = 0;
	/* Gives back the space; that it cannot changes nothing. */
	if (ftruncate(c->cache.fd, 0) < 0)
		return;
}

int cow_flush(struct cow *c)
{
	uint64_t b = c->dirty_from;
	int r = 0;

	if (!c->dirty_to)
		return 0;
	while (b < c->dirty_to && r == 0) {
		if (cow_has(&c->cache, b))
			r = flush_run(c, b, &b);
		else
			b++;
	}
	if (r == 0)
		empty_cache(c);
	return r;
}

void cow_cut(struct cow *c)
{
	if (!c->dirty_to)
		return;
	for (uint64_t b = c->dirty_from; b < c->dirty_to; b++)
		set_bit(&c->cache, b, false);
	empty_cache(c);
}

/* --- snapshots -------------------------------------------------------------
 */

bool cow_has_data(const struct cow *c)
{
	for (size_t i = 0; c->top.map && i < map_bytes(c); i++)
		if (c->top.map[i])
			return true;
	return !c->top.map;
}

int cow_freeze(struct cow *c, struct err *err)
{
	int r = cow_flush(c);

	if (r == 0)
		r = io_write_at(c->top.fd, c->top.map, map_bytes(c),
				map_offset(c));
	return r < 0 ? err_set(err, r, "cannot write it: %s", strerror(-r)) : 0;
}

int cow_add_layer(struct cow *c, int fd, struct err *err)
{
	struct cow_file *f = &c->layers[c->n_layers];
	struct stat st;
	int r;

	assert(c->n_layers < DISK_LAYERS_MAX);
	if (fstat(fd, &st) < 0 ||
	    (uint64_t)st.st_size != map_offset(c) + map_bytes(c))
		return err_set(err, -EBADMSG,
			       "a file of it has the wrong length");
	f->map = mem_zalloc(map_bytes(c));
	f->fd = fd;
	c->n_layers++;
	r = read_at(fd, f->map, map_bytes(c), map_offset(c));
	return r < 0 ? err_set(err, r, "cannot read it: %s", strerror(-r)) : 0;
}

/* --- life ------------------------------------------------------------------
 */

void cow_set_top(struct cow *c, int fd, bool is_whole)
{
	free(c->top.map);
	c->top = (struct cow_file){
	    .fd = fd,
	    .map = is_whole ? NULL : mem_zalloc(map_bytes(c)),
	};
}

struct cow *cow_new(uint64_t size, const char *dir, int base, struct err *err)
{
	struct cow *c;
	int fd;

	if (!size || size > COW_SIZE_MAX) {
		err_set(err, -EINVAL,
			"a disk that is mediated has up to 1T, this one %llu "
			"bytes",
			(unsigned long long)size);
		return NULL;
	}
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		err_set(err, -errno, "cannot create a file in '%s': %s", dir,
			strerror(errno));
		return NULL;
	}
	c = mem_zalloc(sizeof(*c));
	c->size = size;
	c->n_blocks = (size + COW_BLOCK - 1) / COW_BLOCK;
	c->base = base;
	c->top.fd = -1;
	c->cache = (struct cow_file){fd, mem_zalloc(map_bytes(c))};
	c->dirty_from = UINT64_MAX;
	c->run = mem_alloc(RUN_MAX);
	return c;
}

struct cow *cow_free(struct cow *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n_layers; i++)
		free(c->layers[i].map);
	free(c->top.map);
	free(c->cache.map);
	close(c->cache.fd);
	free(c->run);
	free(c);
	return NULL;
}
