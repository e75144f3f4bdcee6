/* SPDX-License-Identifier: MIT */
/*
 * Both ends of a session, driven by random calls over two pipes that deliver
 * random amounts at random times, against a model that knows what was sent:
 * every byte arrives once and in order, also beside channels whose reader has
 * stopped, resets, and new sessions that cut the stream anywhere.
 *
 * Each round prints its seed. PROVIUM_SEED and PROVIUM_ROUNDS choose others.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/le.h"
#include "agent-proto/mem.h"
#include "agent-proto/session.h"
#include "agent-proto/session_impl.h"
#include "tests/unit/agent-proto/lib_flow.h"
#include "tests/unit/agent-proto/lib_rnd.h"

#define ROUNDS	    30
#define STEPS	    1500
#define CHANS_MAX   400 /* opened in a round */
#define LIVE_MAX    16
#define KEY	    8
#define MSG_SIZE    200000
#define WRITE_SIZE  400000
#define OUTPUT_SIZE 150000

/* A channel: [role] is what that end has of it. */
struct pipe_chan {
	unsigned epoch;
	struct chan *end[2];
	struct flow from[2];
	size_t held[2];	 /* received, not consumed */
	bool stopped[2]; /* this reader does not consume */
	bool starved[2]; /* this writer waits for room */
	bool given_up;	 /* one end has reset it */
	bool spoilt;	 /* torn off; what came last was not compared */
};

struct model {
	struct rnd r;
	struct side {
		struct model *m;
		enum session_role role;
		struct session *s;
		struct buf in; /* on its way to this end */
	} side[2];
	struct pipe_chan *chans[CHANS_MAX];
	size_t n_chans;
	unsigned epoch; /* sessions begun by the host */
	bool torn;	/* the agent has not had the last HELLO yet */
	bool calm;	/* nothing new is begun by callbacks */
	uint64_t bytes;
};

/* --- what the model knows -------------------------------------------------*/

static struct pipe_chan *chan_model(struct chan *ch)
{
	return chan_ctx(ch);
}

static bool is_current(const struct model *m, const struct pipe_chan *pc)
{
	return pc->epoch == m->epoch && !(pc->spoilt || pc->given_up);
}

/* Whether what is wrong in p is the begin of a marker at its end: a frame was
 * cut off and completed by the HELLO behind it, before that was all there. */
static bool is_torn(const struct model *m, const struct side *to,
		    const uint8_t *p, size_t n, const struct record *rec)
{
	size_t from = n > HELLO_MARKER - 1 ? n - (HELLO_MARKER - 1) : 0;

	if (to->role != SESSION_AGENT || !m->torn)
		return false;
	for (; from < n; from++) {
		if (!memcmp(p + from, hello_marker, n - from) &&
		    (!rec || !memcmp(p, rec->bytes + rec->got, from)))
			return true;
	}
	return false;
}

/* The next n bytes of a flow, compared with what is due. */
static void arrive(struct side *to, struct pipe_chan *pc, enum frame_kind kind,
		   const uint8_t *p, size_t n, bool more)
{
	struct flow *f = &pc->from[!to->role];
	struct record *rec = STAILQ_FIRST(&f->due);

	assert_false(f->fin_got);
	assert_false(pc->spoilt);
	assert_non_null(rec);
	assert_int_equal(rec->kind, kind);
	assert_true(n <= rec->len - rec->got);
	assert_int_equal(more, rec->got + n < rec->len);
	if (memcmp(p, rec->bytes + rec->got, n) != 0) {
		assert_true(is_torn(to->m, to, p, n, rec));
		pc->spoilt = true;
	}
	rec->got += n;
	to->m->bytes += n;
	if (rec->got == rec->len)
		flow_drop(f);
}

/* --- calls ----------------------------------------------------------------*/

static void do_reset(struct pipe_chan *pc, int role)
{
	struct chan *ch = pc->end[role];

	pc->end[role] = NULL;
	pc->given_up = true;
	chan_reset(ch);
}

static void do_open(struct model *m)
{
	struct pipe_chan *pc = mem_zalloc(sizeof(*pc));
	size_t n = KEY + rnd_size(&m->r, MSG_SIZE);

	pc->epoch = m->epoch;
	for (int i = 0; i < 2; i++) {
		flow_init(&pc->from[i]);
		pc->stopped[i] = rnd_once_in(&m->r, 5);
	}
	struct flow *f = &pc->from[SESSION_HOST];
	struct record *rec = flow_expect(f, FRAME_MSG, n);
	le_put64(rec->bytes, m->n_chans);
	rnd_fill_any(&m->r, rec->bytes + KEY, n - KEY);
	f->fin_sent = rnd_once_in(&m->r, 5);
	m->chans[m->n_chans++] = pc;
	pc->end[SESSION_HOST] =
	    chan_open(m->side[SESSION_HOST].s, rec->bytes, n, f->fin_sent, pc);
	assert_non_null(pc->end[SESSION_HOST]);
}

