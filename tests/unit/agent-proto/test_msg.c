/* SPDX-License-Identifier: MIT */
/*
 * Every message of messages.def, through generated fillers and comparers.
 * PROVIUM_GOLDEN=write makes tests/golden/messages/ anew; a change there is a
 * change of the protocol.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "agent-proto/msg.h"
#include "agent-proto/session.h"
#include "tests/unit/agent-proto/lib_rnd.h"

#define GOLDEN_DIR "tests/golden/messages"
#define DICTIONARY "tests/fuzz/corpus/fuzz_msg.dict"
#define POOL	   64

/* Where field values come from: random ones, or (r NULL) fixed ones, each
 * different from the one before. Owns what the message borrows. */
struct filler {
	struct rnd *r;
	unsigned n;
	void *pool[POOL];
	size_t used;
};

static void *pool_alloc(struct filler *f, size_t size)
{
	assert_true(f->used < POOL);
	return f->pool[f->used++] = mem_zalloc(size);
}

static void filler_done(struct filler *f)
{
	while (f->used)
		free(f->pool[--f->used]);
	f->n = 0;
}

static uint64_t next_U64(struct filler *f)
{
	if (!f->r)
		return UINT64_C(0xf1e2d3c4b5a69700) + ++f->n;
	/* Edges are likelier than chance. */
	switch (rnd_below(f->r, 6)) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return UINT64_C(1) << rnd_below(f->r, 64);
	default:
		return rnd_u64(f->r);
	}
}

static uint32_t next_U32(struct filler *f)
{
	return (uint32_t)next_U64(f);
}

static uint8_t next_U8(struct filler *f)
{
	return (uint8_t)next_U64(f);
}

static int32_t next_I32(struct filler *f)
{
	return (int32_t)next_U32(f);
}

static int64_t next_I64(struct filler *f)
{
	return (int64_t)next_U64(f);
}

static struct msg_bytes next_BYTES(struct filler *f)
{
	size_t n = f->r ? rnd_size(f->r, 300) : ++f->n % 7;
	uint8_t *p = pool_alloc(f, n + 1);

	if (f->r)
		rnd_fill(f->r, p, n);
	else
		memset(p, 0xee, n);
	return (struct msg_bytes){.p = p, .n = (uint32_t)n};
}

static const char *next_STR(struct filler *f)
{
	size_t n = f->r ? rnd_size(f->r, 300) : 0;
	char *s = pool_alloc(f, n + 32);

	if (!f->r)
		snprintf(s, 32, "/field/%u", ++f->n);
	for (size_t i = 0; i < n; i++)
		s[i] = (char)(1 + rnd_below(f->r, 255));
	return s;
}

static struct msg_list next_LIST(struct filler *f)
{
	size_t n = f->r ? rnd_below(f->r, 5) : 2;
	struct buf items = {0};
	uint32_t count = 0;

	for (size_t i = 0; i < n; i++) {
		struct msg_bytes b = next_BYTES(f);
		msg_list_add(&items, &count, b.p, b.n);
	}
	f->pool[f->used++] = items.mem;
	return msg_list_of(&items, count);
}

#define SAME_SCALAR(a, b) ((a) == (b))
#define same_U8		  SAME_SCALAR
#define same_U32	  SAME_SCALAR
#define same_U64	  SAME_SCALAR
#define same_I32	  SAME_SCALAR
#define same_I64	  SAME_SCALAR

static bool same_STR(const char *a, const char *b)
{
	return !strcmp(a, b);
}

