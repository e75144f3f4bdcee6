/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "runner/pool.h"

#define M (UINT64_C(1) << 20)
#define G (UINT64_C(1) << 30)

/* A pool of 1G and 4 vCPUs, and two files in it. */
struct fixture {
	struct pool *p;
	unsigned a;
	unsigned b;
	char *refusal; /* the last */
};

static const struct pool_budget budget = {
    .amount = {.memory = G, .cpus = 4},
    .memory_note = " of 2G: --mem",
    .cpus_note = " (2 CPUs x 2): --cpus",
};

static int set_up(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	f->p = pool_new(&budget);
	f->a = pool_enter(f->p, "a.test.lua");
	f->b = pool_enter(f->p, "b.test.lua");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	pool_free(f->p);
	free(f->refusal);
	free(f);
	return 0;
}

static int asks(struct fixture *f, unsigned client, uint64_t id,
		enum pool_kind kind, uint64_t memory, uint64_t cpus)
{
	char *place =
	    mem_printf("%c.test.lua:%d", client == f->a ? 'a' : 'b', (int)id);
	struct pool_request r = {
	    .id = id,
	    .kind = kind,
	    .amount = {memory, cpus},
	    .what = "VM 'x'",
	    .place = place,
	};
	int rc = pool_ask(f->p, client, &r, NULL);

	free(place);
	return rc;
}

static void vm(struct fixture *f, unsigned client, uint64_t id, uint64_t memory)
{
	assert_int_equal(asks(f, client, id, POOL_VMS, memory, 1), 0);
}

static void back(struct fixture *f, unsigned client, uint64_t memory)
{
	struct pool_amount amount = {memory, 1};

	assert_int_equal(pool_give_back(f->p, client, &amount, NULL), 0);
}

/* The id of the next ask that is granted; 0: there is no answer, and negative
 * the id of one that is refused. */
static int64_t next(struct fixture *f)
{
	struct pool_answer got;

	if (!pool_next(f->p, &got))
		return 0;
	free(f->refusal);
	f->refusal = got.refusal;
	return got.refusal ? -(int64_t)got.id : (int64_t)got.id;
}

static void says(const struct fixture *f, const char *part)
{
	assert_non_null(f->refusal);
	if (!strstr(f->refusal, part))
		fail_msg("no '%s' in '%s'", part, f->refusal);
}

/* --- granting -------------------------------------------------------------*/

static void what_fits_is_granted_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(next(f), 0);
	vm(f, f->a, 1, G);
	assert_int_equal(next(f), 1);
	assert_int_equal(next(f), 0);
	assert_int_equal(pool_used(f->p).memory, G);
	assert_int_equal(pool_used(f->p).cpus, 1);
}

static void what_does_not_fit_waits_until_something_is_back(void **state)
{
	struct fixture *f = *state;

	vm(f, f->a, 1, 600 * M);
	vm(f, f->b, 2, 600 * M);
	assert_int_equal(next(f), 1);
	assert_int_equal(next(f), 0);
	assert_int_equal(pool_waiting(f->p), 1);
	back(f, f->a, 600 * M);
	assert_int_equal(next(f), 2);
	assert_int_equal(pool_waiting(f->p), 0);
}

static void a_small_ask_does_not_pass_a_large_one(void **state)
{
	struct fixture *f = *state;
	unsigned c = pool_enter(f->p, "c.test.lua");

	vm(f, f->a, 1, 600 * M);
	assert_int_equal(next(f), 1);
	vm(f, f->b, 2, 600 * M);
	vm(f, c, 3, 100 * M);
	assert_int_equal(next(f), 0);
	back(f, f->a, 600 * M);
	assert_int_equal(next(f), 2);
	assert_int_equal(next(f), 3);
}

static void vcpus_are_a_limit_too(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(asks(f, f->a, 1, POOL_VMS, M, 3), 0);
	assert_int_equal(asks(f, f->b, 2, POOL_VMS, M, 2), 0);
	assert_int_equal(next(f), 1);
	assert_int_equal(next(f), 0);
	pool_leave(f->p, f->a);
	assert_int_equal(next(f), 2);
}

