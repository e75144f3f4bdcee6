/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * One libevent base, one turn at a time. A watch has an event for each
 * direction, so that asking for write readiness for a moment is one epoll_ctl
 * and leaves the other direction alone. event_del() also takes an event off
 * the queue of those about to be called, and libevent does not look at an
 * event after calling it; hence a watch or timer freed by any callback is
 * never called again, and its memory can go at once.
 *
 * The base keeps no cached time: a timer set after a long callback would else
 * fire early. libevent counts in microseconds, so spans are rounded up, and a
 * timer that is called before its time is set again.
 *
 * EVLOOP_ONCE does not come back from a signal; the eventfd behind
 * loop_wake() is how a handler ends a turn. It also keeps the base from ever
 * being empty, on which libevent would return at once instead of waiting.
 */
#include "streams/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"

struct deferred {
	void *ptr;
	void (*fn)(void *ptr);
};

struct loop {
	struct event_base *base;
	struct event wake;
	int wake_fd;
	bool is_turning;
	unsigned users; /* watches and timers */
	TAILQ_HEAD(hook_list, loop_hook) hooks;
	TAILQ_HEAD(sentry_list, loop_sentry) sentries;
	struct deferred *deferred;
	size_t n_deferred;
	size_t max_deferred;
};

struct watch {
	struct event in;
	struct event out;
	struct loop *loop;
	watch_cb cb;
	void *ctx;
	unsigned events;
};

struct timer {
	struct event ev;
	struct loop *loop;
	timer_cb cb;
	void *ctx;
	int64_t deadline_ns;
};

/* --- the loop ------------------------------------------------------------ */

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
	uint64_t n;

	(void)what;
	(void)ctx;
	/* EAGAIN only, when there was nothing to clear. */
	ssize_t r = read(fd, &n, sizeof(n));
	(void)r;
}

static struct event_base *base_new(void)
{
	struct event_config *cfg = event_config_new();

	if (!cfg)
		return NULL;
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_IGNORE_ENV);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NO_CACHE_TIME);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
	struct event_base *base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

struct loop *loop_new(struct err *err)
{
	struct loop *l = mem_zalloc(sizeof(*l));

	TAILQ_INIT(&l->hooks);
	TAILQ_INIT(&l->sentries);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd < 0) {
		err_set(err, -errno, "cannot make an eventfd: %s",
			strerror(errno));
		return loop_free(l);
	}
	l->base = base_new();
	if (!l->base) {
		err_set(err, -ENOSYS, "cannot make an event loop (libevent)");
		return loop_free(l);
	}
	event_assign(&l->wake, l->base, l->wake_fd, EV_READ | EV_PERSIST,
		     on_wake, l);
	if (event_add(&l->wake, NULL)) {
		err_set(err, -ENOSYS, "cannot watch an eventfd (libevent)");
		return loop_free(l);
	}
	return l;
}

static void run_deferred(struct loop *l)
{
	/* fn may defer more, which moves the array. */
	for (size_t i = 0; i < l->n_deferred; i++)
		l->deferred[i].fn(l->deferred[i].ptr);
	l->n_deferred = 0;
}

struct loop *loop_free(struct loop *l)
{
	if (!l)
		return NULL;
	assert(!l->is_turning);
	run_deferred(l);
	assert(!l->users && TAILQ_EMPTY(&l->sentries));
	free(l->deferred);
	if (l->base) {
		if (event_initialized(&l->wake))
			event_del(&l->wake);
		event_base_free(l->base);
	}
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	free(l);
	return NULL;
}

static void run_hooks(struct loop *l)
{
	struct loop_hook *h;

	while ((h = TAILQ_FIRST(&l->hooks))) {
		loop_hook_cancel(l, h);
		h->cb(h->ctx);
	}
}

static void loop_turn_with(struct loop *l, int flags)
{
	struct loop_sentry *s;

	assert(!l->is_turning);
	l->is_turning = true;
	TAILQ_FOREACH (s, &l->sentries, link)
		s->enter(s->ctx);
	run_hooks(l);
	event_base_loop(l->base, flags);
	l->is_turning = false;
	run_deferred(l);
	TAILQ_FOREACH (s, &l->sentries, link)
		s->leave(s->ctx);
}

void loop_turn(struct loop *l)
{
	loop_turn_with(l, EVLOOP_ONCE);
}

