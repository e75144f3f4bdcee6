/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/io/spool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/server.h"

#define CHUNK_MIN 4096u
#define CHUNK_MAX 65536u
#define READS_MAX 8 /* of one pipe, before other fds are served */

struct spool_chunk {
	STAILQ_ENTRY(spool_chunk) link;
	uint32_t len;
	uint32_t cap;
	uint8_t header[FRAME_HEADER]; /* task_write_in_place() of bytes */
	uint8_t bytes[];
};

struct spool_reader {
	struct task t;
	TAILQ_ENTRY(spool_reader) link;
	struct spool *sp;
	uint64_t pos;
	bool until_exit;
	void (*on_gone)(void *ctx);
	void *ctx;
};

static void spool_update(struct spool *sp);

void spool_budget_init(struct spool_budget *b, bool is_worker)
{
	unsigned share = is_worker ? SPOOL_WORKER_SHARE : SPOOL_SHARE;
	struct sysinfo si;

	TAILQ_INIT(&b->full);
	TAILQ_INIT(&b->all);
	b->used = 0;
	b->max = SPOOL_TOTAL_MIN;
	if (sysinfo(&si) == 0)
		b->max = (uint64_t)si.totalram * si.mem_unit / share;
	if (b->max < SPOOL_TOTAL_MIN)
		b->max = SPOOL_TOTAL_MIN;
	if (b->max > SPOOL_TOTAL_MAX)
		b->max = SPOOL_TOTAL_MAX;
}

/* --- what is kept --------------------------------------------------------- */

static struct spool_chunk *chunk_add(struct spool *sp)
{
	/* Doubles: short outputs stay small, long ones cost few chunks. */
	uint64_t cap = sp->held < CHUNK_MIN ? CHUNK_MIN : sp->held;
	struct spool_chunk *c;

	if (cap > CHUNK_MAX)
		cap = CHUNK_MAX;
	c = mem_alloc(sizeof(*c) + cap);
	c->len = 0;
	c->cap = (uint32_t)cap;
	STAILQ_INSERT_TAIL(&sp->chunks, c, link);
	sp->last = c;
	sp->held += cap;
	sp->budget->used += cap;
	return c;
}

static void chunk_drop_first(struct spool *sp)
{
	struct spool_chunk *c = STAILQ_FIRST(&sp->chunks);

	STAILQ_REMOVE_HEAD(&sp->chunks, link);
	if (STAILQ_EMPTY(&sp->chunks))
		sp->last = NULL;
	sp->base += c->len;
	sp->held -= c->cap;
	sp->budget->used -= c->cap;
	free(c);
}

static void chunks_drop_all(struct spool *sp)
{
	while (!STAILQ_EMPTY(&sp->chunks))
		chunk_drop_first(sp);
}

/* What a process left in the pipe, which holds no more than a pipe does, is
 * taken whatever there is: who waits for its end must not wait for a reader
 * that has stopped. */
static bool has_room(const struct spool *sp)
{
	const struct spool_budget *b = sp->budget;

	return sp->held < SPOOL_MIN ||
	       (sp->exited && sp->end < sp->exit_mark) ||
	       (sp->held < SPOOL_MAX && b->used < b->max);
}

/* A reader was announced, or may still be on its way. */
static bool is_awaited(const struct spool *sp)
{
	return sp->awaits_reader ||
	       (sp->grace_end_ns && clock_now_ns() < sp->grace_end_ns);
}

/* The first offset that some reader still needs. */
static uint64_t needed_from(const struct spool *sp)
{
	const struct spool_reader *rd;
	uint64_t from = is_awaited(sp) ? sp->base : sp->end;

	TAILQ_FOREACH (rd, &sp->readers, link)
		if (rd->pos < from)
			from = rd->pos;
	return from;
}

/* Output that nobody can ask for. */
static bool is_moot(const struct spool *sp)
{
	return TAILQ_EMPTY(&sp->readers) && sp->abandoned;
}

/* Whether nobody reads it and nobody is awaited: its oldest bytes may then be
 * dropped. */
static bool is_unread(const struct spool *sp)
{
	return TAILQ_EMPTY(&sp->readers) && !is_awaited(sp);
}

static uint64_t kept_bytes(const struct spool *sp)
{
	return sp->end - sp->base;
}

static struct spool *longest_unread(const struct spool_budget *b)
{
	struct spool *sp, *longest = NULL;

	TAILQ_FOREACH (sp, &b->all, all_link)
		if (is_unread(sp) &&
		    (!longest || kept_bytes(sp) > kept_bytes(longest)))
			longest = sp;
	return longest;
}

/* Drops the oldest chunk where at least min bytes stay. */
static bool drop_chunk_above(struct spool *sp, uint64_t min)
{
	const struct spool_chunk *c = STAILQ_FIRST(&sp->chunks);

	if (!c || c == sp->last || kept_bytes(sp) - c->len < min)
		return false;
	chunk_drop_first(sp);
	return true;
}