static void do_send(struct model *m, struct pipe_chan *pc, int role)
{
	struct flow *f = &pc->from[role];

	if (f->fin_sent)
		return;
	struct record *rec =
	    flow_expect(f, FRAME_MSG, 1 + rnd_size(&m->r, MSG_SIZE));
	rnd_fill_any(&m->r, rec->bytes, rec->len);
	f->fin_sent = rnd_once_in(&m->r, 12);
	chan_send(pc->end[role], rec->bytes, rec->len, f->fin_sent);
}

static void do_write(struct model *m, struct pipe_chan *pc, int role)
{
	struct flow *f = &pc->from[role];
	size_t room = chan_room(pc->end[role]);
	size_t n = rnd_size(&m->r, WRITE_SIZE);
	bool fin = rnd_once_in(&m->r, 12);

	if (f->fin_sent)
		return;
	uint8_t *p = mem_alloc(n);
	rnd_fill_any(&m->r, p, n);
	size_t took = chan_write(pc->end[role], p, n, fin);
	assert_int_equal(took, n < room ? n : room);
	if (took)
		memcpy(flow_expect(f, FRAME_DATA, took)->bytes, p, took);
	if (took < n)
		pc->starved[role] = true;
	else
		f->fin_sent = fin;
	free(p);
}

static void do_consume(struct model *m, struct pipe_chan *pc, int role)
{
	size_t n = rnd_below(&m->r, pc->held[role] + 1);

	if (pc->stopped[role])
		return;
	pc->held[role] -= n;
	chan_consumed(pc->end[role], n);
}

/* Gives the bytes of the front of the pipe to that end, read by read. */
static void deliver(struct side *to, size_t n)
{
	struct model *m = to->m;
	struct err err;
	size_t room;

	while (n) {
		uint8_t *p = session_input_room(to->s, &room);
		size_t k = rnd_once_in(&m->r, 3) ? rnd_below(&m->r, 40) : room;
		k = k < n ? k : n;
		k = k < room ? k : room;
		if (k)
			memcpy(p, buf_data(&to->in), k);
		buf_consume(&to->in, k);
		n -= k;
		int ret = session_input(to->s, k, &err);
		/* Only what a torn frame seems to say may offend. */
		if (ret && !(to->role == SESSION_AGENT && m->torn))
			fail_msg("%s", err.text);
	}
}

static void do_output(struct side *from, size_t limit)
{
	struct side *to = &from->m->side[!from->role];
	struct buf out = {0};

	session_output(from->s, &out, limit);
	buf_append(&to->in, buf_data(&out), out.len);
	buf_done(&out);
}

/* A new session, after the bytes on the way were lost from some byte on; at
 * times the agent was started anew, too. */
static const struct session_ops ops;
static void do_hello(struct model *m)
{
	struct side *agent = &m->side[SESSION_AGENT];

	for (int i = 0; i < 2; i++) {
		struct buf *in = &m->side[i].in;
		if (rnd_once_in(&m->r, 2))
			in->len = rnd_below(&m->r, in->len + 1);
	}
	m->torn = true;
	m->epoch++;
	if (rnd_once_in(&m->r, 4)) {
		session_free(agent->s);
		agent->s = session_new(SESSION_AGENT, m->epoch, &ops, agent);
		for (size_t i = 0; i < m->n_chans; i++)
			m->chans[i]->end[SESSION_AGENT] = NULL;
	}
	session_hello(m->side[SESSION_HOST].s, m->epoch);
}

/* --- callbacks ------------------------------------------------------------*/

static void on_established(void *ctx, const struct hello *peer)
{
	struct side *to = ctx;
	struct model *m = to->m;

	/* The agent may find a HELLO that the next one has cut off. */
	if (to->role == SESSION_HOST || peer->nonce == m->epoch)
		m->torn = false;
	for (size_t i = 0; i < m->n_chans; i++) {
		struct pipe_chan *pc = m->chans[i];
		if (to->role == SESSION_AGENT || pc->epoch != m->epoch)
			assert_null(pc->end[to->role]);
	}
}

static void on_opened(void *ctx, struct chan *ch)
{
	struct side *to = ctx;

	assert_int_equal(to->role, SESSION_AGENT);
	assert_null(chan_model(ch));
}

