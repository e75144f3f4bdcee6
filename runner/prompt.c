/* SPDX-License-Identifier: MIT */
#include "runner/prompt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"

#define PROMPT	  "provium> "
#define READ_SIZE 4096

struct prompt {
	int fd;
	FILE *out;
	struct watch *watch; /* NULL: of what is always readable */
	struct timer *timer; /* has a line that is there already be taken */
	struct buf in;
	bool is_over;
	void (*cb)(void *ctx, const char *line); /* NULL: nobody asks */
	void *ctx;
};

/* Files and /dev/null are always readable, and nothing for epoll. */
static bool can_be_watched(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};
	CLEANUP(fd_closep) int epoll = epoll_create1(EPOLL_CLOEXEC);

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

/* Hands over a line, if there is one, or the end. */
static bool prompt_deliver(struct prompt *p)
{
	const char *text = (const char *)buf_data(&p->in);
	const char *nl = p->in.len ? memchr(text, '\n', p->in.len) : NULL;
	size_t n = nl ? (size_t)(nl - text) : p->in.len;
	void (*cb)(void *ctx, const char *line) = p->cb;
	CLEANUP(free_ptr) char *line = NULL;

	if (!nl && !p->is_over && p->in.len < PROMPT_LINE_MAX)
		return false;
	if (n || nl) {
		line = mem_strndup(text, n);
		buf_consume(&p->in, n + (nl != NULL));
	}
	p->cb = NULL;
	if (p->watch)
		watch_set(p->watch, 0);
	cb(p->ctx, line);
	return true;
}

static void prompt_read_some(struct prompt *p)
{
	ssize_t n = read(p->fd, buf_room(&p->in, READ_SIZE), READ_SIZE);

	if (n > 0)
		buf_commit(&p->in, (size_t)n);
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		p->is_over = true;
}

static void prompt_on_readable(void *ctx, int fd, unsigned ready)
{
	struct prompt *p = ctx;

	(void)fd;
	(void)ready;
	prompt_read_some(p);
	if (p->cb)
		prompt_deliver(p);
}

static void prompt_on_timer(void *ctx)
{
	struct prompt *p = ctx;

	while (p->cb && !prompt_deliver(p)) {
		if (p->watch) {
			watch_set(p->watch, LOOP_READ);
			return;
		}
		prompt_read_some(p);
	}
}

struct prompt *prompt_new(struct loop *l, int fd, FILE *out)
{
	struct prompt *p = mem_zalloc(sizeof(*p));

	p->fd = fd;
	p->out = out;
	p->timer = timer_new(l, prompt_on_timer, p);
	if (can_be_watched(fd))
		p->watch = watch_new(l, fd, prompt_on_readable, p);
	return p;
}

struct prompt *prompt_free(struct prompt *p)
{
	if (!p)
		return NULL;
	watch_free(p->watch);
	timer_free(p->timer);
	buf_done(&p->in);
	free(p);
	return NULL;
}

void prompt_print(struct prompt *p, const char *text, size_t n)
{
	fwrite(text, 1, n, p->out);
	fflush(p->out);
}

void prompt_ask(struct prompt *p, void (*cb)(void *ctx, const char *line),
		void *ctx)
{
	p->cb = cb;
	p->ctx = ctx;
	prompt_print(p, PROMPT, strlen(PROMPT));
	timer_set(p->timer, clock_now_ns());
}

void prompt_cancel(struct prompt *p)
{
	p->cb = NULL;
	if (p->watch)
		watch_set(p->watch, 0);
	timer_set(p->timer, CLOCK_NEVER);
}