static bool same_BYTES(struct msg_bytes a, struct msg_bytes b)
{
	return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

static bool same_LIST(struct msg_list a, struct msg_list b)
{
	struct msg_bytes x, y;

	if (a.count != b.count)
		return false;
	while (msg_list_next(&a, &x)) {
		if (!msg_list_next(&b, &y) || !same_BYTES(x, y))
			return false;
	}
	return !a.count && !b.count && !msg_list_next(&b, &y);
}

#define FILL(kind, field) v->field = next_##kind(f);
#define SAME(kind, field) &&same_##kind(v->field, w->field)
#define M(name, NAME, code, sender)                                            \
	static void fill_##name(struct msg *m, struct filler *f)               \
	{                                                                      \
		struct msg_##name *v = &m->name;                               \
		MSG_##NAME##_FIELDS(FILL)                                      \
	}                                                                      \
	static bool same_##name(const struct msg *a, const struct msg *b)      \
	{                                                                      \
		const struct msg_##name *v = &a->name, *w = &b->name;          \
		return true MSG_##NAME##_FIELDS(SAME);                         \
	}
#include "agent-proto/messages.def"
#undef M

static const struct sample {
	const char *name;
	enum msg_type type;
	void (*fill)(struct msg *m, struct filler *f);
	bool (*same)(const struct msg *a, const struct msg *b);
} samples[] = {
#define M(name, NAME, code, sender)                                            \
	{#NAME, MSG_##NAME, fill_##name, same_##name},
#include "agent-proto/messages.def"
#undef M
};

static void make(const struct sample *s, struct filler *f, struct msg *m,
		 struct buf *out)
{
	memset(m, 0, sizeof(*m));
	m->type = s->type;
	s->fill(m, f);
	buf_reset(out);
	assert_int_equal(msg_encode(m, out), 0);
}

/* Decodes a copy that is exactly as long, for ASan and valgrind to watch. */
static int decode_exact(struct msg *m, const uint8_t *p, size_t n,
			uint8_t **ret_copy)
{
	*ret_copy = mem_dup(p, n);
	return msg_decode(m, *ret_copy, n);
}

static void every_message_survives_the_round_trip(void **state)
{
	struct buf wire = {0}, again = {0};
	struct msg sent, got;
	struct rnd r;
	struct filler f = {.r = &r};
	uint8_t *copy;

	(void)state;
	rnd_init(&r, 5);
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		for (int round = 0; round < 200; round++) {
			make(&samples[i], &f, &sent, &wire);
			assert_int_equal(decode_exact(&got, buf_data(&wire),
						      wire.len, &copy),
					 0);
			assert_int_equal(got.type, sent.type);
			assert_true(samples[i].same(&sent, &got));
			buf_reset(&again);
			assert_int_equal(msg_encode(&got, &again), 0);
			assert_int_equal(again.len, wire.len);
			assert_memory_equal(buf_data(&again), buf_data(&wire),
					    wire.len);
			free(copy);
			filler_done(&f);
		}
	}
	buf_done(&wire);
	buf_done(&again);
}

static bool is_writing(void)
{
	const char *mode = getenv("PROVIUM_GOLDEN");

	return mode && !strcmp(mode, "write");
}

static void check_golden(const struct sample *s, const struct buf *wire)
{
	char path[128];
	uint8_t want[4096];

	snprintf(path, sizeof(path), GOLDEN_DIR "/%s.bin", s->name);
	bool writes = is_writing();
	FILE *file = fopen(path, writes ? "we" : "re");
	if (!file)
		fail_msg("%s: %s; PROVIUM_GOLDEN=write makes it", path,
			 strerror(errno));
	if (writes) {
		fwrite(buf_data(wire), 1, wire->len, file);
	} else {
		size_t n = fread(want, 1, sizeof(want), file);
		if (n != wire->len || memcmp(want, buf_data(wire), n) != 0)
			fail_msg("%s is not what is encoded now: bump "
				 "PROTO_VERSION, then PROVIUM_GOLDEN=write",
				 path);
	}
	fclose(file);
}

static void every_message_is_encoded_as_ever(void **state)
{
	struct buf wire = {0};
	struct filler f = {0};
	struct msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		make(&samples[i], &f, &m, &wire);
		check_golden(&samples[i], &wire);
		filler_done(&f);
	}
	buf_done(&wire);
}

/* Made by PROVIUM_GOLDEN=write, too: it comes from the same table. */
static void the_fuzz_dictionary_has_every_code(void **state)
{
	struct buf want = {0};
	char have[4096];

	(void)state;
	buf_printf(&want, "# The codes of messages.def; test_msg makes it.\n");
	for (size_t i = 0; i < ARRAY_LEN(samples); i++)
		buf_printf(&want, "%s=\"\\x%02x\\x%02x\"\n", samples[i].name,
			   samples[i].type & 0xff, samples[i].type >> 8);
	bool writes = is_writing();
	FILE *f = fopen(DICTIONARY, writes ? "we" : "re");
	assert_non_null(f);
	if (writes) {
		fwrite(buf_data(&want), 1, want.len, f);
	} else {
		assert_int_equal(fread(have, 1, sizeof(have), f), want.len);
		assert_memory_equal(have, buf_data(&want), want.len);
	}
	fclose(f);
	buf_done(&want);
}

