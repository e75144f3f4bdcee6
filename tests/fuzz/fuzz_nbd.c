/* SPDX-License-Identifier: MIT */
/* Any bytes from an NBD client: requests that are returned are within the
 * export, writes have their data, and the same bytes in other pieces mean the
 * same. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "vmm/nbd_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define SIZE (UINT64_C(1) << 20)

static void check(const struct nbd_request *r, struct buf *seen)
{
	uint64_t sum = 0;

	assert(r->type == NBD_READ || r->type == NBD_WRITE ||
	       r->type == NBD_FLUSH);
	assert(r->length <= NBD_LENGTH_MAX);
	assert(r->offset <= SIZE && r->length <= SIZE - r->offset);
	assert(!r->data == (r->type != NBD_WRITE));
	for (uint32_t i = 0; r->data && i < r->length; i++)
		sum += r->data[i];
	buf_printf(seen, "%d %d %llu %llu %u %llu\n", (int)r->type, r->is_fua,
		   (unsigned long long)r->handle, (unsigned long long)r->offset,
		   (unsigned)r->length, (unsigned long long)sum);
}

static void play(const uint8_t *p, size_t n, size_t piece, struct buf *seen,
		 struct buf *out)
{
	struct nbd_session s;
	struct nbd_request r;
	struct buf in = {0};
	struct err err;
	int rc = 0;

	nbd_begin(&s, SIZE, false, out);
	while (n && rc >= 0) {
		size_t take = piece < n ? piece : n;

		buf_append(&in, p, take);
		p += take;
		n -= take;
		while ((rc = nbd_next(&s, &in, out, &r, &err)) > 0)
			check(&r, seen);
	}
	buf_printf(seen, "%d", rc);
	buf_done(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf whole = {0}, parts = {0}, out = {0}, out_parts = {0};

	play(p, n, n ? n : 1, &whole, &out);
	play(p, n, 3, &parts, &out_parts);
	assert(whole.len == parts.len &&
	       !memcmp(buf_data(&whole), buf_data(&parts), whole.len));
	assert(out.len == out_parts.len &&
	       !memcmp(buf_data(&out), buf_data(&out_parts), out.len));
	buf_done(&whole);
	buf_done(&parts);
	buf_done(&out);
	buf_done(&out_parts);
	return 0;
}
