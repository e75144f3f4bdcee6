/* SPDX-License-Identifier: MIT */
/*
 * The engine against a model of it (lib_model.h): every call over every cut of
 * a short stream with everything that may happen at each step, then random
 * ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "tests/unit/streams/lib_model.h"

/* --- every cut, every step -------------------------------------------------
 */

/* Repeats itself, and holds NULs and a line's end. */
static const char text[] = "aab\0aaba\n\0a";
#define TEXT_LEN (sizeof(text) - 1)
#define STEPS	 3 /* deliveries */

#define P(literal)                                                             \
	{                                                                      \
		(const uint8_t *)(literal), sizeof(literal) - 1                \
	}

static const struct stream_pattern line_end[] = {P("\n")};
static const struct stream_pattern overlapping[] = {P("aaba")};
static const struct stream_pattern nul[] = {P("\0a")};
static const struct stream_pattern absent[] = {P("abab")};
static const struct stream_pattern whole[] = {P("aab\0aaba\n\0a")};
static const struct stream_pattern several[] = {P("baa"), P("b\0aab"),
						P("aba\n"), P("aba")};
static const struct stream_pattern many[] = {
    P("x"), P("aba"), P("\0a"), P("aab"), P("\n\0"), P("ba"), P("abab"), P("b"),
};

#define MATCH(kind_, list)                                                     \
	{                                                                      \
		.kind = (kind_), .patterns = (list),                           \
		.n_patterns = sizeof(list) / sizeof((list)[0])                 \
	}

static const struct model_call calls[] = {
    {.kind = MODEL_NEXT},
    {.kind = MODEL_NEXT, .skip = 1},
    {.kind = MODEL_DRAIN},
    MATCH(MODEL_READ_UNTIL, line_end),
    MATCH(MODEL_READ_UNTIL, overlapping),
    MATCH(MODEL_EXPECT, nul),
    MATCH(MODEL_EXPECT, absent),
    MATCH(MODEL_READ_UNTIL, whole),
    MATCH(MODEL_EXPECT, several),
    MATCH(MODEL_READ_UNTIL, several),
    MATCH(MODEL_EXPECT, many),
    {.kind = MODEL_TAKE, .n_bytes = 0},
    {.kind = MODEL_TAKE, .n_bytes = 1},
    {.kind = MODEL_TAKE, .n_bytes = 6},
    {.kind = MODEL_TAKE, .n_bytes = TEXT_LEN},
    {.kind = MODEL_TAKE, .n_bytes = TEXT_LEN + 1},
    {.kind = MODEL_READ, .n_bytes = 1},
    {.kind = MODEL_READ, .n_bytes = TEXT_LEN},
};
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

enum event { NOTHING, EXPIRES, CANCEL, CLOSE, END, BREAK, EVENTS };

/* One way for it all to go. */
struct script {
	size_t cuts[STEPS + 1];
	bool more;	/* the pieces are of one frame */
	size_t call;	/* of calls */
	unsigned start; /* before which delivery */
	unsigned when;	/* before which the event comes; >= start */
	enum event event;
	bool hold;
	bool give_up; /* first, then the same call again */
};

static void happen(struct model *m, enum event event)
{
	if (event == EXPIRES)
		model_turn(m);
	else if (event == CANCEL)
		model_cancel(m);
	else if (event == CLOSE)
		model_close(m);
	else if (event == END || event == BREAK)
		model_end(m, event == BREAK);
}

static void perform(struct loop *l, const struct script *s)
{
	struct model_call call = calls[s->call];
	char note[160];

	snprintf(note, sizeof(note),
		 "cuts %zu %zu more %d call %zu start %u when %u event %d "
		 "hold %d give_up %d",
		 s->cuts[1], s->cuts[2], s->more, s->call, s->start, s->when,
		 (int)s->event, s->hold, s->give_up);
	struct model *m = model_new(l, note);
	call.hold = s->hold;
	call.is_expiring = s->event == EXPIRES;
	for (unsigned i = 0; i <= STEPS; i++) {
		if (i == s->start)
			model_start(m, &call);
		if (i == s->when)
			happen(m, s->event);
		if (i < STEPS)
			model_deliver(m, text + s->cuts[i],
				      s->cuts[i + 1] - s->cuts[i],
				      s->more && i + 1 < STEPS);
	}
	if (s->give_up && model_is_held(m)) {
		model_give_up(m);
		model_start(m, &call);
	}
	/* What is still to come finds the rest as it should be. */
	model_read_all(m);
	model_free(m);
}

