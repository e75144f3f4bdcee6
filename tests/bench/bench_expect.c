/* SPDX-License-Identifier: MIT */
/*
 * Seconds that a stream takes to find the last bytes of a file in a pipe.
 *	bench_expect FILE NEEDLE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "streams/loop.h"
#include "streams/stream.h"

static struct stream *stream;

static void on_readable(void *ctx, int fd, unsigned ready)
{
	static uint8_t bytes[64 << 10];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	(void)ctx;
	(void)ready;
	if (n > 0)
		stream_deliver(stream, bytes, (size_t)n, false);
	else
		stream_end(stream, NULL);
}

static void consumed(void *ctx, size_t n)
{
	(void)ctx;
	(void)n;
}

static void closed(void *ctx)
{
	(void)ctx;
}

static pid_t start_cat(const char *path, int *ret_fd)
{
	int fds[2];

	if (pipe(fds) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fds[1], 1);
		close(fds[0]);
		execlp("cat", "cat", path, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	*ret_fd = fds[0];
	return pid;
}

int main(int argc, char **argv)
{
	static const struct stream_source source = {.consumed = consumed,
						    .close = closed};
	const struct stream_label label = {.kind = "bench", .detail = ""};
	struct stream_list list = TAILQ_HEAD_INITIALIZER(list);
	struct stream_pattern pattern;
	struct stream_wait wait;
	int fd = -1;

	if (argc != 3 || start_cat(argv[1], &fd) < 0)
		return 2;
	struct loop *l = loop_new(NULL);
	stream = stream_new(l, STREAM_TAIL, &label, &list, &source, NULL);
	struct watch *w = watch_new(l, fd, on_readable, NULL);
	pattern.p = (const uint8_t *)argv[2];
	pattern.n = strlen(argv[2]);
	stream_wait_init(&wait, stream);
	int64_t start = clock_now_ns();
	stream_match(&wait, "expect", &pattern, 1, false,
		     clock_deadline_ns(600 * NS_PER_SEC));
	watch_set(w, LOOP_READ);
	if (op_wait(&wait.op) < 0) {
		fprintf(stderr, "%s\n", wait.op.err.text);
		return 1;
	}
	printf("%.6f\n", (double)(clock_now_ns() - start) / (double)NS_PER_SEC);
	stream_wait_done(&wait);
	watch_free(w);
	stream_free(stream);
	loop_free(l);
	wait4(-1, NULL, 0, NULL);
	return 0;
}