static void a_client_that_leaves_gives_all_back(void **state)
{
	struct fixture *f = *state;

	vm(f, f->a, 1, 700 * M);
	vm(f, f->a, 2, 700 * M);
	vm(f, f->b, 3, 700 * M);
	assert_int_equal(next(f), 1);
	assert_int_equal(next(f), 0);
	pool_leave(f->p, f->a);
	assert_int_equal(pool_waiting(f->p), 1);
	assert_int_equal(next(f), 3);
	assert_int_equal(pool_used(f->p).memory, 700 * M);
	assert_int_equal(pool_enter(f->p, "again"), f->a);
	assert_false(pool_is_parked(f->p, f->a));
}

static void more_back_than_was_given_is_refused(void **state)
{
	struct fixture *f = *state;
	struct pool_amount amount = {101 * M, 1};

	vm(f, f->a, 1, 100 * M);
	assert_int_equal(next(f), 1);
	assert_int_equal(pool_give_back(f->p, f->a, &amount, NULL), -EBADMSG);
	amount = (struct pool_amount){M, 2};
	assert_int_equal(pool_give_back(f->p, f->a, &amount, NULL), -EBADMSG);
	assert_int_equal(pool_used(f->p).memory, 100 * M);
}

static void an_ask_that_is_withdrawn_gets_no_answer(void **state)
{
	struct fixture *f = *state;

	vm(f, f->a, 1, G);
	vm(f, f->b, 2, G);
	vm(f, f->b, 3, M);
	assert_int_equal(next(f), 1);
	assert_int_equal(next(f), 0);
	pool_withdraw(f->p, f->b, 2);
	pool_withdraw(f->p, f->b, 77);
	back(f, f->a, G);
	assert_int_equal(next(f), 3);
	assert_int_equal(next(f), 0);
}

static void an_id_may_not_wait_twice(void **state)
{
	struct fixture *f = *state;

	vm(f, f->a, 1, M);
	assert_int_equal(asks(f, f->a, 1, POOL_VMS, M, 1), -EBADMSG);
	assert_int_equal(asks(f, f->b, 1, POOL_VMS, M, 1), 0);
}

/* --- claims ---------------------------------------------------------------*/

static void a_claim_is_charged_and_then_used(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(asks(f, f->a, 1, POOL_CLAIM, 600 * M, 2), 0);
	assert_int_equal(next(f), 1);
	assert_int_equal(pool_used(f->p).memory, 600 * M);
	vm(f, f->b, 2, 600 * M);
	assert_int_equal(next(f), 0);
	/* In the claim: passes the one that waits. */
	vm(f, f->a, 3, 500 * M);
	assert_int_equal(next(f), 3);
	assert_int_equal(pool_used(f->p).memory, 600 * M);
	back(f, f->a, 500 * M);
	assert_int_equal(next(f), 0);
	pool_leave(f->p, f->a);
	assert_int_equal(next(f), 2);
}

static void what_exceeds_a_claim_is_charged_beside_it(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(asks(f, f->a, 1, POOL_CLAIM, 100 * M, 1), 0);
	assert_int_equal(next(f), 1);
	vm(f, f->a, 2, 300 * M);
	assert_int_equal(next(f), 2);
	assert_int_equal(pool_used(f->p).memory, 300 * M);
}

static void there_is_one_claim_a_client(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(asks(f, f->a, 1, POOL_CLAIM, M, 1), 0);
	assert_int_equal(asks(f, f->a, 2, POOL_CLAIM, M, 1), -EBADMSG);
	assert_int_equal(next(f), 1);
	assert_int_equal(asks(f, f->a, 2, POOL_CLAIM, M, 1), -EBADMSG);
}

/* --- refusing -------------------------------------------------------------*/

static void the_impossible_is_refused_with_the_arithmetic(void **state)
{
	struct fixture *f = *state;

	vm(f, f->b, 1, G);
	assert_int_equal(next(f), 1);
	assert_int_equal(asks(f, f->a, 2, POOL_VMS, 64 * G, 1), 0);
	assert_int_equal(next(f), -2);
	assert_string_equal(f->refusal,
			    "wants 64G of memory for VM 'x', the budget is "
			    "1G of 2G: --mem");
	assert_int_equal(asks(f, f->a, 3, POOL_VMS, M, 5), 0);
	assert_int_equal(next(f), -3);
	assert_string_equal(f->refusal,
			    "wants 5 vCPUs for VM 'x', the budget is 4 "
			    "(2 CPUs x 2): --cpus");
	assert_int_equal(asks(f, f->a, 4, POOL_CLAIM, 2 * G, 5), 0);
	assert_int_equal(next(f), -4);
	says(f, "wants 2G of memory and 5 vCPUs");
	says(f, "1G of 2G: --mem, and 4 (2 CPUs x 2): --cpus");
	/* A refused claim is none. */
	assert_int_equal(asks(f, f->a, 5, POOL_CLAIM, UINT64_MAX, 1), 0);
	assert_int_equal(next(f), -5);
}

