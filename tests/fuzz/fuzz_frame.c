/* SPDX-License-Identifier: MIT */
/* Headers that decode encode to the same bytes; the search for a marker
 * agrees with memmem(); payloads cut into frames show no marker. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static size_t naive_find(const uint8_t *p, size_t n)
{
	const uint8_t *at = n ? memmem(p, n, hello_marker, HELLO_MARKER) : NULL;

	return at ? (size_t)(at - p) : n;
}

static void check_header(const uint8_t *p)
{
	uint8_t again[FRAME_HEADER];
	struct frame f;

	if (frame_decode(&f, p))
		return;
	require(f.length <= FRAME_PAYLOAD_MAX);
	frame_encode(&f, again);
	require(!memcmp(p, again, FRAME_HEADER));
}

static void check_cut(const uint8_t *p, size_t n)
{
	struct buf wire = {0};

	while (n) {
		size_t k = frame_payload_cut(p, n);
		struct frame f = {
		    .kind = FRAME_DATA,
		    .channel = p[0] * 0x010101u,
		    .length = (uint32_t)k,
		};
		require(k > 0 && k <= n && k <= FRAME_PAYLOAD_MAX);
		frame_encode(&f, buf_room(&wire, FRAME_HEADER));
		buf_commit(&wire, FRAME_HEADER);
		buf_append(&wire, p, k);
		p += k;
		n -= k;
	}
	if (wire.len)
		require(naive_find(buf_data(&wire), wire.len) == wire.len);
	buf_done(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hello h;
	uint8_t hello[HELLO_SIZE];

	if (size >= FRAME_HEADER)
		check_header(data);
	if (size >= HELLO_BODY) {
		hello_decode(&h, data);
		hello_encode(&h, hello);
		require(!memcmp(hello + HELLO_MARKER, data, HELLO_BODY));
	}
	require(hello_find(data, size) == naive_find(data, size));
	check_cut(data, size);
	return 0;
}