/* Outputs that nobody reads make room for the others, down to SPOOL_MIN. */
static void shrink_unread(struct spool_budget *b)
{
	struct spool *longest;

	while (b->used >= b->max && (longest = longest_unread(b)))
		if (!drop_chunk_above(longest, SPOOL_MIN))
			break;
}

static void spool_make_room(struct spool *sp)
{
	uint64_t from = needed_from(sp);
	struct spool_chunk *c;

	if (is_moot(sp)) {
		chunks_drop_all(sp);
		return;
	}
	if (is_unread(sp)) {
		while (drop_chunk_above(sp, SPOOL_MAX))
			;
		shrink_unread(sp->budget);
		return;
	}
	while (!has_room(sp) && (c = STAILQ_FIRST(&sp->chunks)) &&
	       sp->base + c->len <= from)
		chunk_drop_first(sp);
	if (!has_room(sp) && sp->held < SPOOL_MAX)
		shrink_unread(sp->budget);
}

static void spool_set_full(struct spool *sp, bool full)
{
	if (full == sp->is_full)
		return;
	sp->is_full = full;
	if (full) {
		TAILQ_INSERT_TAIL(&sp->budget->full, sp, full_link);
		watch_stop(sp->srv, &sp->w);
		return;
	}
	TAILQ_REMOVE(&sp->budget->full, sp, full_link);
	if (sp->fd >= 0)
		watch_start(sp->srv, &sp->w, sp->fd, EPOLLIN);
}

/* --- grace ---------------------------------------------------------------- */

static void end_grace(struct spool *sp)
{
	sp->grace_end_ns = 0;
	watch_stop(sp->srv, &sp->grace);
	fd_closep(&sp->grace_fd);
}

static void on_grace_over(struct watch *w, uint32_t events)
{
	struct spool *sp = CONTAINER_OF(w, struct spool, grace);

	(void)events;
	end_grace(sp);
	spool_update(sp);
}

/* The process is held up, but not beyond the grace: a timer ends it, and where
 * there is none it ends now. */