static void amounts_do_not_overflow(void **state)
{
	struct fixture *f = *state;

	vm(f, f->a, 1, M);
	assert_int_equal(next(f), 1);
	assert_int_equal(asks(f, f->a, 2, POOL_VMS, UINT64_MAX, UINT64_MAX), 0);
	assert_int_equal(next(f), -2);
	assert_int_equal(pool_used(f->p).memory, M);
}

static void a_file_that_waits_for_itself_is_refused(void **state)
{
	struct fixture *f = *state;

	vm(f, f->b, 9, 100 * M);
	assert_int_equal(next(f), 9);
	vm(f, f->a, 1, 600 * M);
	assert_int_equal(next(f), 1);
	vm(f, f->a, 2, 500 * M);
	/* A task of it may still give something back. */
	assert_int_equal(next(f), 0);
	pool_park(f->p, f->a, 1);
	assert_int_equal(next(f), -2);
	says(f, "wants 500M of memory for VM 'x' and holds 600M");
	says(f, "the budget is 1G of 2G");
	assert_int_equal(pool_used(f->p).memory, 700 * M);
}

static void a_deadlock_is_named_and_broken(void **state)
{
	struct fixture *f = *state;

	vm(f, f->a, 1, 500 * M);
	vm(f, f->b, 2, 400 * M);
	assert_int_equal(next(f), 1);
	assert_int_equal(next(f), 2);
	vm(f, f->a, 3, 500 * M);
	pool_park(f->p, f->a, 1);
	assert_int_equal(next(f), 0);
	vm(f, f->b, 4, 600 * M);
	assert_int_equal(next(f), 0);
	pool_park(f->p, f->b, 1);
	assert_int_equal(next(f), -4);
	says(f, "deadlock");
	says(f, "a.test.lua:3 wants 500M of memory and 1 vCPU for VM 'x' and "
		"holds 500M");
	says(f, "b.test.lua:4 wants 600M");
	/* It runs again; the other waits for what it will give back. */
	assert_int_equal(next(f), 0);
	back(f, f->b, 400 * M);
	assert_int_equal(next(f), 3);
}

static void one_that_holds_passes_when_nobody_else_could_go_on(void **state)
{
	struct fixture *f = *state;

	vm(f, f->a, 1, 600 * M);
	assert_int_equal(next(f), 1);
	vm(f, f->b, 2, 600 * M);
	vm(f, f->a, 3, 100 * M);
	pool_park(f->p, f->b, 1);
	assert_int_equal(next(f), 0);
	pool_park(f->p, f->a, 1);
	assert_int_equal(next(f), 3);
	assert_int_equal(next(f), 0);
	pool_leave(f->p, f->a);
	assert_int_equal(next(f), 2);
}

static void a_stale_word_of_being_parked_counts_for_nothing(void **state)
{
	struct fixture *f = *state;

	vm(f, f->a, 1, 600 * M);
	vm(f, f->a, 2, 600 * M);
	assert_int_equal(next(f), 1);
	/* Sent before that answer came. */
	pool_park(f->p, f->a, 2);
	assert_false(pool_is_parked(f->p, f->a));
	pool_park(f->p, f->a, 1);
	assert_true(pool_is_parked(f->p, f->a));
	pool_park(f->p, f->a, 0);
	assert_false(pool_is_parked(f->p, f->a));
}

/* --- pressure -------------------------------------------------------------*/

static void under_pressure_nothing_more_is_given_out(void **state)
{
	struct fixture *f = *state;

	vm(f, f->a, 1, M);
	assert_int_equal(next(f), 1);
	pool_set_pressure(f->p, true);
	vm(f, f->b, 2, M);
	assert_int_equal(next(f), 0);
	pool_set_pressure(f->p, false);
	assert_int_equal(next(f), 2);
}

static void pressure_does_not_stop_the_only_ones(void **state)
{
	struct fixture *f = *state;

	pool_set_pressure(f->p, true);
	vm(f, f->a, 1, M);
	assert_int_equal(next(f), 1);
	vm(f, f->b, 2, M);
	assert_int_equal(next(f), 0);
	/* All that have something wait. */
	vm(f, f->a, 3, M);
	pool_park(f->p, f->a, 1);
	assert_int_equal(next(f), 2);
}