static void each_step(struct loop *l, struct script *s)
{
	for (s->start = 0; s->start <= STEPS; s->start++)
		for (s->when = s->start; s->when <= STEPS; s->when++)
			for (int e = 0; e < EVENTS; e++) {
				s->event = (enum event)e;
				perform(l, s);
			}
}

static void each_call(struct loop *l, struct script *s)
{
	for (s->call = 0; s->call < N_CALLS; s->call++) {
		s->hold = s->give_up = false;
		each_step(l, s);
		s->hold = true;
		each_step(l, s);
		s->give_up = true;
		each_step(l, s);
	}
}

static void every_call_at_every_cut_does_as_the_model(void **state)
{
	struct err err;
	struct loop *l = loop_new(&err);

	(void)state;
	assert_non_null(l);
	for (size_t a = 0; a <= TEXT_LEN; a++) {
		for (size_t b = a; b <= TEXT_LEN; b++) {
			struct script s = {.cuts = {0, a, b, TEXT_LEN}};

			s.more = (a + b) & 1;
			each_call(l, &s);
		}
	}
	loop_free(l);
}

/* --- random ------------------------------------------------------------- */

#define ROUNDS	     400
#define SCRIPT_MAX   1500
#define LONG_FRAME   9000
#define LONG_ACTIONS 60
#define FIRST_SEED   UINT64_C(0x9e3779b97f4a7c15)

/* xorshift64: the same numbers everywhere. */
static unsigned draw(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (unsigned)(*seed >> 33);
}

static void random_script(struct loop *l, uint64_t seed)
{
	uint8_t script[SCRIPT_MAX];
	char note[64];

	snprintf(note, sizeof(note), "seed %#llx", (unsigned long long)seed);
	size_t n = draw(&seed) % SCRIPT_MAX;
	for (size_t i = 0; i < n; i++)
		script[i] = (uint8_t)draw(&seed);
	struct model *m = model_new(l, note);
	model_play(m, script, n);
	model_read_all(m);
	model_free(m);
}

static void random_scripts_do_as_the_model(void **state)
{
	struct err err;
	struct loop *l = loop_new(&err);

	(void)state;
	assert_non_null(l);
	for (uint64_t i = 0; i < ROUNDS; i++)
		random_script(l, FIRST_SEED + i);
	loop_free(l);
}

static void random_call(struct model *m, uint64_t *seed)
{
	struct model_call call = calls[draw(seed) % N_CALLS];

	if (call.kind == MODEL_TAKE || call.kind == MODEL_READ)
		call.n_bytes = 1 + draw(seed) % (3 * LONG_FRAME);
	call.is_expiring = draw(seed) & 1;
	call.hold = draw(seed) & 1;
	model_start(m, &call);
}

static void random_frame(struct model *m, uint64_t *seed)
{
	uint8_t bytes[LONG_FRAME];
	size_t n = draw(seed) % (draw(seed) % 3 ? 20 : LONG_FRAME);

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)text[draw(seed) % TEXT_LEN];
	model_deliver(m, bytes, n, draw(seed) % 4 == 0);
}

static void random_long_stream(struct loop *l, uint64_t seed)
{
	char note[64];

	snprintf(note, sizeof(note), "seed %#llx", (unsigned long long)seed);
	struct model *m = model_new(l, note);
	for (int i = 0; i < LONG_ACTIONS; i++) {
		switch (draw(&seed) % 6) {
		case 0:
		case 1:
			random_call(m, &seed);
			break;
		case 2:
			model_turn(m);
			break;
		case 3:
			if (draw(&seed) % 4)
				model_accept(m);
			else
				model_give_up(m);
			break;
		default:
			random_frame(m, &seed);
		}
	}
	model_read_all(m);
	model_free(m);
}

static void random_long_streams_do_as_the_model(void **state)
{
	struct err err;
	struct loop *l = loop_new(&err);

	(void)state;
	assert_non_null(l);
	for (uint64_t i = 0; i < ROUNDS; i++)
		random_long_stream(l, FIRST_SEED + i);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_call_at_every_cut_does_as_the_model),
	    cmocka_unit_test(random_scripts_do_as_the_model),
	    cmocka_unit_test(random_long_streams_do_as_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