/* The first message at the agent names the channel. */
static struct pipe_chan *introduce(struct side *to, struct chan *ch,
				   const uint8_t *p, size_t n)
{
	struct model *m = to->m;
	uint64_t key = n < KEY ? UINT64_MAX : le_get64(p);

	if (key >= m->n_chans) {
		assert_true(is_torn(m, to, p, n, NULL));
		return NULL;
	}
	struct pipe_chan *pc = m->chans[key];
	if (!m->torn)
		assert_int_equal(pc->epoch, m->epoch);
	assert_null(pc->end[SESSION_AGENT]);
	pc->end[SESSION_AGENT] = ch;
	chan_set_ctx(ch, pc);
	return pc;
}

static void on_message(void *ctx, struct chan *ch, const uint8_t *p, size_t n)
{
	struct side *to = ctx;
	struct model *m = to->m;
	struct pipe_chan *pc = chan_model(ch);

	if (!pc)
		pc = introduce(to, ch, p, n);
	if (!pc)
		return;
	assert_ptr_equal(pc->end[to->role], ch);
	arrive(to, pc, FRAME_MSG, p, n, false);
	if (m->calm)
		return;
	if (rnd_once_in(&m->r, 3))
		do_send(m, pc, to->role);
	if (rnd_once_in(&m->r, 40))
		do_reset(pc, to->role);
}

static void on_data(void *ctx, struct chan *ch, const uint8_t *p, size_t n,
		    bool more)
{
	struct side *to = ctx;
	struct model *m = to->m;
	struct pipe_chan *pc = chan_model(ch);

	assert_ptr_equal(pc->end[to->role], ch);
	arrive(to, pc, FRAME_DATA, p, n, more);
	pc->held[to->role] += n;
	assert_true(pc->held[to->role] <= CHAN_WINDOW);
	if (m->calm)
		return;
	if (rnd_once_in(&m->r, 2))
		do_consume(m, pc, to->role);
	if (rnd_once_in(&m->r, 100))
		do_reset(pc, to->role);
}

static void on_writable(void *ctx, struct chan *ch)
{
	struct side *at = ctx;
	struct pipe_chan *pc = chan_model(ch);

	assert_ptr_equal(pc->end[at->role], ch);
	assert_true(pc->starved[at->role]);
	assert_true(chan_room(ch) > 0);
	pc->starved[at->role] = false;
	if (!at->m->calm && rnd_once_in(&at->m->r, 2))
		do_write(at->m, pc, at->role);
}

static void on_finished(void *ctx, struct chan *ch)
{
	struct side *to = ctx;
	struct pipe_chan *pc = chan_model(ch);

	if (!pc)
		return;
	struct flow *f = &pc->from[!to->role];
	assert_true(f->fin_sent && !f->fin_got);
	assert_true(STAILQ_EMPTY(&f->due));
	f->fin_got = true;
}

static void on_closed(void *ctx, struct chan *ch, int reason)
{
	struct side *to = ctx;
	struct model *m = to->m;
	struct pipe_chan *pc = chan_model(ch);

	if (!pc) {
		assert_int_equal(reason, -ECONNRESET);
		return;
	}
	assert_ptr_equal(pc->end[to->role], ch);
	pc->end[to->role] = NULL;
	if (reason == 0)
		assert_true(pc->from[!to->role].fin_got &&
			    pc->from[to->role].fin_sent);
	else if (reason == -ECANCELED)
		assert_true(pc->given_up);
	else
		assert_true(reason == -ECONNRESET &&
			    (pc->epoch != m->epoch || m->torn));
}

static const struct session_ops ops = {
    .established = on_established,
    .opened = on_opened,
    .message = on_message,
    .data = on_data,
    .writable = on_writable,
    .finished = on_finished,
    .closed = on_closed,
};

/* --- a round --------------------------------------------------------------*/

/* Any channel that this end has; NULL when it has none. */
static struct pipe_chan *pick(struct model *m, int role, size_t *ret_live)
{
	struct pipe_chan *found = NULL;

	*ret_live = 0;
	for (size_t i = 0; i < m->n_chans; i++) {
		struct pipe_chan *pc = m->chans[i];
		/* A dead one of the host is of no use but to be told. */
		if (!pc->end[role] ||
		    (role == SESSION_HOST && pc->epoch != m->epoch))
			continue;
		if (rnd_once_in(&m->r, ++*ret_live))
			found = pc;
	}
	return found;
}

static void step(struct model *m)
{
	int role = (int)rnd_below(&m->r, 2);
	struct side *side = &m->side[role];
	size_t live;
	struct pipe_chan *pc = pick(m, role, &live);
	size_t what = rnd_below(&m->r, 400);

	if (what < 1 && m->epoch < 20) {
		do_hello(m);
	} else if (what < 60) {
		if (live < LIVE_MAX && m->n_chans < CHANS_MAX &&
		    session_is_established(m->side[SESSION_HOST].s))
			do_open(m);
	} else if (what < 180) {
		do_output(side, rnd_size(&m->r, OUTPUT_SIZE) + 1);
	} else if (what < 280) {
		deliver(side, rnd_below(&m->r, side->in.len + 1));
	} else if (pc && what < 310) {
		do_send(m, pc, role);
	} else if (pc && what < 350) {
		do_write(m, pc, role);
	} else if (pc && what < 397) {
		do_consume(m, pc, role);
	} else if (pc) {
		do_reset(pc, role);
	}
}