static void pressure_does_not_touch_a_claim(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(asks(f, f->a, 1, POOL_CLAIM, 100 * M, 2), 0);
	assert_int_equal(next(f), 1);
	pool_set_pressure(f->p, true);
	vm(f, f->a, 2, 100 * M);
	assert_int_equal(next(f), 2);
}

/* A file that polls for its own VM is not parked: it waits for no other. */
static void under_pressure_nobody_waits_for_itself(void **state)
{
	struct fixture *f = *state;

	vm(f, f->a, 1, M);
	assert_int_equal(next(f), 1);
	pool_set_pressure(f->p, true);
	vm(f, f->a, 2, M);
	assert_int_equal(next(f), 2);
}

static void pressure_that_stays_lets_one_in_after_a_while(void **state)
{
	struct fixture *f = *state;

	vm(f, f->a, 1, M);
	assert_int_equal(next(f), 1);
	vm(f, f->b, 2, M);
	vm(f, f->b, 3, M);
	for (unsigned id = 2; id <= 3; id++) {
		for (int i = 0; i < POOL_PRESSED_MAX; i++) {
			pool_set_pressure(f->p, true);
			assert_int_equal(next(f), 0);
		}
		pool_set_pressure(f->p, true);
		assert_int_equal(next(f), id);
	}
}

/* Pressure that comes and goes delays each ask anew. */
static void looks_without_pressure_do_not_count(void **state)
{
	struct fixture *f = *state;

	vm(f, f->a, 1, M);
	assert_int_equal(next(f), 1);
	for (int i = 0; i < POOL_PRESSED_MAX; i++)
		pool_set_pressure(f->p, true);
	vm(f, f->b, 2, M);
	for (int i = 0; i < POOL_PRESSED_MAX; i++) {
		pool_set_pressure(f->p, true);
		assert_int_equal(next(f), 0);
	}
}

/* --- the model ------------------------------------------------------------*/

#define FILES 5
#define ASKS  4

/* A file with some tasks: each asks, holds, gives back, a few times. */
struct model_task {
	uint64_t id; /* that waits; 0: none */
	struct pool_amount want;
	struct pool_amount held;
	unsigned left; /* rounds */
};

struct model_file {
	unsigned client;
	struct model_task tasks[ASKS];
};

struct model {
	struct pool *p;
	struct model_file files[FILES];
	uint64_t last_id;
	uint64_t oldest_granted; /* of those that held nothing */
	unsigned n_granted;
	unsigned n_refused;
};

static bool model_holds(const struct model_file *m)
{
	for (int i = 0; i < ASKS; i++)
		if (m->tasks[i].held.memory)
			return true;
	return false;
}

/* It parks when each task that has rounds left waits. */
static void model_park(struct model *m, struct model_file *f)
{
	unsigned n = 0;

	for (int i = 0; i < ASKS; i++) {
		struct model_task *t = &f->tasks[i];

		n += t->id != 0;
		if (!t->id && (t->left || t->held.memory))
			return;
	}
	pool_park(m->p, f->client, n);
}

static void model_step(struct model *m, struct model_file *f,
		       struct model_task *t)
{
	if (t->id)
		return;
	if (t->held.memory) {
		assert_int_equal(
		    pool_give_back(m->p, f->client, &t->held, NULL), 0);
		t->held = (struct pool_amount){0};
	} else if (t->left) {
		t->left--;
		t->id = ++m->last_id;
		t->want = (struct pool_amount){(uint64_t)(1 + rand() % 700) * M,
					       (uint64_t)rand() % 4};
		struct pool_request r = {
		    .id = t->id, .amount = t->want, .what = "x", .place = ""};
		assert_int_equal(pool_ask(m->p, f->client, &r, NULL), 0);
	}
	model_park(m, f);
}

/* No ask of a file that holds nothing is granted before an older one of such
 * a file. */
static void check_order(const struct model *m, const struct model_task *t)
{
	for (int i = 0; i < FILES; i++)
		for (int j = 0; j < ASKS; j++) {
			const struct model_task *o = &m->files[i].tasks[j];
			if (o->id && !model_holds(&m->files[i]))
				assert_true(o->id >= t->id);
		}
}

