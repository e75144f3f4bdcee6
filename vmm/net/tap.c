/* SPDX-License-Identifier: MIT */
#include "vmm/net/tap.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"

#define TUN_PATH "/dev/net/tun"

int tap_open_tun(struct err *err)
{
	int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return err_set(err, -errno,
			       TUN_PATH " is not there (modprobe tun)");
	return err_set(err, -errno, TUN_PATH " does not open: %s",
		       strerror(errno));
}

int tap_open(struct tap *t, const char *name, struct loop *l,
	     struct wire_arena *arena,
	     void (*frame)(void *ctx, const uint8_t *p, size_t n,
			   int64_t now_ns),
	     void *ctx, struct err *err)
{
	/* No header before the frame, not even virtio's: a frame is a frame,
	 * in captures, too, with all of its checksums. */
	struct ifreq ifr = {.ifr_flags =
				(short)(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL)};
	CLEANUP(fd_closep) int fd = tap_open_tun(err);

	t->fd = -1;
	if (fd < 0)
		return fd;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		if (errno == EPERM)
			return err_set(err, -EPERM,
				       "no CAP_NET_ADMIN in this network "
				       "namespace");
		return err_set(err, -errno, "cannot make the TAP '%s': %s",
			       name, strerror(errno));
	}
	*t = (struct tap){
	    .fd = TAKE_FD(fd),
	    .loop = l,
	    .arena = arena,
	    .frame = frame,
	    .ctx = ctx,
	};
	snprintf(t->name, sizeof(t->name), "%s", name);
	return 0;
}

void tap_close(struct tap *t)
{
	t->watch = watch_free(t->watch);
	fd_closep(&t->fd);
}

/* One frame; its length, or 0: nothing is there. */
static size_t read_frame(const struct tap *t, uint8_t *ret)
{
	ssize_t n;

	do
		n = read(t->fd, ret, FRAME_MAX);
	while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

static void tap_on_ready(void *ctx, int fd, unsigned ready)
{
	struct tap *t = ctx;
	int64_t now_ns = clock_now_ns();
	size_t n;

	(void)ready;
	wire_arena_begin(t->arena);
	for (unsigned i = 0; i < TAP_BATCH && t->watch && t->fd == fd; i++) {
		n = read_frame(t, t->arena->mem);
		if (!n)
			break;
		if (n >= FRAME_MIN)
			t->frame(t->ctx, t->arena->mem, n, now_ns);
	}
	wire_arena_end(t->arena);
}

void tap_read(struct tap *t, bool is_on)
{
	if (!is_on) {
		t->watch = watch_free(t->watch);
		return;
	}
	if (t->watch)
		return;
	t->watch = watch_new(t->loop, t->fd, tap_on_ready, t);
	watch_set(t->watch, LOOP_READ);
}

bool tap_write(const struct tap *t, const uint8_t *p, size_t n)
{
	ssize_t r;

	do
		r = write(t->fd, p, n);
	while (r < 0 && errno == EINTR);
	return r >= 0;
}

void tap_drain(struct tap *t, struct tap_count *sum)
{
	/* Room for all of a frame: of what does not fit nothing is told. */
	CLEANUP(free_ptr) uint8_t *frame = mem_alloc(FRAME_MAX);
	size_t n;

	for (unsigned i = 0; i < TAP_DRAIN_MAX; i++) {
		n = read_frame(t, frame);
		if (!n)
			return;
		sum->frames++;
		sum->bytes += n;
	}
}

/* --- what it counts ------------------------------------------------------- */

bool tap_parse_stats(const char *text, const char *name, struct tap_stats *ret)
{
	size_t n = strlen(name);
	const char *line = text;

	while (line) {
		line += strspn(line, " \n");
		if (!strncmp(line, name, n) && line[n] == ':')
			break;
		line = strchr(line, '\n');
	}
	memset(ret, 0, sizeof(*ret));
	/* bytes packets errs drop fifo frame compressed multicast, of each */
	return line &&
	       sscanf(line + n + 1,
		      "%" SCNu64 "%" SCNu64 "%" SCNu64
		      "%*u %*u %*u %*u %*u %" SCNu64 "%" SCNu64 "%*u %" SCNu64,
		      &ret->rx.bytes, &ret->rx.frames, &ret->rx_errors,
		      &ret->tx.bytes, &ret->tx.frames, &ret->tx_dropped) == 6;
}

bool tap_stats(const struct tap *t, struct tap_stats *ret)
{
	/* Of the network namespace that this process is in. */
	CLEANUP(file_closep) FILE *f = fopen("/proc/self/net/dev", "re");
	char line[512];

	memset(ret, 0, sizeof(*ret));
	while (f && fgets(line, sizeof(line), f))
		if (tap_parse_stats(line, t->name, ret))
			return true;
	return false;
}
