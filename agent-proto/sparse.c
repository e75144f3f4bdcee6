/* SPDX-License-Identifier: MIT */
#include "agent-proto/sparse.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/le.h"

void sparse_encode(uint8_t to[SPARSE_HEADER], uint64_t hole, uint64_t n)
{
	le_put64(to, hole);
	le_put64(to + 8, n);
}

size_t sparse_take_header(struct sparse_reader *r, const uint8_t *p, size_t n,
			  uint64_t *ret_hole)
{
	size_t used = SPARSE_HEADER - r->header_n;

	*ret_hole = 0;
	if (used > n)
		used = n;
	memcpy(r->header + r->header_n, p, used);
	r->header_n += (uint32_t)used;
	if (r->header_n < SPARSE_HEADER)
		return used;
	r->header_n = 0;
	*ret_hole = le_get64(r->header);
	r->left = le_get64(r->header + 8);
	return used;
}

/* From at to the file's end as it is now. */
static uint64_t last_hole(int fd, uint64_t at)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < at)
		return 0;
	return (uint64_t)st.st_size - at;
}

/* lseek(2): ENXIO, no data comes behind at; EINVAL, the file system has no
 * SEEK_DATA, as procfs. */
uint64_t sparse_hole_at(struct sparse_map *map, int fd, uint64_t at)
{
	off_t data, end;

	if (at < map->data_end)
		return 0;
	data = lseek(fd, (off_t)at, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return last_hole(fd, at);
	end = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	if (end < 0) {
		map->data_end = UINT64_MAX;
		return 0;
	}
	map->data_end = (uint64_t)end;
	return (uint64_t)data > at ? (uint64_t)data - at : 0;
}
