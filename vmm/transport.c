/* SPDX-License-Identifier: MIT */
#include "vmm/transport.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/vm_sockets.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"

#define VHOST_VSOCK "/dev/vhost-vsock"
#define CID_TRIES   32
/* People give small CIDs by hand. */
#define CID_MIN 0x10000u

int transport_pair(int *ret_ours, int *ret_theirs, struct err *err)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return err_set(err, -errno, "socketpair: %s", strerror(errno));
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	*ret_ours = fds[0];
	*ret_theirs = fds[1];
	return 0;
}

static int transport_make_pipe(int fds[2], struct err *err)
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(err, -errno,
			       "cannot make a pipe for the console: %s",
			       strerror(errno));
	return 0;
}

int transport_pipe_from(int *ret_ours, int *ret_theirs, struct err *err)
{
	int fds[2], r = transport_make_pipe(fds, err);

	if (r < 0)
		return r;
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	for (int size = CONSOLE_PIPE_SIZE;
	     fcntl(fds[0], F_GETPIPE_SZ) < size &&
	     fcntl(fds[0], F_SETPIPE_SZ, size) < 0;)
		size /= 2;
	*ret_ours = fds[0];
	*ret_theirs = fds[1];
	return 0;
}

int transport_pipe_to(int *ret_ours, int *ret_theirs, struct err *err)
{
	int fds[2], r = transport_make_pipe(fds, err);

	if (r < 0)
		return r;
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	*ret_ours = fds[1];
	*ret_theirs = fds[0];
	return 0;
}

/* CIDs are host-wide (vsock(7)), and nobody hands them out. */
static uint32_t random_cid(void)
{
	uint32_t cid = 0;

	while (cid < CID_MIN || cid == VMADDR_CID_ANY)
		if (getrandom(&cid, sizeof(cid), 0) != sizeof(cid))
			cid = 0;
	return cid;
}

int transport_reserve_cid(uint32_t *ret_cid, struct err *err)
{
	CLEANUP(fd_closep) int fd = open(VHOST_VSOCK, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", VHOST_VSOCK,
			       strerror(errno));
	for (int i = 0; i < CID_TRIES; i++) {
		uint64_t cid = random_cid();

		if (ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &cid) == 0) {
			*ret_cid = (uint32_t)cid;
			return TAKE_FD(fd);
		}
		if (errno != EADDRINUSE)
			break;
	}
	return err_set(err, -errno, "%s: cannot set a guest CID: %s",
		       VHOST_VSOCK, strerror(errno));
}

static void end_try(struct dial *d)
{
	d->watch = watch_free(d->watch);
	fd_closep(&d->fd);
}

static void fail_try(struct dial *d, int code)
{
	err_set(&d->last, -code, "%s", strerror(code));
	end_try(d);
	timer_set(d->timer, clock_deadline_ns(DIAL_RETRY_NS));
}

static void succeed(struct dial *d)
{
	d->watch = watch_free(d->watch);
	timer_set(d->timer, CLOCK_NEVER);
	op_finish(&d->op, 0, NULL);
}

static void transport_on_connected(void *ctx, int fd, unsigned ready)
{
	struct dial *d = ctx;
	int code = 0;
	socklen_t len = sizeof(code);

	(void)ready;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
		code = errno;
	if (code)
		fail_try(d, code);
	else
		succeed(d);
}

static void try_once(struct dial *d)
{
	d->fd = socket(d->addr.ss_family,
		       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0) {
		fail_try(d, errno);
		return;
	}
	if (connect(d->fd, (struct sockaddr *)&d->addr, d->addr_len) == 0) {
		succeed(d);
		return;
	}
	if (errno != EINPROGRESS) {
		fail_try(d, errno);
		return;
	}
	d->watch = watch_new(d->op.loop, d->fd, transport_on_connected, d);
	watch_set(d->watch, LOOP_WRITE);
	timer_set(d->timer, clock_deadline_ns(DIAL_TRY_NS));
}

/* A try took too long, or it is time for the next. */
static void transport_on_timer(void *ctx)
{
	struct dial *d = ctx;

	if (d->watch)
		fail_try(d, ETIMEDOUT);
	else
		try_once(d);
}

static void transport_on_stop(struct op *op, int reason)
{
	struct dial *d = CONTAINER_OF(op, struct dial, op);

	if (reason == -ETIMEDOUT)
		err_set(&op->err, reason,
			"no connection to the agent; the last try: %s",
			d->last.code ? d->last.text : "no answer");
	timer_set(d->timer, CLOCK_NEVER);
	end_try(d);
}

void dial_start(struct dial *d, struct loop *l, const struct sockaddr *addr,
		socklen_t addr_len, int64_t deadline_ns)
{
	assert(addr_len <= sizeof(d->addr));
	*d = (struct dial){.fd = -1, .addr_len = addr_len};
	memcpy(&d->addr, addr, addr_len);
	op_init(&d->op, l, transport_on_stop);
	d->timer = timer_new(l, transport_on_timer, d);
	/* From the loop: so it never succeeds before this returns. */
	timer_set(d->timer, clock_now_ns());
	op_start(&d->op, deadline_ns);
}

void dial_vsock_start(struct dial *d, struct loop *l, uint32_t cid,
		      uint32_t port, int64_t deadline_ns)
{
	struct sockaddr_vm addr = {
	    .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};

	dial_start(d, l, (struct sockaddr *)&addr, sizeof(addr), deadline_ns);
}

void dial_done(struct dial *d)
{
	op_done(&d->op);
	d->watch = watch_free(d->watch);
	d->timer = timer_free(d->timer);
	fd_closep(&d->fd);
}
