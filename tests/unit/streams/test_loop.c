/* SPDX-License-Identifier: MIT */
#include "streams/loop.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"

/* Everything that a callback here may want. */
struct probe {
	struct loop *loop;
	struct watch *watch;
	struct watch *other;
	struct timer *timer;
	int64_t at_ns;
	int calls;
	unsigned ready;
	char order[16];
};

struct pair {
	struct loop *loop;
	int fd[2];
	int fd2[2];
};

static int setup(void **state)
{
	struct pair *p = mem_zalloc(sizeof(*p));
	struct err err;

	p->loop = loop_new(&err);
	assert_non_null(p->loop);
	assert_int_equal(
	    0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			  0, p->fd));
	assert_int_equal(
	    0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			  0, p->fd2));
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	loop_free(p->loop);
	for (int i = 0; i < 2; i++) {
		close(p->fd[i]);
		close(p->fd2[i]);
	}
	free(p);
	return 0;
}

/* A bound on waiting, so that a broken loop fails instead of hanging. */
static void on_guard(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happened for a minute");
}

static struct timer *guard_new(struct loop *l)
{
	struct timer *t = timer_new(l, on_guard, NULL);

	timer_set(t, clock_deadline_ns(60 * NS_PER_SEC));
	return t;
}

static void on_count(void *ctx, int fd, unsigned ready)
{
	struct probe *p = ctx;

	(void)fd;
	p->calls++;
	p->ready |= ready;
}

static void on_fire(void *ctx)
{
	struct probe *p = ctx;

	p->calls++;
	p->at_ns = clock_now_ns();
}

static void watch_tells_readable_again_until_read(void **state)
{
	struct pair *s = *state;
	struct probe p = {0};
	struct watch *w = watch_new(s->loop, s->fd[0], on_count, &p);
	char c;

	watch_set(w, LOOP_READ);
	assert_int_equal(1, write(s->fd[1], "x", 1));
	loop_turn(s->loop);
	loop_turn(s->loop);
	assert_int_equal(2, p.calls);
	assert_int_equal(LOOP_READ, p.ready);
	assert_int_equal(1, read(s->fd[0], &c, 1));
	loop_poll(s->loop);
	assert_int_equal(2, p.calls);
	watch_free(w);
}

static void watch_calls_for_each_direction_asked_for(void **state)
{
	struct pair *s = *state;
	struct probe p = {0};
	struct watch *w = watch_new(s->loop, s->fd[0], on_count, &p);

	loop_poll(s->loop);
	assert_int_equal(0, p.calls);
	assert_int_equal(1, write(s->fd[1], "x", 1));
	watch_set(w, LOOP_READ | LOOP_WRITE);
	loop_poll(s->loop);
	assert_int_equal(LOOP_READ | LOOP_WRITE, p.ready);
	watch_set(w, LOOP_WRITE);
	p.ready = 0;
	loop_poll(s->loop);
	assert_int_equal(LOOP_WRITE, p.ready);
	watch_set(w, 0);
	p.calls = 0;
	loop_poll(s->loop);
	assert_int_equal(0, p.calls);
	watch_free(w);
}

static void watch_tells_hangup(void **state)
{
	struct pair *s = *state;
	struct probe p = {0};
	struct watch *w = watch_new(s->loop, s->fd[0], on_count, &p);

	watch_set(w, LOOP_READ);
	shutdown(s->fd[1], SHUT_RDWR);
	loop_turn(s->loop);
	assert_int_equal(LOOP_READ, p.ready);
	watch_free(w);
}

static void on_free_both(void *ctx, int fd, unsigned ready)
{
	struct probe *p = ctx;

	(void)fd;
	(void)ready;
	p->calls++;
	p->watch = watch_free(p->watch);
	p->other = watch_free(p->other);
}

static void watch_freed_in_a_callback_is_never_called_again(void **state)
{
	struct pair *s = *state;
	struct probe p = {0};

	/* Both are ready in one turn; whichever is called first frees both. */
	p.watch = watch_new(s->loop, s->fd[0], on_free_both, &p);
	p.other = watch_new(s->loop, s->fd2[0], on_free_both, &p);
	watch_set(p.watch, LOOP_READ | LOOP_WRITE);
	watch_set(p.other, LOOP_READ | LOOP_WRITE);
	assert_int_equal(1, write(s->fd[1], "x", 1));
	assert_int_equal(1, write(s->fd2[1], "x", 1));
	loop_turn(s->loop);
	loop_poll(s->loop);
	assert_int_equal(1, p.calls);
	assert_null(p.watch);
}

static void two_watches_of_dup_fds_are_independent(void **state)
{
	struct pair *s = *state;
	struct probe p = {0};
	struct probe q = {0};
	int copy = dup(s->fd[0]);
	struct watch *w = watch_new(s->loop, s->fd[0], on_count, &p);
	struct watch *v = watch_new(s->loop, copy, on_count, &q);

	watch_set(w, LOOP_READ);
	watch_set(v, LOOP_READ);
	watch_free(w);
	assert_int_equal(1, write(s->fd[1], "x", 1));
	loop_turn(s->loop);
	assert_int_equal(0, p.calls);
	assert_int_equal(1, q.calls);
	watch_free(v);
	close(copy);
}