void loop_poll(struct loop *l)
{
	/* EVLOOP_NONBLOCK alone goes on for as long as anything is ready. */
	loop_turn_with(l, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

bool loop_is_turning(const struct loop *l)
{
	return l->is_turning;
}

void loop_wake(struct loop *l)
{
	int saved = errno;
	uint64_t one = 1;

	/* Can only fail when it is full of wakes, which will do. */
	ssize_t r = write(l->wake_fd, &one, sizeof(one));
	(void)r;
	errno = saved;
}

void loop_before_wait(struct loop *l, struct loop_hook *h)
{
	if (h->is_queued)
		return;
	h->is_queued = true;
	TAILQ_INSERT_TAIL(&l->hooks, h, link);
}

void loop_hook_cancel(struct loop *l, struct loop_hook *h)
{
	if (!h->is_queued)
		return;
	h->is_queued = false;
	TAILQ_REMOVE(&l->hooks, h, link);
}

void loop_add_sentry(struct loop *l, struct loop_sentry *s)
{
	TAILQ_INSERT_TAIL(&l->sentries, s, link);
	if (!l->is_turning)
		s->leave(s->ctx);
}

void loop_remove_sentry(struct loop *l, struct loop_sentry *s)
{
	TAILQ_REMOVE(&l->sentries, s, link);
}

void loop_defer_free(struct loop *l, void *take_ptr, void (*fn)(void *ptr))
{
	if (l->n_deferred == l->max_deferred) {
		l->max_deferred = l->max_deferred ? 2 * l->max_deferred : 16;
		l->deferred = mem_realloc_array(l->deferred, l->max_deferred,
						sizeof(*l->deferred));
	}
	l->deferred[l->n_deferred++] = (struct deferred){take_ptr, fn};
}

/* --- watches ------------------------------------------------------------- */

static void on_watch(evutil_socket_t fd, short what, void *ctx)
{
	struct watch *w = ctx;

	w->cb(w->ctx, fd, what & EV_READ ? LOOP_READ : LOOP_WRITE);
}

struct watch *watch_new(struct loop *l, int fd, watch_cb cb, void *ctx)
{
	struct watch *w = mem_zalloc(sizeof(*w));

	w->loop = l;
	w->cb = cb;
	w->ctx = ctx;
	event_assign(&w->in, l->base, fd, EV_READ | EV_PERSIST, on_watch, w);
	event_assign(&w->out, l->base, fd, EV_WRITE | EV_PERSIST, on_watch, w);
	l->users++;
	return w;
}

/* The kernel has no memory for it, or the user no watches left: as with memory
 * of our own (mem.c) there is no going on, and others know what to do with a
 * process that is gone. */
static _Noreturn void no_watch(int code)
{
	fprintf(stderr, "provium: cannot watch a descriptor: %s\n",
		strerror(code));
	_exit(LOOP_EXIT_NO_WATCH);
}

static void watch_toggle(struct event *ev, bool on)
{
	int r = on ? event_add(ev, NULL) : event_del(ev);

	if (r && (errno == ENOMEM || errno == ENOSPC))
		no_watch(errno);
	/* Else an fd that is closed, or that epoll does not take. */
	assert(!r);
}

void watch_set(struct watch *w, unsigned events)
{
	unsigned change = w->events ^ events;

	w->events = events;
	if (change & LOOP_READ)
		watch_toggle(&w->in, events & LOOP_READ);
	if (change & LOOP_WRITE)
		watch_toggle(&w->out, events & LOOP_WRITE);
}

struct watch *watch_free(struct watch *w)
{
	if (!w)
		return NULL;
	watch_set(w, 0);
	w->loop->users--;
	free(w);
	return NULL;
}

/* --- timers -------------------------------------------------------------- */

static void loop_on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct timer *t = ctx;

	(void)fd;
	(void)what;
	if (t->deadline_ns > clock_now_ns()) {
		timer_set(t, t->deadline_ns);
		return;
	}
	t->cb(t->ctx);
}

struct timer *timer_new(struct loop *l, timer_cb cb, void *ctx)
{
	struct timer *t = mem_zalloc(sizeof(*t));

	t->loop = l;
	t->cb = cb;
	t->ctx = ctx;
	event_assign(&t->ev, l->base, -1, 0, loop_on_timer, t);
	l->users++;
	return t;
}

void timer_set(struct timer *t, int64_t deadline_ns)
{
	struct timeval tv = {0};

	t->deadline_ns = deadline_ns;
	if (deadline_ns == CLOCK_NEVER) {
		event_del(&t->ev);
		return;
	}
	int64_t span = deadline_ns - clock_now_ns();
	if (span > 0) {
		/* Rounded up without overflow. */
		int64_t us = span / NS_PER_US + (span % NS_PER_US != 0);
		tv.tv_sec = us / 1000000;
		tv.tv_usec = us % 1000000;
	}
	event_add(&t->ev, &tv);
}

struct timer *timer_free(struct timer *t)
{
	if (!t)
		return NULL;
	event_del(&t->ev);
	t->loop->users--;
	free(t);
	return NULL;
}
