/* SPDX-License-Identifier: MIT */
#include "agent-proto/msg.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "agent-proto/le.h"
#include "agent-proto/mem.h"
#include "agent-proto/session.h"

#define CODE_SIZE 2

/* --- encoding -------------------------------------------------------------*/

struct encoder {
	struct buf *out;
	size_t left; /* of MSG_MAX */
	bool over;
};

/* Room for n bytes more, or NULL when the message is too large already. */
static uint8_t *msg_put(struct encoder *e, size_t n)
{
	if (e->over || n > e->left) {
		e->over = true;
		return NULL;
	}
	uint8_t *p = buf_room(e->out, n);
	buf_commit(e->out, n);
	e->left -= n;
	return p;
}

static void put_U8(struct encoder *e, uint8_t v)
{
	uint8_t *p = msg_put(e, 1);

	if (p)
		*p = v;
}

static void put_U32(struct encoder *e, uint32_t v)
{
	uint8_t *p = msg_put(e, 4);

	if (p)
		le_put32(p, v);
}

static void put_U64(struct encoder *e, uint64_t v)
{
	uint8_t *p = msg_put(e, 8);

	if (p)
		le_put64(p, v);
}

static void put_I32(struct encoder *e, int32_t v)
{
	put_U32(e, (uint32_t)v);
}

static void put_I64(struct encoder *e, int64_t v)
{
	put_U64(e, (uint64_t)v);
}

static void put_raw(struct encoder *e, const void *src, size_t n)
{
	uint8_t *p = msg_put(e, n);

	if (p && n)
		memcpy(p, src, n);
}

static void put_BYTES(struct encoder *e, struct msg_bytes v)
{
	put_U32(e, v.n);
	put_raw(e, v.p, v.n);
	put_U8(e, 0);
}

static void put_STR(struct encoder *e, const char *v)
{
	size_t n = v ? strlen(v) : 0;

	put_U32(e, (uint32_t)n);
	put_raw(e, v, n);
	put_U8(e, 0);
}

static void put_LIST(struct encoder *e, struct msg_list v)
{
	put_U32(e, v.count);
	put_U32(e, v.n);
	put_raw(e, v.p, v.n);
}

/* --- decoding -------------------------------------------------------------*/

struct decoder {
	const uint8_t *p;
	size_t left;
	bool bad;
};

/* The next n bytes, or NULL from the first error on. */
static const uint8_t *msg_get(struct decoder *d, size_t n)
{
	if (d->bad || n > d->left) {
		d->bad = true;
		return NULL;
	}
	const uint8_t *p = d->p;
	d->p += n;
	d->left -= n;
	return p;
}

static uint8_t get_U8(struct decoder *d)
{
	const uint8_t *p = msg_get(d, 1);

	return p ? *p : 0;
}

static uint32_t get_U32(struct decoder *d)
{
	const uint8_t *p = msg_get(d, 4);

	return p ? le_get32(p) : 0;
}

static uint64_t get_U64(struct decoder *d)
{
	const uint8_t *p = msg_get(d, 8);

	return p ? le_get64(p) : 0;
}

static int32_t get_I32(struct decoder *d)
{
	return (int32_t)get_U32(d);
}

static int64_t get_I64(struct decoder *d)
{
	return (int64_t)get_U64(d);
}

static struct msg_bytes get_BYTES(struct decoder *d)
{
	uint32_t n = get_U32(d);
	const uint8_t *p = msg_get(d, n);

	if (get_U8(d) != 0)
		d->bad = true;
	return (struct msg_bytes){.p = p, .n = p ? n : 0};
}

static const char *get_STR(struct decoder *d)
{
	struct msg_bytes v = get_BYTES(d);

	if (v.n && memchr(v.p, 0, v.n))
		d->bad = true;
	return (const char *)v.p;
}

static struct msg_list get_LIST(struct decoder *d)
{
	struct msg_list v;

	v.count = get_U32(d);
	v.n = get_U32(d);
	v.p = msg_get(d, v.n);
	struct decoder items = {.p = v.p, .left = v.n, .bad = d->bad};
	for (uint32_t i = 0; i < v.count && !items.bad; i++)
		get_BYTES(&items);
	if (items.bad || items.left)
		d->bad = true;
	return v;
}