static void every_truncation_is_refused(void **state)
{
	struct buf wire = {0};
	struct msg sent, got;
	struct rnd r;
	struct filler f = {.r = &r};
	uint8_t *copy;

	(void)state;
	rnd_init(&r, 6);
	for (size_t i = 0; i < 4 * ARRAY_LEN(samples); i++) {
		make(&samples[i / 4], &f, &sent, &wire);
		for (size_t n = 0; n < wire.len; n++) {
			assert_int_equal(
			    decode_exact(&got, buf_data(&wire), n, &copy),
			    -EBADMSG);
			free(copy);
		}
		filler_done(&f);
	}
	buf_done(&wire);
}

static void trailing_bytes_are_refused(void **state)
{
	struct buf wire = {0};
	struct msg sent, got;
	struct rnd r;
	struct filler f = {.r = &r};

	(void)state;
	rnd_init(&r, 7);
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		make(&samples[i], &f, &sent, &wire);
		buf_append(&wire, "", 1);
		assert_int_equal(msg_decode(&got, buf_data(&wire), wire.len),
				 -EBADMSG);
		filler_done(&f);
	}
	buf_done(&wire);
}

static void changed_bytes_never_break_a_decoder(void **state)
{
	struct buf wire = {0}, again = {0};
	struct msg sent, got;
	struct rnd r;
	struct filler f = {.r = &r};
	uint8_t *copy;

	(void)state;
	rnd_init(&r, 8);
	for (size_t i = 0; i < 300 * ARRAY_LEN(samples); i++) {
		make(&samples[i % ARRAY_LEN(samples)], &f, &sent, &wire);
		for (size_t k = rnd_below(&r, 3) + 1; k; k--) {
			uint8_t *p = buf_data(&wire);
			p[rnd_below(&r, wire.len)] = next_U8(&f);
		}
		if (!decode_exact(&got, buf_data(&wire), wire.len, &copy)) {
			buf_reset(&again);
			assert_int_equal(msg_encode(&got, &again), 0);
			assert_int_equal(again.len, wire.len);
			assert_memory_equal(buf_data(&again), buf_data(&wire),
					    wire.len);
		}
		free(copy);
		filler_done(&f);
	}
	buf_done(&wire);
	buf_done(&again);
}

static int decode_str(const void *text, size_t n, char end)
{
	uint8_t b[64] = {MSG_LISTDIR, 0, (uint8_t)n, 0, 0, 0};
	struct msg m;

	memcpy(b + 6, text, n);
	b[6 + n] = (uint8_t)end;
	return msg_decode(&m, b, 6 + n + 1);
}

static void a_nul_inside_a_string_is_refused(void **state)
{
	(void)state;
	assert_int_equal(decode_str("/etc", 4, 0), 0);
	assert_int_equal(decode_str("", 0, 0), 0);
	assert_int_equal(decode_str("/e\0c", 4, 0), -EBADMSG);
	assert_int_equal(decode_str("\0", 1, 0), -EBADMSG);
	assert_int_equal(decode_str("/etc", 4, 'x'), -EBADMSG);
}

static void a_list_whose_count_or_length_lies_is_refused(void **state)
{
	/* SYSCALL_DONE: ret i64, errnum i32, count u32, length u32, item. */
	uint8_t b[2 + 8 + 4 + 8 + 7] = {MSG_SYSCALL_DONE};
	const size_t count = 14, length = 18, item = 22;
	struct msg m;

	(void)state;
	b[count] = 1;
	b[length] = 7;
	b[item] = 2;
	assert_int_equal(msg_decode(&m, b, sizeof(b)), 0);
	const uint8_t bad[][3] = {{0, 7, 2}, {2, 7, 2}, {255, 7, 2}, {1, 6, 2},
				  {1, 8, 2}, {1, 7, 1}, {1, 7, 3},   {1, 0, 2}};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		b[count] = bad[i][0];
		b[length] = bad[i][1];
		b[item] = bad[i][2];
		assert_int_equal(msg_decode(&m, b, sizeof(b)), -EBADMSG);
	}
	b[count] = 1;
	b[length] = 7;
	b[item] = 2;
	b[count + 3] = b[length + 3] = b[item + 3] = 0xff;
	assert_int_equal(msg_decode(&m, b, sizeof(b)), -EBADMSG);
}