static void a_reused_fd_number_is_watched_afresh(void **state)
{
	struct pair *s = *state;
	struct probe p = {0};
	int fd = dup(s->fd[0]);
	struct watch *w = watch_new(s->loop, fd, on_count, &p);

	watch_set(w, LOOP_READ);
	watch_free(w);
	assert_int_equal(fd, dup2(s->fd2[0], fd));
	w = watch_new(s->loop, fd, on_count, &p);
	watch_set(w, LOOP_READ);
	assert_int_equal(1, write(s->fd[1], "x", 1));
	loop_poll(s->loop);
	assert_int_equal(0, p.calls);
	assert_int_equal(1, write(s->fd2[1], "x", 1));
	loop_turn(s->loop);
	assert_int_equal(1, p.calls);
	watch_free(w);
	close(fd);
}

static void timer_fires_once_and_never_early(void **state)
{
	struct pair *s = *state;
	struct timer *guard = guard_new(s->loop);

	for (int i = 0; i < 50; i++) {
		struct probe p = {0};
		struct timer *t = timer_new(s->loop, on_fire, &p);
		int64_t due = clock_deadline_ns(i * 13377);

		timer_set(t, due);
		while (!p.calls)
			loop_turn(s->loop);
		assert_true(p.at_ns >= due);
		loop_poll(s->loop);
		assert_int_equal(1, p.calls);
		timer_free(t);
	}
	timer_free(guard);
}

static void timer_in_the_past_fires_in_the_next_turn(void **state)
{
	struct pair *s = *state;
	struct probe p = {0};
	struct timer *t = timer_new(s->loop, on_fire, &p);

	timer_set(t, clock_now_ns() - NS_PER_SEC);
	assert_int_equal(0, p.calls);
	loop_turn(s->loop);
	assert_int_equal(1, p.calls);
	timer_set(t, 0);
	loop_poll(s->loop);
	assert_int_equal(2, p.calls);
	timer_free(t);
}

static void timer_set_again_moves_it(void **state)
{
	struct pair *s = *state;
	struct probe p = {0};
	struct timer *t = timer_new(s->loop, on_fire, &p);

	timer_set(t, clock_deadline_ns(3600 * NS_PER_SEC));
	timer_set(t, CLOCK_NEVER - 1);
	loop_poll(s->loop);
	timer_set(t, clock_now_ns());
	loop_turn(s->loop);
	assert_int_equal(1, p.calls);
	timer_set(t, clock_now_ns());
	timer_set(t, CLOCK_NEVER);
	loop_poll(s->loop);
	assert_int_equal(1, p.calls);
	timer_free(t);
}

/* Were spans rounded up to milliseconds, none could be so little late. The
 * machine may be busy, so one that is not is waited for. */
static void timer_resolution_is_finer_than_a_millisecond(void **state)
{
	struct pair *s = *state;
	struct timer *guard = guard_new(s->loop);
	int64_t late;

	do {
		struct probe p = {0};
		struct timer *t = timer_new(s->loop, on_fire, &p);
		int64_t due = clock_deadline_ns(100 * NS_PER_US);

		timer_set(t, due);
		while (!p.calls)
			loop_turn(s->loop);
		late = p.at_ns - due;
		timer_free(t);
	} while (late > 800 * NS_PER_US);
	timer_free(guard);
}

static void on_fire_and_free(void *ctx)
{
	struct probe *p = ctx;

	p->calls++;
	p->timer = timer_free(p->timer);
}

static void timer_may_free_itself_in_its_callback(void **state)
{
	struct pair *s = *state;
	struct probe p = {0};

	p.timer = timer_new(s->loop, on_fire_and_free, &p);
	timer_set(p.timer, 0);
	loop_turn(s->loop);
	loop_poll(s->loop);
	assert_int_equal(1, p.calls);
	assert_null(p.timer);
}

static void note(void *ctx, char c)
{
	struct probe *p = ctx;
	size_t n = strlen(p->order);

	assert_true(n + 1 < sizeof(p->order));
	p->order[n] = c;
}

static void on_free_note(void *ptr)
{
	note(ptr, 'f');
}

static void on_defer(void *ctx)
{
	struct probe *p = ctx;

	note(p, 't');
	loop_defer_free(p->loop, p, on_free_note);
	note(p, 'r');
}

static void deferred_frees_run_after_the_callbacks(void **state)
{
	struct pair *s = *state;
	struct probe p = {.loop = s->loop};
	struct timer *t = timer_new(s->loop, on_defer, &p);
	struct timer *u = timer_new(s->loop, on_defer, &p);

	timer_set(t, 0);
	timer_set(u, 0);
	loop_turn(s->loop);
	assert_string_equal("trtrff", p.order);
	timer_free(t);
	timer_free(u);
}

static void on_free_more(void *ptr)
{
	struct probe *p = ptr;

	note(p, 'm');
	for (int i = 0; i < 4; i++)
		loop_defer_free(p->loop, p, on_free_note);
}

