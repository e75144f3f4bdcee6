/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: is_away says who may read. The loop's thread sets and
 * clears it. The drain's thread looks at it with the mutex held, and keeps the
 * mutex until the block that it then reads is in the log. So after the loop's
 * thread has cleared is_away and got the mutex once, no block is on its way.
 * The loop's thread clears is_away before it asks for the mutex: a thread that
 * always has something to read would else get the mutex again and again.
 *
 * While the loop reads, the thread stays in poll(2) until a first byte comes,
 * and then is parked: it waits for its eventfd alone, until it may read again.
 *
 * The thread takes no signals: the handlers of a worker are for its first
 * thread. It is not the parent of any process (PR_SET_PDEATHSIG, prctl(2), is
 * about the thread that forked).
 */
#include "streams/console_drain.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent-proto/mem.h"

/* The thread's: it reads, writes and polls, and nothing deeper. */
#define STACK_SIZE ((size_t)128 << 10)

struct console_drain {
	int fd;			 /* borrowed */
	struct console_log *log; /* borrowed */
	uint8_t *block;		 /* the thread's */
	int wake_fd;		 /* an eventfd: ends the thread's poll() */
	pthread_t thread;
	bool has_thread;
	atomic_bool is_away;
	pthread_mutex_t mutex; /* guards all that follows */
	bool is_parked;
	bool is_ending; /* the thread shall end */
	bool is_over;	/* the chardev ended */
	int end_errno;	/* of the read that said so */
};

/* With the right to read. */
static ssize_t read_block(struct console_drain *d, uint8_t *out)
{
	ssize_t n;

	if (d->is_over)
		return -1;
	do
		n = read(d->fd, out, CONSOLE_BLOCK);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		console_log_append(d->log, out, (size_t)n);
	if (n > 0)
		return n;
	if (n < 0 && errno == EAGAIN)
		return 0;
	d->is_over = true;
	d->end_errno = n < 0 ? errno : 0;
	return -1;
}

/* --- the thread ------------------------------------------------------------
 */

/* Waits until there is something to read, or the loop's thread wakes it. */
static void wait_for_more(const struct console_drain *d, bool is_parked)
{
	struct pollfd p[] = {
	    {.fd = d->wake_fd, .events = POLLIN},
	    {.fd = is_parked ? -1 : d->fd, .events = POLLIN},
	};
	uint64_t wakes;
	ssize_t r = 0;

	poll(p, ARRAY_LEN(p), -1);
	if (p[0].revents)
		r = read(d->wake_fd, &wakes, sizeof(wakes));
	/* Where that failed, the next poll() ends at once. */
	(void)r;
}

static void *console_drain_run_thread(void *ctx)
{
	struct console_drain *d = ctx;
	bool is_parked = true, is_ending = false;

	while (!is_ending) {
		wait_for_more(d, is_parked);
		pthread_mutex_lock(&d->mutex);
		if (d->is_away)
			read_block(d, d->block);
		is_parked = d->is_parked = !d->is_away || d->is_over;
		is_ending = d->is_ending;
		pthread_mutex_unlock(&d->mutex);
	}
	return NULL;
}

static void wake(struct console_drain *d)
{
	uint64_t one = 1;
	/* Fails only where it is full of wakes, which will do. */
	ssize_t r = write(d->wake_fd, &one, sizeof(one));

	(void)r;
}

static int start_thread(struct console_drain *d)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int code = pthread_attr_init(&attr);

	if (code)
		return code;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(&d->thread, &attr, console_drain_run_thread, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	d->has_thread = code == 0;
	return code;
}

/* --- life ------------------------------------------------------------------
 */

struct console_drain *console_drain_new(int fd, struct console_log *log,
					struct err *err)
{
	struct console_drain *d = mem_zalloc(sizeof(*d));
	int code = 0;

	d->fd = fd;
	d->log = log;
	d->block = mem_alloc(CONSOLE_BLOCK);
	d->is_parked = true;
	pthread_mutex_init(&d->mutex, NULL);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->wake_fd < 0)
		code = errno;
	else
		code = start_thread(d);
	if (!code)
		return d;
	err_set(err, -code, "cannot start the thread that reads a console: %s",
		strerror(code));
	return console_drain_free(d);
}

struct console_drain *console_drain_free(struct console_drain *d)
{
	if (!d)
		return NULL;
	if (d->has_thread) {
		console_drain_take_over(d);
		pthread_mutex_lock(&d->mutex);
		d->is_ending = true;
		pthread_mutex_unlock(&d->mutex);
		wake(d);
		pthread_join(d->thread, NULL);
	}
	if (d->wake_fd >= 0)
		close(d->wake_fd);
	pthread_mutex_destroy(&d->mutex);
	free(d->block);
	free(d);
	return NULL;
}

/* --- who reads -------------------------------------------------------------
 */

void console_drain_let_go(struct console_drain *d)
{
	bool is_asleep;

	pthread_mutex_lock(&d->mutex);
	d->is_away = true;
	is_asleep = d->is_parked && !d->is_over;
	d->is_parked = d->is_parked && d->is_over;
	pthread_mutex_unlock(&d->mutex);
	if (is_asleep)
		wake(d);
}

bool console_drain_take_over(struct console_drain *d)
{
	bool was_away = atomic_exchange(&d->is_away, false);

	pthread_mutex_lock(&d->mutex);
	pthread_mutex_unlock(&d->mutex);
	return was_away;
}

ssize_t console_drain_read(struct console_drain *d, uint8_t *out)
{
	return read_block(d, out);
}

int console_drain_errno(const struct console_drain *d)
{
	return d->end_errno;
}
