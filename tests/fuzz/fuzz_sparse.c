/* SPDX-License-Identifier: MIT */
/* Any bytes are records, or break off: each byte is used once, whatever the
 * pieces in which they come. */
#include <stdint.h>
#include <stdlib.h>

#include "agent-proto/sparse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sums {
	uint64_t holes;
	uint64_t data;
};

static struct sums read_in_pieces(const uint8_t *p, size_t size, size_t piece)
{
	struct sparse_reader r = {0};
	struct sums sums = {0};

	for (size_t at = 0; at < size;) {
		size_t n = size - at < piece ? size - at : piece;
		size_t used = sparse_data(&r, n);
		uint64_t hole = 0;

		if (used)
			sparse_used(&r, used);
		else if (!(used = sparse_take_header(&r, p + at, n, &hole)) ||
			 used > n)
			abort();
		else
			sums.data -= used;
		sums.data += used;
		sums.holes += hole;
		at += used;
	}
	return sums;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sums whole = read_in_pieces(data, size, size + 1);
	struct sums bytes = read_in_pieces(data, size, 1 + size % 7);

	if (whole.holes != bytes.holes || whole.data != bytes.data ||
	    whole.data > size)
		abort();
	return 0;
}
