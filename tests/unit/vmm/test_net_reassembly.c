/* SPDX-License-Identifier: MIT */
#include "vmm/net/reassembly.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "vmm/net/switch.h"

struct fix {
	struct reassembly *r;
	struct swport ports[3];
	uint8_t bytes[DATAGRAM_MAX];
	int64_t now_ns;
	uint32_t id;
	unsigned port;
	size_t len; /* of what is whole */
};

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));

	f->r = reassembly_new();
	for (size_t i = 0; i < sizeof(f->bytes); i++)
		f->bytes[i] = (uint8_t)(i ^ i >> 8);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	reassembly_free(f->r);
	free(f);
	return 0;
}

/* The bytes from `from` to `to`; whether that made the datagram whole, which
 * then is right. */
static bool add(struct fix *f, size_t from, size_t to, bool has_more)
{
	/* A copy that ends where it ends, for a sanitizer. */
	uint8_t *body = mem_dup(f->bytes + from, to - from + !(to - from));
	const struct fragment fr = {.from = &f->ports[f->port],
				    .id = f->id,
				    .version = 4,
				    .protocol = 1,
				    .offset = from,
				    .has_more = has_more,
				    .body = body,
				    .len = to - from,
				    .now_ns = f->now_ns};
	const uint8_t *p = reassembly_add(f->r, &fr, &f->len);

	free(body);
	if (p)
		assert_memory_equal(f->bytes, p, f->len);
	return p;
}

static void order_does_not_matter(void **state)
{
	struct fix *f = *state;

	assert_false(add(f, 0, 16, true));
	assert_false(add(f, 16, 32, true));
	assert_true(add(f, 32, 37, false));
	assert_int_equal(37, f->len);
	assert_false(add(f, 32, 37, false));
	assert_false(add(f, 0, 16, true));
	assert_true(add(f, 16, 32, true));
	assert_int_equal(37, f->len);
	assert_true(add(f, 0, 5, false));
	assert_int_equal(5, f->len);
}

static void the_longest_is_whole(void **state)
{
	struct fix *f = *state;

	assert_false(add(f, 0, 65528, true));
	assert_true(add(f, 65528, DATAGRAM_MAX, false));
	assert_int_equal(DATAGRAM_MAX, f->len);
}

static void what_is_no_fragment_is_passed_over(void **state)
{
	struct fix *f = *state;
	const struct fragment beyond = {.from = &f->ports[0],
					.version = 4,
					.protocol = 1,
					.offset = 65528,
					.body = f->bytes,
					.len = 8};
	const struct fragment uneven = {.from = &f->ports[0],
					.version = 4,
					.protocol = 1,
					.offset = 4,
					.body = f->bytes,
					.len = 8};

	assert_false(add(f, 0, 8, true));
	assert_false(add(f, 8, 8, false));
	assert_false(add(f, 8, 15, true));
	assert_null(reassembly_add(f->r, &beyond, &f->len));
	assert_null(reassembly_add(f->r, &uneven, &f->len));
	assert_true(add(f, 8, 15, false));
	assert_int_equal(15, f->len);
}

static void a_copy_is_passed_over(void **state)
{
	struct fix *f = *state;

	assert_false(add(f, 0, 16, true));
	assert_false(add(f, 0, 16, true));
	assert_false(add(f, 0, 8, true));
	assert_true(add(f, 16, 20, false));
}

static void an_overlap_makes_it_void(void **state)
{
	struct fix *f = *state;

	assert_false(add(f, 0, 16, true));
	assert_false(add(f, 8, 24, true));
	assert_false(add(f, 24, 30, false));
	/* It begins anew with what comes then. */
	assert_true(add(f, 0, 24, true));
	assert_int_equal(30, f->len);
}

static void two_ends_make_it_void(void **state)
{
	struct fix *f = *state;

	assert_false(add(f, 16, 24, false));
	assert_false(add(f, 24, 32, false));
	assert_false(add(f, 0, 16, true));
	f->id = 1;
	assert_false(add(f, 16, 24, true));
	assert_false(add(f, 8, 12, false));
	assert_false(add(f, 0, 8, true));
	f->id = 2;
	assert_false(add(f, 8, 12, false));
	assert_false(add(f, 16, 24, true));
	assert_false(add(f, 0, 8, true));
	assert_int_equal(0, f->len);
}

static void datagrams_are_told_apart(void **state)
{
	struct fix *f = *state;

	assert_false(add(f, 0, 8, true));
	f->id = 1;
	assert_false(add(f, 8, 12, false));
	f->id = 0;
	f->port = 1;
	assert_false(add(f, 8, 12, false));
	f->port = 0;
	assert_true(add(f, 8, 12, false));
	f->id = 1;
	assert_true(add(f, 0, 8, true));
}

static void what_takes_too_long_is_forgotten(void **state)
{
	struct fix *f = *state;

	assert_false(add(f, 0, 8, true));
	f->now_ns = REASSEMBLY_NS;
	f->id = 1;
	assert_false(add(f, 0, 8, true));
	f->id = 0;
	assert_true(add(f, 8, 12, false));
	f->now_ns = 2 * REASSEMBLY_NS + 1;
	f->id = 1;
	assert_false(add(f, 8, 12, false));
}

static void one_port_takes_no_room_of_others(void **state)
{
	struct fix *f = *state;

	assert_false(add(f, 0, 8, true));
	f->port = 1;
	for (unsigned i = 0; i < 1000; i++) {
		f->now_ns++;
		f->id = i;
		assert_false(add(f, 0, 8, true));
	}
	/* Its last ones are there. */
	f->id = 1000 - REASSEMBLY_PORT_MAX;
	assert_true(add(f, 8, 12, false));
	f->port = 0;
	f->id = 0;
	assert_true(add(f, 8, 12, false));
}

static void the_oldest_of_all_makes_room(void **state)
{
	struct swport many[REASSEMBLY_MAX + 1];
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		const struct fragment fr = {.from = &many[i],
					    .version = 4,
					    .protocol = 1,
					    .has_more = true,
					    .body = f->bytes,
					    .len = 8,
					    .now_ns = (int64_t)i};

		assert_null(reassembly_add(f->r, &fr, &f->len));
	}
	for (size_t i = ARRAY_LEN(many); i-- > 0;) {
		const struct fragment fr = {.from = &many[i],
					    .version = 4,
					    .protocol = 1,
					    .offset = 8,
					    .body = f->bytes + 8,
					    .len = 8,
					    .now_ns = 100};

		assert_int_equal(i > 0,
				 reassembly_add(f->r, &fr, &f->len) != NULL);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
	    T(order_does_not_matter),
	    T(the_longest_is_whole),
	    T(what_is_no_fragment_is_passed_over),
	    T(a_copy_is_passed_over),
	    T(an_overlap_makes_it_void),
	    T(two_ends_make_it_void),
	    T(datagrams_are_told_apart),
	    T(what_takes_too_long_is_forgotten),
	    T(one_port_takes_no_room_of_others),
	    T(the_oldest_of_all_makes_room),
	};
#undef T

	return cmocka_run_group_tests_name("net_reassembly", tests, NULL, NULL);
}