/* --- one pair of functions a message --------------------------------------*/

#define ENCODE(kind, field) put_##kind(e, v->field);
#define DECODE(kind, field) v->field = get_##kind(d);
#define M(name, NAME, code, sender)                                            \
	static void encode_##name(struct encoder *e, const struct msg *m)      \
	{                                                                      \
		const struct msg_##name *v = &m->name;                         \
		MSG_##NAME##_FIELDS(ENCODE)                                    \
	}                                                                      \
	static void decode_##name(struct decoder *d, struct msg *m)            \
	{                                                                      \
		struct msg_##name *v = &m->name;                               \
		MSG_##NAME##_FIELDS(DECODE)                                    \
	}
#include "agent-proto/messages.def"
#undef M

enum sender { SENDER_AGENT, SENDER_HOST };

struct msg_info {
	const char *name; /* NULL: no such code */
	enum sender sender;
	void (*encode)(struct encoder *e, const struct msg *m);
	void (*decode)(struct decoder *d, struct msg *m);
};

static const struct msg_info *info_of(unsigned type);

int msg_encode(const struct msg *m, struct buf *out)
{
	const struct msg_info *info = info_of(m->type);
	struct encoder e = {.out = out, .left = MSG_MAX - CODE_SIZE};
	size_t before = out->len;

	assert(info);
	le_put16(buf_room(out, CODE_SIZE), (uint16_t)m->type);
	buf_commit(out, CODE_SIZE);
	info->encode(&e, m);
	if (e.over) {
		out->len = before;
		return -EMSGSIZE;
	}
	return 0;
}

int msg_decode(struct msg *m, const void *bytes, size_t n)
{
	struct decoder d = {.p = bytes, .left = n};

	if (n < CODE_SIZE || n > MSG_MAX)
		return -EBADMSG;
	unsigned code = le_get16(msg_get(&d, CODE_SIZE));
	const struct msg_info *info = info_of(code);
	if (!info)
		return -EBADMSG;
	memset(m, 0, sizeof(*m));
	m->type = code;
	info->decode(&d, m);
	return d.bad || d.left ? -EBADMSG : 0;
}

const char *msg_name(unsigned type)
{
	const struct msg_info *info = info_of(type);

	return info ? info->name : NULL;
}

bool msg_is_request(unsigned type)
{
	const struct msg_info *info = info_of(type);

	return info && info->sender == SENDER_HOST;
}

/* --- lists ----------------------------------------------------------------*/

void msg_list_add(struct buf *items, uint32_t *count, const void *p, size_t n)
{
	uint8_t *at = buf_room(items, 4 + n + 1);

	le_put32(at, (uint32_t)n);
	if (n)
		memcpy(at + 4, p, n);
	at[4 + n] = 0;
	buf_commit(items, 4 + n + 1);
	++*count;
}

struct msg_list msg_list_of(const struct buf *items, uint32_t count)
{
	/* What is clamped here is far above MSG_MAX: msg_encode() refuses. */
	return (struct msg_list){
	    .p = items->len ? buf_data(items) : NULL,
	    .n = items->len > UINT32_MAX ? UINT32_MAX : (uint32_t)items->len,
	    .count = count,
	};
}

bool msg_list_next(struct msg_list *list, struct msg_bytes *item)
{
	struct decoder d = {.p = list->p, .left = list->n};

	if (!list->count)
		return false;
	*item = get_BYTES(&d);
	if (d.bad)
		return false;
	list->p = d.p;
	list->n = (uint32_t)d.left;
	list->count--;
	return true;
}

/* --- the table, by code ---------------------------------------------------*/

static const struct msg_info infos[] = {
#define M(name, NAME, code, sender)                                            \
	[code] = {#NAME, SENDER_##sender, encode_##name, decode_##name},
#include "agent-proto/messages.def"
#undef M
};

static const struct msg_info *info_of(unsigned type)
{
	if (type >= ARRAY_LEN(infos) || !infos[type].name)
		return NULL;
	return &infos[type];
}
