/* SPDX-License-Identifier: MIT */
#include "tests/unit/agent-proto/lib_end.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"

static void note(struct end *e, struct chan *ch, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void note(struct end *e, struct chan *ch, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	char *text = mem_vprintf(fmt, ap);
	va_end(ap);
	buf_printf(&e->log, "%s%s", e->log.len ? "; " : "", text);
	if (e->hook)
		e->hook(e, text, ch);
	free(text);
}

static char *payload_text(const uint8_t *p, size_t n)
{
	if (n > 16)
		return mem_printf("#%zu", n);
	return mem_strndup((const char *)p, n);
}

static void on_established(void *ctx, const struct hello *peer)
{
	struct end *e = ctx;

	e->n_established++;
	note(e, NULL, "established %llu", (unsigned long long)peer->instance);
}

static void on_opened(void *ctx, struct chan *ch)
{
	struct end *e = ctx;

	e->n_opened++;
	e->chans[chan_id(ch) % END_CHANS] = ch;
	note(e, ch, "opened %u", (unsigned)chan_id(ch));
}

static void on_message(void *ctx, struct chan *ch, const uint8_t *p, size_t n)
{
	char *text = payload_text(p, n);

	note(ctx, ch, "msg %u %s", (unsigned)chan_id(ch), text);
	free(text);
}

static void on_data(void *ctx, struct chan *ch, const uint8_t *p, size_t n,
		    bool more)
{
	struct end *e = ctx;
	char *text = payload_text(p, n);

	e->n_data += n;
	if (!e->holds)
		chan_consumed(ch, n);
	note(e, ch, "data %u %s%s", (unsigned)chan_id(ch), text,
	     more ? "+" : "");
	free(text);
}

static void on_writable(void *ctx, struct chan *ch)
{
	note(ctx, ch, "writable %u", (unsigned)chan_id(ch));
}

static void on_finished(void *ctx, struct chan *ch)
{
	note(ctx, ch, "fin %u", (unsigned)chan_id(ch));
}

static void on_closed(void *ctx, struct chan *ch, int reason)
{
	struct end *e = ctx;

	e->n_closed++;
	if (e->chans[chan_id(ch) % END_CHANS] == ch)
		e->chans[chan_id(ch) % END_CHANS] = NULL;
	note(e, NULL, "closed %u %d", (unsigned)chan_id(ch), reason);
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

void end_init(struct end *e, enum session_role role, uint64_t instance)
{
	*e = (struct end){.role = role, .instance = instance};
	e->s = session_new(role, instance, &ops, e);
}

void end_done(struct end *e)
{
	e->s = session_free(e->s);
	buf_done(&e->log);
}

void end_restart(struct end *e)
{
	end_done(e);
	end_init(e, e->role, e->instance);
}

int end_feed(struct end *e, const void *p, size_t n, size_t split,
	     struct err *err)
{
	const uint8_t *at = p;
	size_t room, done = 0;
	int first = 0;

	do {
		uint8_t *to = session_input_room(e->s, &room);
		if (split && room > split)
			room = split;
		if (room > n - done)
			room = n - done;
		if (room)
			memcpy(to, at + done, room);
		int ret = session_input(e->s, room, first ? NULL : err);
		first = first ? first : ret;
		done += room;
	} while (done < n);
	return first;
}

int end_feed_frame(struct end *e, enum frame_kind kind, uint32_t id,
		   unsigned flags, const void *p, size_t n)
{
	struct frame f = {
	    .kind = kind,
	    .channel = id,
	    .length = (uint32_t)n,
	    .flags = flags,
	};
	struct buf b = {0};
	int ret;

	frame_encode(&f, buf_room(&b, FRAME_HEADER));
	buf_commit(&b, FRAME_HEADER);
	buf_append(&b, p, n);
	ret = end_feed(e, buf_data(&b), b.len, 0, NULL);
	buf_done(&b);
	return ret;
}

int end_feed_hello(struct end *e, uint32_t version, uint64_t nonce,
		   uint32_t window)
{
	struct hello h = {.version = version, .nonce = nonce, .window = window};
	uint8_t b[HELLO_SIZE];

	hello_encode(&h, b);
	return end_feed(e, b, sizeof(b), 0, NULL);
}

void end_take(struct end *e, struct buf *out)
{
	session_output(e->s, out, SIZE_MAX);
	assert_false(session_has_output(e->s));
}

void end_pump(struct end *a, struct end *b)
{
	struct buf out = {0};
	struct err err;

	while (session_has_output(a->s) || session_has_output(b->s)) {
		if (session_output(a->s, &out, FRAME_PAYLOAD_MAX) &&
		    end_feed(b, buf_data(&out), out.len, 0, &err))
			fail_msg("%s", err.text);
		buf_reset(&out);
		if (session_output(b->s, &out, FRAME_PAYLOAD_MAX) &&
		    end_feed(a, buf_data(&out), out.len, 0, &err))
			fail_msg("%s", err.text);
		buf_reset(&out);
	}
	end_feed(a, NULL, 0, 0, NULL);
	end_feed(b, NULL, 0, 0, NULL);
	buf_done(&out);
}

void end_connect(struct end *host, struct end *agent)
{
	end_init(host, SESSION_HOST, 0);
	end_init(agent, SESSION_AGENT, 77);
	session_hello(host->s, 1);
	end_pump(host, agent);
	end_expect(host, "established 77");
	end_expect(agent, "established 0");
}

void end_expect(struct end *e, const char *want)
{
	buf_append(&e->log, "", 1);
	assert_string_equal((const char *)buf_data(&e->log), want);
	buf_reset(&e->log);
}

static void describe_frame(const struct frame *f, struct buf *text)
{
	static const char *const kinds[] = {
	    [FRAME_MSG] = "MSG",
	    [FRAME_DATA] = "DATA",
	    [FRAME_CREDIT] = "CREDIT",
	    [FRAME_RESET] = "RESET",
	};

	buf_printf(text, "%s%s %u%s%s%s", text->len ? "; " : "", kinds[f->kind],
		   (unsigned)f->channel, f->flags & FRAME_OPEN ? " open" : "",
		   f->flags & FRAME_MORE ? " more" : "",
		   f->flags & FRAME_FIN ? " fin" : "");
	if (f->kind == FRAME_MSG || f->kind == FRAME_DATA)
		buf_printf(text, " #%u", (unsigned)f->length);
}

static void describe(const uint8_t *p, size_t n, struct buf *text)
{
	struct frame f;

	while (n) {
		size_t k = HELLO_SIZE;
		if (n >= k && !memcmp(p, hello_marker, HELLO_MARKER)) {
			buf_printf(text, "%sHELLO", text->len ? "; " : "");
		} else {
			assert_true(n >= FRAME_HEADER);
			assert_int_equal(frame_decode(&f, p), 0);
			describe_frame(&f, text);
			k = FRAME_HEADER + f.length;
			assert_true(n >= k);
		}
		p += k;
		n -= k;
	}
	buf_append(text, "", 1);
}

void end_expect_output(struct end *e, const char *want)
{
	struct buf out = {0}, text = {0};

	end_take(e, &out);
	describe(buf_data(&out), out.len, &text);
	assert_string_equal((const char *)buf_data(&text), want);
	buf_done(&out);
	buf_done(&text);
}

struct chan *end_open(struct end *host, const char *text, bool fin)
{
	struct chan *ch = chan_open(host->s, text, strlen(text), fin, NULL);

	if (ch)
		host->chans[chan_id(ch) % END_CHANS] = ch;
	return ch;
}

void end_send(struct chan *ch, const char *text, bool fin)
{
	chan_send(ch, text, strlen(text), fin);
}
