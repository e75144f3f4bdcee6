/* SPDX-License-Identifier: MIT */
#include "tests/unit/streams/lib_source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"

static void on_consumed(void *ctx, size_t n)
{
	struct source *src = ctx;

	assert_true(n > 0);
	assert_int_equal(src->closed, 0);
	src->consumed += n;
	/* Twice for one byte would show here, sooner or later. */
	assert_true(src->consumed <= src->delivered);
}

static void on_close(void *ctx)
{
	struct source *src = ctx;

	src->closed++;
}

static const struct stream_source source_ops = {
    .consumed = on_consumed,
    .close = on_close,
};

void source_open(struct source *src, struct loop *l, enum stream_type type,
		 struct stream_list *list)
{
	const struct stream_label label = {.kind = "tail_file",
					   .detail = "/var/log/x",
					   .file = "a.test.lua",
					   .line = 7,
					   .test = "t"};

	*src = (struct source){.loop = l, .window = 256 << 10};
	src->stream = stream_new(l, type, &label, list, &source_ops, src);
}

void source_done(struct source *src)
{
	stream_free(src->stream);
	assert_int_equal(src->closed, 1);
}

void source_put_bytes(struct source *src, const void *p, size_t n, bool more)
{
	src->delivered += n;
	stream_deliver(src->stream, p, n, more);
}

void source_put(struct source *src, const char *text)
{
	source_put_bytes(src, text, strlen(text), false);
}

size_t source_put_windowed(struct source *src, const uint8_t *p, size_t n)
{
	uint64_t room = src->window - (src->delivered - src->consumed);

	if (n > room)
		n = (size_t)room;
	if (n)
		source_put_bytes(src, p, n, false);
	return n;
}

void fixture_open(struct fixture *f, enum stream_type type)
{
	struct err err;

	f->loop = loop_new(&err);
	assert_non_null(f->loop);
	source_open(&f->src, f->loop, type, NULL);
	stream_wait_init(&f->w, f->src.stream);
}

int fixture_setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	fixture_open(f, STREAM_TAIL);
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	stream_wait_done(&f->w);
	source_done(&f->src);
	loop_free(f->loop);
	free(f);
	return 0;
}

struct stream_pattern pat(const char *s)
{
	return (struct stream_pattern){(const uint8_t *)s, strlen(s)};
}

void check_bytes(const struct buf *b, const char *want)
{
	assert_int_equal(b->len, strlen(want));
	if (b->len)
		assert_memory_equal(buf_data(b), want, b->len);
}

void check_next(struct fixture *f, const char *want)
{
	stream_next(&f->w, 0);
	assert_int_equal(op_wait(&f->w.op), want != NULL);
	check_bytes(&f->w.bytes, want ? want : "");
}

void check_drain(struct fixture *f, const char *const *want, size_t n)
{
	stream_drain(&f->w, 0);
	assert_int_equal(op_wait(&f->w.op), n);
	assert_int_equal(f->w.n_frames, n);
	for (size_t i = 0; i < n; i++)
		check_bytes(&f->w.frames[i], want[i]);
}

/* Searches in what is pending. pat must live until the op is over. */
int match_now(struct fixture *f, const struct stream_pattern *p, bool keep)
{
	stream_match(&f->w, keep ? "read_until" : "expect", p, 1, keep, 0);
	return op_wait(&f->w.op);
}

void check_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("`%s` does not contain `%s`", text, part);
}