static void model_answer(struct model *m, const struct pool_answer *got)
{
	for (int i = 0; i < FILES; i++) {
		struct model_file *f = &m->files[i];

		for (int j = 0; j < ASKS; j++) {
			struct model_task *t = &f->tasks[j];

			if (f->client != got->client || t->id != got->id)
				continue;
			if (!got->refusal && !model_holds(f))
				check_order(m, t);
			if (!got->refusal)
				t->held = t->want;
			t->id = 0;
			*(got->refusal ? &m->n_refused : &m->n_granted) += 1;
			model_park(m, f);
		}
	}
}

static void model_answers(struct model *m)
{
	struct pool_answer got;

	while (pool_next(m->p, &got)) {
		struct pool_amount used;

		model_answer(m, &got);
		free(got.refusal);
		used = pool_used(m->p);
		assert_true(used.memory <= budget.amount.memory);
		assert_true(used.cpus <= budget.amount.cpus);
	}
}

static bool model_is_over(const struct model *m)
{
	for (int i = 0; i < FILES; i++)
		for (int j = 0; j < ASKS; j++) {
			const struct model_task *t = &m->files[i].tasks[j];
			if (t->id || t->left || t->held.memory)
				return false;
		}
	return true;
}

static void run_model(unsigned seed)
{
	struct model m = {.p = pool_new(&budget)};
	unsigned steps = 0;

	srand(seed);
	for (int i = 0; i < FILES; i++) {
		m.files[i].client = pool_enter(m.p, "x");
		for (int j = 0; j < ASKS; j++)
			m.files[i].tasks[j].left =
			    j <= i % ASKS ? 1 + (unsigned)rand() % 3 : 0;
	}
	while (!model_is_over(&m)) {
		struct model_file *f = &m.files[rand() % FILES];

		/* Far more than all need: something stands still. */
		if (++steps > 100000)
			fail_msg("standstill with seed %u", seed);
		pool_set_pressure(m.p, rand() % 8 == 0);
		model_step(&m, f, &f->tasks[rand() % ASKS]);
		model_answers(&m);
	}
	assert_int_equal(pool_waiting(m.p), 0);
	assert_int_equal(pool_used(m.p).memory, 0);
	assert_true(m.n_granted > 0);
	pool_free(m.p);
}

static void whatever_files_do_all_end_within_the_budget(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 300; seed++)
		run_model(seed);
}

static void sizes_read_as_they_are_written(void **state)
{
	char out[POOL_SIZE_TEXT];

	(void)state;
	assert_string_equal(pool_size_text(1000, out), "1000");
	assert_string_equal(pool_size_text(512 * M, out), "512M");
	assert_string_equal(pool_size_text(G + 307 * M, out), "1.2G");
	assert_string_equal(pool_size_text(G - 1, out), "1023.9M");
	assert_string_equal(pool_size_text(0, out), "0");
	assert_string_equal(pool_size_text(UINT64_MAX, out), "16777216T");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_fits_is_granted_at_once),
	    TEST(what_does_not_fit_waits_until_something_is_back),
	    TEST(a_small_ask_does_not_pass_a_large_one),
	    TEST(vcpus_are_a_limit_too),
	    TEST(a_client_that_leaves_gives_all_back),
	    TEST(more_back_than_was_given_is_refused),
	    TEST(an_ask_that_is_withdrawn_gets_no_answer),
	    TEST(an_id_may_not_wait_twice),
	    TEST(a_claim_is_charged_and_then_used),
	    TEST(what_exceeds_a_claim_is_charged_beside_it),
	    TEST(there_is_one_claim_a_client),
	    TEST(the_impossible_is_refused_with_the_arithmetic),
	    TEST(amounts_do_not_overflow),
	    TEST(a_file_that_waits_for_itself_is_refused),
	    TEST(a_deadlock_is_named_and_broken),
	    TEST(one_that_holds_passes_when_nobody_else_could_go_on),
	    TEST(a_stale_word_of_being_parked_counts_for_nothing),
	    TEST(under_pressure_nothing_more_is_given_out),
	    TEST(pressure_does_not_stop_the_only_ones),
	    TEST(pressure_does_not_touch_a_claim),
	    TEST(under_pressure_nobody_waits_for_itself),
	    TEST(pressure_that_stays_lets_one_in_after_a_while),
	    TEST(looks_without_pressure_do_not_count),
	    TEST(whatever_files_do_all_end_within_the_budget),
	    TEST(sizes_read_as_they_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
