/* SPDX-License-Identifier: MIT */
#include "tests/unit/streams/lib_console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/mem.h"

const struct stream_label desk_label = {.kind = "console", .detail = "vm"};

void plug(struct desk *d)
{
	struct err err;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv),
			 0);
	d->qemu = sv[1];
	assert_int_equal(console_attach(d->con, sv[0], dup(sv[0]), &err), 0);
}

void unplug(struct desk *d)
{
	close(d->qemu);
	d->qemu = -1;
}

int desk_set_up(void **state)
{
	struct desk *d = mem_zalloc(sizeof(*d));
	struct err err;

	tmp_template(d->path);
	close(mkstemp(d->path));
	d->loop = loop_new(&err);
	assert_non_null(d->loop);
	d->con = console_new(d->loop, d->path, &err);
	assert_non_null(d->con);
	plug(d);
	*state = d;
	return 0;
}

int desk_tear_down(void **state)
{
	struct desk *d = *state;

	console_free(d->con);
	if (d->qemu >= 0)
		close(d->qemu);
	loop_free(d->loop);
	unlink(d->path);
	buf_done(&d->alarms);
	free(d);
	return 0;
}

void print_bytes(struct desk *d, const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n) {
		ssize_t k = send(d->qemu, at, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (k > 0) {
			at += k;
			n -= (size_t)k;
		}
		loop_poll(d->loop);
	}
}

void print(struct desk *d, const char *text)
{
	print_bytes(d, text, strlen(text));
	loop_poll(d->loop);
}
