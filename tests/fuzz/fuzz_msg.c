/* SPDX-License-Identifier: MIT */
/* Any bytes decode to a message that encodes to the same bytes, or do not
 * decode. What a message borrows can be read to its end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "agent-proto/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void walk_U8(uint8_t v)
{
	(void)v;
}

static void walk_U32(uint32_t v)
{
	(void)v;
}

static void walk_U64(uint64_t v)
{
	(void)v;
}

static void walk_I32(int32_t v)
{
	(void)v;
}

static void walk_I64(int64_t v)
{
	(void)v;
}

static void walk_STR(const char *v)
{
	require(strlen(v) < SIZE_MAX);
}

static void walk_BYTES(struct msg_bytes v)
{
	require(v.p[v.n] == 0);
}

static void walk_LIST(struct msg_list v)
{
	struct msg_bytes item;
	uint32_t count = v.count;

	while (msg_list_next(&v, &item)) {
		walk_BYTES(item);
		count--;
	}
	require(count == 0 && v.n == 0);
}

#define WALK(kind, field) walk_##kind(m->field);
#define M(name, NAME, code, sender)                                            \
	static void walk_##name(const struct msg_##name *m)                    \
	{                                                                      \
		MSG_##NAME##_FIELDS(WALK)                                      \
	}
#include "agent-proto/messages.def"
#undef M

static void walk(const struct msg *m)
{
	switch (m->type) {
#define M(name, NAME, code, sender)                                            \
	case MSG_##NAME:                                                       \
		walk_##name(&m->name);                                         \
		break;
#include "agent-proto/messages.def"
#undef M
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf again = {0};
	struct msg m;

	if (msg_decode(&m, data, size))
		return 0;
	walk(&m);
	require(msg_encode(&m, &again) == 0);
	require(again.len == size && !memcmp(buf_data(&again), data, size));
	buf_done(&again);
	return 0;
}