static void a_deferred_free_may_defer_more(void **state)
{
	struct pair *s = *state;
	struct probe p = {.loop = s->loop};

	loop_defer_free(s->loop, &p, on_free_more);
	assert_string_equal("", p.order);
	loop_poll(s->loop);
	assert_string_equal("mffff", p.order);
}

static void on_hook(void *ctx)
{
	note(ctx, 'h');
}

static void on_note(void *ctx)
{
	note(ctx, 't');
}

static void hooks_run_once_before_the_wait(void **state)
{
	struct pair *s = *state;
	struct probe p = {0};
	struct loop_hook h = {.cb = on_hook, .ctx = &p};
	struct loop_hook gone = {.cb = on_hook, .ctx = &p};
	struct timer *t = timer_new(s->loop, on_note, &p);

	timer_set(t, 0);
	loop_before_wait(s->loop, &h);
	loop_before_wait(s->loop, &h);
	loop_before_wait(s->loop, &gone);
	loop_hook_cancel(s->loop, &gone);
	loop_hook_cancel(s->loop, &gone);
	loop_turn(s->loop);
	assert_string_equal("ht", p.order);
	loop_poll(s->loop);
	assert_string_equal("ht", p.order);
	timer_free(t);
}

static void wake_ends_a_turn(void **state)
{
	struct pair *s = *state;
	struct timer *guard = guard_new(s->loop);

	loop_wake(s->loop);
	loop_turn(s->loop);
	timer_free(guard);
}

/* What a signal handler may reach: it gets no context. */
static struct loop *volatile signal_loop;

static void on_alarm(int signo)
{
	(void)signo;
	loop_wake(signal_loop);
}

static void wake_from_a_signal_handler_ends_a_waiting_turn(void **state)
{
	struct pair *s = *state;
	struct sigaction sa = {.sa_handler = on_alarm};
	struct sigaction old;
	struct itimerval it = {.it_value.tv_usec = 20000};
	struct timer *guard = guard_new(s->loop);

	signal_loop = s->loop;
	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &it, NULL);
	loop_turn(s->loop);
	sigaction(SIGALRM, &old, NULL);
	timer_free(guard);
}

static void on_enter(void *ctx)
{
	note(ctx, '<');
}

static void on_leave(void *ctx)
{
	note(ctx, '>');
}

static void a_sentry_stands_at_both_ends_of_a_turn(void **state)
{
	struct pair *s = *state;
	struct probe p = {0};
	struct loop_hook h = {.cb = on_hook, .ctx = &p};
	struct loop_sentry y = {
	    .enter = on_enter, .leave = on_leave, .ctx = &p};
	struct timer *t = timer_new(s->loop, on_note, &p);

	loop_add_sentry(s->loop, &y);
	assert_string_equal(">", p.order);
	timer_set(t, 0);
	loop_before_wait(s->loop, &h);
	loop_turn(s->loop);
	assert_string_equal("><ht>", p.order);
	loop_remove_sentry(s->loop, &y);
	loop_poll(s->loop);
	assert_string_equal("><ht>", p.order);
	timer_free(t);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(a_sentry_stands_at_both_ends_of_a_turn,
				    setup, teardown),
    cmocka_unit_test_setup_teardown(watch_tells_readable_again_until_read,
				    setup, teardown),
    cmocka_unit_test_setup_teardown(watch_calls_for_each_direction_asked_for,
				    setup, teardown),
    cmocka_unit_test_setup_teardown(watch_tells_hangup, setup, teardown),
    cmocka_unit_test_setup_teardown(
	watch_freed_in_a_callback_is_never_called_again, setup, teardown),
    cmocka_unit_test_setup_teardown(two_watches_of_dup_fds_are_independent,
				    setup, teardown),
    cmocka_unit_test_setup_teardown(a_reused_fd_number_is_watched_afresh, setup,
				    teardown),
    cmocka_unit_test_setup_teardown(timer_fires_once_and_never_early, setup,
				    teardown),
    cmocka_unit_test_setup_teardown(timer_in_the_past_fires_in_the_next_turn,
				    setup, teardown),
    cmocka_unit_test_setup_teardown(timer_set_again_moves_it, setup, teardown),
    cmocka_unit_test_setup_teardown(
	timer_resolution_is_finer_than_a_millisecond, setup, teardown),
    cmocka_unit_test_setup_teardown(timer_may_free_itself_in_its_callback,
				    setup, teardown),
    cmocka_unit_test_setup_teardown(deferred_frees_run_after_the_callbacks,
				    setup, teardown),
    cmocka_unit_test_setup_teardown(a_deferred_free_may_defer_more, setup,
				    teardown),
    cmocka_unit_test_setup_teardown(hooks_run_once_before_the_wait, setup,
				    teardown),
    cmocka_unit_test_setup_teardown(wake_ends_a_turn, setup, teardown),
    cmocka_unit_test_setup_teardown(
	wake_from_a_signal_handler_ends_a_waiting_turn, setup, teardown),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
