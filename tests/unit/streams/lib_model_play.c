/* SPDX-License-Identifier: MIT */
/* Bytes as actions: few letters and short patterns, so that they match. */
#include <stdlib.h>

#include "agent-proto/mem.h"
#include "tests/unit/streams/lib_model.h"

#define PATTERNS_MAX  9
#define PATTERN_LEN   8
#define FRAME_MAX     48
#define DELIVERED_MAX 4096

struct player {
	struct model *m;
	const uint8_t *in;
	size_t left;
	uint8_t text[PATTERNS_MAX][PATTERN_LEN];
	struct stream_pattern patterns[PATTERNS_MAX];
};

static unsigned take(struct player *p)
{
	if (!p->left)
		return 0;
	p->left--;
	return *p->in++;
}

/* NUL is one of the letters. */
static uint8_t take_letter(struct player *p)
{
	static const uint8_t letters[] = {'a', 'b', 0};

	return letters[take(p) % sizeof(letters)];
}

static void deliver(struct player *p, bool more)
{
	uint8_t bytes[FRAME_MAX];
	size_t n = take(p) % sizeof(bytes);

	if (model_delivered(p->m) + n > DELIVERED_MAX)
		return;
	for (size_t i = 0; i < n; i++)
		bytes[i] = take_letter(p);
	model_deliver(p->m, bytes, n, more);
}

static void take_patterns(struct player *p, struct model_call *call)
{
	call->patterns = p->patterns;
	call->n_patterns = 1 + take(p) % PATTERNS_MAX;
	for (size_t i = 0; i < call->n_patterns; i++) {
		size_t n = 1 + take(p) % PATTERN_LEN;

		for (size_t k = 0; k < n; k++)
			p->text[i][k] = take_letter(p);
		p->patterns[i] = (struct stream_pattern){p->text[i], n};
	}
}

static void start(struct player *p, enum model_kind kind, unsigned flags)
{
	struct model_call call = {
	    .kind = kind,
	    .hold = flags & 64,
	    .is_expiring = flags & 16,
	};

	/* Patterns in use are not to be changed. */
	if (model_is_busy(p->m))
		call.kind = MODEL_NEXT;
	else if (kind == MODEL_EXPECT || kind == MODEL_READ_UNTIL)
		take_patterns(p, &call);
	else if (kind == MODEL_NEXT)
		call.skip = flags & 128 ? take(p) % 4 : 0;
	else if (kind == MODEL_TAKE)
		call.n_bytes = take(p) % 64;
	else if (kind == MODEL_READ)
		call.n_bytes = 1 + take(p) % 32;
	model_start(p->m, &call);
	if (flags & 32)
		model_turn(p->m);
}

static void rest(struct player *p, unsigned what)
{
	switch (what / 16) {
	case 0:
	case 1:
	case 2:
	case 3:
		model_turn(p->m);
		break;
	case 4:
		model_cancel(p->m);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
	case 9:
		model_accept(p->m);
		break;
	case 10:
	case 11:
		model_give_up(p->m);
		break;
	case 14:
		model_end(p->m, what & 1);
		break;
	case 15:
		model_close(p->m);
		break;
	default:
		break;
	}
}

void model_play(struct model *m, const uint8_t *script, size_t n)
{
	struct player p = {.m = m, .in = script, .left = n};

	while (p.left) {
		unsigned what = take(&p);

		if (what % 16 < 5)
			deliver(&p, what & 16);
		else if (what % 16 < 5 + MODEL_KINDS)
			start(&p, what % 16 - 5, what);
		else
			rest(&p, what);
	}
	/* They borrow from here. */
	model_accept(m);
	model_cancel(m);
}