static void null_strings_are_empty(void **state)
{
	struct msg m = {.type = MSG_RENAME, .rename = {NULL, "x"}}, got;
	struct buf b = {0};

	(void)state;
	assert_int_equal(msg_encode(&m, &b), 0);
	assert_int_equal(msg_decode(&got, buf_data(&b), b.len), 0);
	assert_string_equal(got.rename.from, "");
	assert_string_equal(got.rename.to, "x");
	buf_done(&b);
}

static void an_oversized_message_leaves_the_buffer_as_it_was(void **state)
{
	uint8_t *big = mem_zalloc(MSG_MAX);
	struct msg m = {.type = MSG_SYSCALL}, got;
	struct buf b = {0};

	(void)state;
	/* 2 + 7 * 8 numbers + 8 list + 5 of ptrs + 5 of nested + 1 flags */
	const uint32_t rest = 2 + 56 + 8 + 5 + 5 + 1;
	m.syscall.nested = (struct msg_bytes){big, MSG_MAX - rest};
	assert_int_equal(msg_encode(&m, &b), 0);
	assert_int_equal(b.len, MSG_MAX);
	assert_int_equal(msg_decode(&got, buf_data(&b), b.len), 0);
	buf_reset(&b);
	buf_append(&b, "before", 6);
	m.syscall.nested.n++;
	assert_int_equal(msg_encode(&m, &b), -EMSGSIZE);
	assert_int_equal(b.len, 6);
	assert_memory_equal(buf_data(&b), "before", 6);
	m.syscall.nested.n = UINT32_MAX;
	assert_int_equal(msg_encode(&m, &b), -EMSGSIZE);
	assert_int_equal(b.len, 6);
	buf_done(&b);
	free(big);
}

static void unknown_codes_are_refused(void **state)
{
	uint8_t b[64] = {0};
	struct msg m;

	(void)state;
	for (unsigned code = 0; code < 0x10000; code++) {
		if (msg_name(code))
			continue;
		b[0] = (uint8_t)code;
		b[1] = (uint8_t)(code >> 8);
		assert_int_equal(msg_decode(&m, b, sizeof(b)), -EBADMSG);
	}
	assert_null(msg_name(0));
	assert_false(msg_is_request(0));
	assert_null(msg_name(UINT32_MAX));
}

static void names_and_directions_are_those_of_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++)
		assert_string_equal(msg_name(samples[i].type), samples[i].name);
	assert_true(msg_is_request(MSG_SPAWN));
	assert_false(msg_is_request(MSG_EXITED));
	assert_false(msg_is_request(MSG_ERROR));
}

static void list_items_end_with_a_nul_that_does_not_count(void **state)
{
	struct buf items = {0};
	uint32_t count = 0;
	struct msg_bytes item;

	(void)state;
	msg_list_add(&items, &count, "a\0b", 3);
	msg_list_add(&items, &count, NULL, 0);
	struct msg_list l = msg_list_of(&items, count);
	assert_int_equal(l.count, 2);
	assert_true(msg_list_next(&l, &item));
	assert_int_equal(item.n, 3);
	assert_memory_equal(item.p, "a\0b\0", 4);
	assert_true(msg_list_next(&l, &item));
	assert_int_equal(item.n, 0);
	assert_int_equal(item.p[0], 0);
	assert_false(msg_list_next(&l, &item));
	buf_done(&items);
	l = msg_list_of(&items, 0);
	assert_false(msg_list_next(&l, &item));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_message_survives_the_round_trip),
	    cmocka_unit_test(every_message_is_encoded_as_ever),
	    cmocka_unit_test(the_fuzz_dictionary_has_every_code),
	    cmocka_unit_test(every_truncation_is_refused),
	    cmocka_unit_test(trailing_bytes_are_refused),
	    cmocka_unit_test(changed_bytes_never_break_a_decoder),
	    cmocka_unit_test(a_nul_inside_a_string_is_refused),
	    cmocka_unit_test(a_list_whose_count_or_length_lies_is_refused),
	    cmocka_unit_test(null_strings_are_empty),
	    cmocka_unit_test(an_oversized_message_leaves_the_buffer_as_it_was),
	    cmocka_unit_test(unknown_codes_are_refused),
	    cmocka_unit_test(names_and_directions_are_those_of_the_table),
	    cmocka_unit_test(list_items_end_with_a_nul_that_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