static void limit_grace(struct spool *sp)
{
	int64_t left = sp->grace_end_ns - clock_now_ns();
	struct itimerspec it = {
	    .it_value = {left / NS_PER_SEC, left % NS_PER_SEC}};

	if (sp->grace_fd >= 0)
		return;
	if (left > 0)
		sp->grace_fd = guest_fd_up(timerfd_create(
		    CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (sp->grace_fd < 0 ||
	    timerfd_settime(sp->grace_fd, 0, &it, NULL) < 0 ||
	    watch_start(sp->srv, &sp->grace, sp->grace_fd, EPOLLIN) < 0)
		end_grace(sp);
}

/* Space of the budget came free: those who waited for it may go on. */
static void wake_full(struct spool_budget *b)
{
	struct spool *sp = TAILQ_FIRST(&b->full);

	while (sp) {
		struct spool *next = TAILQ_NEXT(sp, full_link);
		if (has_room(sp))
			spool_set_full(sp, false);
		sp = next;
	}
}

/* After readers moved or left, or bytes came: is the pipe to be read? */
static void spool_update(struct spool *sp)
{
	uint64_t used = sp->budget->used;

	if (sp->grace_end_ns && !has_room(sp))
		limit_grace(sp);
	spool_make_room(sp);
	if (sp->fd >= 0)
		spool_set_full(sp, !is_unread(sp) && !has_room(sp));
	if (sp->budget->used < used)
		wake_full(sp->budget);
}

/* --- reading the pipe ----------------------------------------------------- */

static void wake_readers(struct spool *sp)
{
	struct spool_reader *rd;

	for (rd = TAILQ_FIRST(&sp->readers); rd; rd = TAILQ_NEXT(rd, link))
		task_wake(&rd->t);
}

static void at_eof(struct spool *sp)
{
	watch_stop(sp->srv, &sp->w);
	fd_closep(&sp->fd);
	wake_readers(sp);
	sp->on_eof(sp);
}

/* Where the next bytes go: nowhere, when nobody can ask for them. */
static uint8_t *read_room(struct spool *sp, struct spool_chunk **ret_chunk,
			  size_t *ret_n)
{
	struct spool_chunk *c = sp->last;

	*ret_chunk = NULL;
	if (is_moot(sp)) {
		*ret_n = PIECE_MAX;
		return server_scratch(sp->srv);
	}
	if (!c || c->len == c->cap)
		c = chunk_add(sp);
	*ret_chunk = c;
	*ret_n = c->cap - c->len;
	return c->bytes + c->len;
}

static void on_pipe(struct watch *w, uint32_t events)
{
	struct spool *sp = CONTAINER_OF(w, struct spool, w);

	(void)events;
	for (int i = 0; i < READS_MAX && !sp->is_full; i++) {
		struct spool_chunk *c;
		size_t room;
		uint8_t *p = read_room(sp, &c, &room);
		ssize_t n = read(sp->fd, p, room);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			at_eof(sp);
			return;
		}
		sp->end += (uint64_t)n;
		if (c)
			c->len += (uint32_t)n;
		else
			sp->base = sp->end;
		spool_update(sp);
		if ((size_t)n < room)
			break;
	}
	wake_readers(sp);
}

void spool_init(struct spool *sp, struct server *srv, struct spool_budget *b,
		int take_fd, void (*on_eof)(struct spool *sp))
{
	*sp = (struct spool){
	    .srv = srv,
	    .budget = b,
	    .fd = take_fd,
	    .on_eof = on_eof,
	    .grace_end_ns = clock_now_ns() + SPOOL_GRACE_NS,
	    .grace_fd = -1,
	};
	STAILQ_INIT(&sp->chunks);
	TAILQ_INIT(&sp->readers);
	TAILQ_INSERT_TAIL(&b->all, sp, all_link);
	watch_init(&sp->w, on_pipe);
	watch_init(&sp->grace, on_grace_over);
	watch_start(srv, &sp->w, take_fd, EPOLLIN);
}

void spool_done(struct spool *sp)
{
	assert(TAILQ_EMPTY(&sp->readers));
	end_grace(sp);
	watch_stop(sp->srv, &sp->w);
	fd_closep(&sp->fd);
	spool_set_full(sp, false);
	chunks_drop_all(sp);
	TAILQ_REMOVE(&sp->budget->all, sp, all_link);
	wake_full(sp->budget);
}

void spool_mark_exit(struct spool *sp)
{
	int waiting = 0;

	if (sp->fd >= 0 && ioctl(sp->fd, FIONREAD, &waiting) < 0)
		waiting = 0;
	sp->exited = true;
	sp->exit_mark = sp->end + (uint64_t)waiting;
	spool_update(sp);
	wake_readers(sp);
}

void spool_await_reader(struct spool *sp)
{
	end_grace(sp);
	sp->awaits_reader = true;
}

void spool_abandon(struct spool *sp)
{
	end_grace(sp);
	sp->abandoned = true;
	spool_update(sp);
}

/* --- readers -------------------------------------------------------------- */

/* The offset up to which rd is to send; *ret_last: nothing comes after it. */
static uint64_t reader_end(const struct spool_reader *rd, bool *ret_last)
{
	const struct spool *sp = rd->sp;

	if (rd->until_exit && sp->exited && sp->end >= sp->exit_mark) {
		*ret_last = true;
		return rd->pos > sp->exit_mark ? rd->pos : sp->exit_mark;
	}
	*ret_last = sp->fd < 0;
	return sp->end;
}

/* The bytes at pos, which are in one chunk. */
static uint8_t *bytes_at(const struct spool *sp, uint64_t pos, size_t *ret_n)
{
	struct spool_chunk *c;
	uint64_t at = sp->base;

	for (c = STAILQ_FIRST(&sp->chunks); c; c = STAILQ_NEXT(c, link)) {
		if (pos < at + c->len) {
			*ret_n = (size_t)(at + c->len - pos);
			return c->bytes + (pos - at);
		}
		at += c->len;
	}
	*ret_n = 0;
	return NULL;
}

static void reader_step(struct task *t)
{
	struct spool_reader *rd = CONTAINER_OF(t, struct spool_reader, t);
	struct spool *sp = rd->sp;
	bool last;
	uint64_t end = reader_end(rd, &last);
	size_t room = task_room(t);
	size_t n;
	uint8_t *p = bytes_at(sp, rd->pos, &n);

	if (n > end - rd->pos)
		n = (size_t)(end - rd->pos);
	if (n > room)
		n = room;
	if (last && rd->pos + n == end) {
		rd->pos += n;
		task_end_write(t, p, n);
		return;
	}
	if (!n) {
		task_sleep(t);
		return;
	}
	task_write_in_place(t, p, n);
	rd->pos += n;
	if (sp->is_full)
		spool_update(sp);
}

static void reader_stop(struct task *t)
{
	struct spool_reader *rd = CONTAINER_OF(t, struct spool_reader, t);

	TAILQ_REMOVE(&rd->sp->readers, rd, link);
	spool_update(rd->sp);
	rd->on_gone(rd->ctx);
	free(rd);
}

static const struct task_ops reader_ops = {
    .step = reader_step,
    .stop = reader_stop,
};

void spool_add_reader(struct spool *sp, const struct req *r, bool until_exit,
		      void (*on_gone)(void *ctx), void *ctx)
{
	struct spool_reader *rd = mem_zalloc(sizeof(*rd));

	rd->sp = sp;
	rd->pos = sp->base;
	rd->until_exit = until_exit;
	rd->on_gone = on_gone;
	rd->ctx = ctx;
	TAILQ_INSERT_TAIL(&sp->readers, rd, link);
	end_grace(sp);
	sp->awaits_reader = false;
	task_start(&rd->t, r, &reader_ops);
	task_send_done(&rd->t, (int64_t)rd->pos);
	task_wake(&rd->t);
}
