/* SPDX-License-Identifier: MIT */
/*
 * A file as records, so that its holes cost nothing on the way. Each record is
 * hole u64, length u64 (little-endian), then length bytes: the hole's bytes
 * are zeros and are not sent. The file ends where the records end.
 */
#ifndef AGENT_PROTO_SPARSE_H
#define AGENT_PROTO_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPARSE_HEADER 16u

void sparse_encode(uint8_t to[SPARSE_HEADER], uint64_t hole, uint64_t n);

/* The place in a sequence of records; a zeroed struct is its start. */
struct sparse_reader {
	uint8_t header[SPARSE_HEADER];
	uint32_t header_n; /* bytes of the header that are there */
	uint64_t left;	   /* bytes of the record's data still to come */
};

/* Returns how many of the next n bytes are data of a record; 0: a header is
 * next. */
static inline size_t sparse_data(const struct sparse_reader *r, size_t n)
{
	return n < r->left ? n : (size_t)r->left;
}
/* Notes that n bytes of data were used, at most what sparse_data() returned. */
static inline void sparse_used(struct sparse_reader *r, size_t n)
{
	r->left -= n;
}
/* When a header is next: takes it, or a part of it, from p[0..n). Returns the
 * number of bytes taken; *ret_hole is the length of the hole that follows, 0:
 * there is none. */
size_t sparse_take_header(struct sparse_reader *r, const uint8_t *p, size_t n,
			  uint64_t *ret_hole);
/* Whether the reader stands between two records, where a sequence may end. */
static inline bool sparse_is_whole(const struct sparse_reader *r)
{
	return !r->header_n && !r->left;
}

/* The data of a file, as far as it is known; a zeroed struct: not at all. */
struct sparse_map {
	uint64_t data_end; /* offset behind the data that is known */
};

/*
 * Returns the length of the hole in fd at offset at: 0 where there is data, or
 * where the file system does not tell. The last hole ends where the file ends
 * (st_size). May move the file's offset, unless at is below data_end.
 */
uint64_t sparse_hole_at(struct sparse_map *map, int fd, uint64_t at);

#endif