/* Everything that was begun goes on until nothing moves. */
static void settle(struct model *m)
{
	bool moved;

	do {
		moved = false;
		for (int role = 0; role < 2; role++) {
			struct side *side = &m->side[role];
			moved |= side->in.len > 0;
			deliver(side, side->in.len);
			session_input_room(side->s, &(size_t){0});
			session_input(side->s, 0, NULL);
			for (size_t i = 0; i < m->n_chans; i++) {
				struct pipe_chan *pc = m->chans[i];
				if (!pc->end[role] || pc->stopped[role])
					continue;
				chan_consumed(pc->end[role], pc->held[role]);
				pc->held[role] = 0;
			}
			moved |= session_has_output(side->s);
			do_output(side, SIZE_MAX);
		}
	} while (moved);
}

/* All is there of what this session sent, but to readers that stopped. */
static void expect_delivered(const struct model *m, bool also_to_stopped)
{
	for (size_t i = 0; i < m->n_chans; i++) {
		const struct pipe_chan *pc = m->chans[i];
		if (!is_current(m, pc))
			continue;
		for (int from = 0; from < 2; from++) {
			const struct flow *f = &pc->from[from];
			if (pc->stopped[!from] && !also_to_stopped)
				continue;
			assert_true(STAILQ_EMPTY(&f->due));
			assert_int_equal(f->fin_got, f->fin_sent);
			assert_true(!pc->starved[from] || f->fin_sent ||
				    !pc->end[from]);
		}
	}
}

/* Each end says fin where it has not, after looking at its credit. */
static void finish_all(struct model *m)
{
	for (size_t i = 0; i < m->n_chans; i++) {
		struct pipe_chan *pc = m->chans[i];
		for (int role = 0; role < 2; role++) {
			struct flow *f = &pc->from[role];
			struct chan *ch = pc->end[role];
			if (!ch || f->fin_sent)
				continue;
			assert_in_range(chan_room(ch),
					CHAN_WINDOW - CREDIT_MIN + 1,
					CHAN_WINDOW);
			f->fin_sent = true;
			chan_write(ch, NULL, 0, true);
		}
	}
}

static void finish_round(struct model *m)
{
	m->calm = true;
	settle(m);
	for (int i = 0; i < 2; i++)
		assert_true(session_is_established(m->side[i].s));
	assert_false(m->torn);
	expect_delivered(m, false);
	for (size_t i = 0; i < m->n_chans; i++)
		memset(m->chans[i]->stopped, 0, sizeof(m->chans[i]->stopped));
	settle(m);
	expect_delivered(m, true);
	finish_all(m);
	settle(m);
	for (size_t i = 0; i < m->n_chans; i++) {
		assert_null(m->chans[i]->end[0]);
		assert_null(m->chans[i]->end[1]);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(m->side[i].s->n_chans, 0);
		assert_int_equal(m->side[i].s->partial, 0);
		assert_false(session_has_output(m->side[i].s));
	}
}

static void model_done(struct model *m)
{
	for (int i = 0; i < 2; i++) {
		session_free(m->side[i].s);
		buf_done(&m->side[i].in);
	}
	for (size_t i = 0; i < m->n_chans; i++) {
		for (int from = 0; from < 2; from++) {
			flow_done(&m->chans[i]->from[from]);
		}
		free(m->chans[i]);
	}
}

static void run_round(uint64_t seed)
{
	struct model *m = mem_zalloc(sizeof(*m));

	print_message("PROVIUM_SEED=%llu\n", (unsigned long long)seed);
	rnd_init(&m->r, seed);
	for (int i = 0; i < 2; i++) {
		struct side *side = &m->side[i];
		*side = (struct side){.m = m, .role = (enum session_role)i};
		side->s = session_new(side->role, (unsigned)i, &ops, side);
	}
	do_hello(m);
	for (int i = 0; i < STEPS; i++)
		step(m);
	finish_round(m);
	assert_true(m->bytes > 0);
	model_done(m);
	free(m);
}

static void every_byte_arrives_once_and_in_order(void **state)
{
	uint64_t seed = env_number("PROVIUM_SEED", 1);
	uint64_t rounds = env_number("PROVIUM_ROUNDS", ROUNDS);

	(void)state;
	for (uint64_t i = 0; i < rounds; i++)
		run_round(seed + i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_byte_arrives_once_and_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
