/* SPDX-License-Identifier: MIT */
/*
 * A guest that comes from a snapshot has the random numbers of every other
 * that does, unless its kernel is told: bytes of the host's are mixed in and
 * counted, then the generator is seeded from the pool (random(4)).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "cmd/provium-agent/core/guest.h"
#include "cmd/provium-agent/ops/ops.h"

static int reseed(const struct guest *g, const struct msg_bytes *entropy)
{
	CLEANUP(fd_closep)
	int fd = openat(g->dev_fd, "urandom", O_WRONLY | O_CLOEXEC);
	/* struct rand_pool_info: bits, bytes, and those. */
	uint32_t pool[2 + MSG_ENTROPY_MAX / 4] = {entropy->n * 8, entropy->n};

	memcpy(pool + 2, entropy->p, entropy->n);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, pool) < 0)
		return -errno;
	/* Before Linux 4.14 there is no such thing, and no need. */
	return ioctl(fd, RNDRESEEDCRNG) < 0 && errno != EINVAL ? -errno : 0;
}

void op_restored(const struct req *r)
{
	const struct msg_restored *m = &r->m->restored;
	struct timespec ts = {m->realtime_ns / NS_PER_SEC,
			      m->realtime_ns % NS_PER_SEC};
	int err;

	if (!m->entropy.n || m->entropy.n > MSG_ENTROPY_MAX ||
	    m->realtime_ns < 0) {
		req_error(r, EINVAL, "restored: %u bytes of entropy",
			  m->entropy.n);
		return;
	}
	err = reseed(server_guest(r->srv), &m->entropy);
	if (err < 0)
		req_error(r, -err, "cannot seed the guest's random numbers");
	else if (m->realtime_ns && clock_settime(CLOCK_REALTIME, &ts) < 0)
		req_error(r, errno, "cannot set the guest's clock");
	else
		req_done(r, 0);
}
