/* SPDX-License-Identifier: MIT */
/*
 * A guest's place on a bridge of the kernel's. Its TAP is there from attach to
 * detach, always up (a capture wants that), and passes frames while a guest is
 * behind it and has a link.
 *
 * What the guest has is the other end of the TAP, if it was on this bridge when
 * it booted. Else it has a socket (a NIC that had no cable then), and frames
 * are carried between the two here. A NIC with a TAP that moves takes its TAP
 * along.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "vmm/net/kernel_private.h"
#include "vmm/net/kernel_run.h"

static void kernel_place_on_frame(void *ctx, const uint8_t *p, size_t n,
				  int64_t now_ns)
{
	(void)now_ns;
	port_receive(ctx, p, n);
}

/* Puts the TAP onto the bridge, where it passes frames until
 * kernel_place_settle(). That cannot be a line of this batch: after a change by
 * ip(8) the bridge enables each port that is up (Linux, net/bridge/br_if.c,
 * br_port_carrier_check()). */
static int join_bridge(const struct port *p, struct err *err)
{
	CLEANUP(buf_done) struct buf ip = {0};
	const char *tap = p->place.tap.name;

	buf_printf(&ip,
		   "link set dev %s addrgenmode none\n"
		   "link set dev %s master %s\n"
		   "link set dev %s up\n",
		   tap, tap, p->bridge->kernel->name, tap);
	return kernel_run(KERNEL_IP, &ip, err);
}

int kernel_place_open(struct port *p, struct err *err)
{
	char name[IF_NAMESIZE];
	struct tap *tap = &p->place.tap;
	int r = kernel_next_tap(p->bridge->net->kernel, name, err);

	if (r == 0)
		r = tap_open(tap, name, p->bridge->loop, &p->bridge->net->arena,
			     kernel_place_on_frame, p, err);
	if (r == 0)
		r = join_bridge(p, err);
	if (r == 0)
		r = kernel_bridge_apply(p->bridge, err);
	if (r < 0) {
		tap_close(tap);
		return r;
	}
	kernel_place_settle(p);
	/* Frames that came meanwhile are not for a guest that boots later. */
	tap_drain(tap, &p->place.before.tx);
	return 0;
}

void kernel_place_close(struct port *p)
{
	tap_close(&p->place.tap);
	kernel_bridge_forget(p->bridge, &p->swport, p->place.tap.name);
}

/* --- guests --------------------------------------------------------------- */

/* It fails only where somebody has taken the interface away: then nothing
 * passes, and the guest has been told of its link by QEMU. */
void kernel_place_settle(struct port *p)
{
	bool is_on = p->place.is_plugged && !p->is_down;

	kernel_link_pass(p->place.tap.name, is_on);
	if (is_on)
		vswitch_pin(&p->swport, p->mac);
}

int kernel_place_plug(struct port *p)
{
	int fd = fcntl(p->place.tap.fd, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return -errno;
	p->place.is_plugged = p->place.is_qemus = true;
	kernel_place_settle(p);
	return fd;
}

void kernel_place_join(struct port *p)
{
	p->place.is_plugged = true;
	tap_read(&p->place.tap, true);
	kernel_place_settle(p);
}

void kernel_place_unplug(struct port *p)
{
	struct kernel_place *at = &p->place;

	if (at->tap.fd < 0)
		return;
	at->is_plugged = at->is_qemus = false;
	tap_read(&at->tap, false);
	kernel_place_settle(p);
	/* What the guest has not read it never will. */
	tap_drain(&at->tap, &at->before.tx);
}

/* --- TAPs that move ------------------------------------------------------- */

int kernel_place_take(struct port *p)
{
	CLEANUP(buf_done) struct buf tc = {0}, ip = {0};
	struct tap *tap = &p->place.tap;

	/* Down first: it is on no network now, the host's among them. */
	buf_printf(&ip, "link set dev %s down\nlink set dev %s nomaster\n",
		   tap->name, tap->name);
	buf_printf(&tc,
		   "qdisc delete dev %s root\nqdisc delete dev %s ingress\n",
		   tap->name, tap->name);
	kernel_run_all(KERNEL_IP, &ip);
	kernel_run_all(KERNEL_TC, &tc);
	p->place.is_plugged = p->place.is_qemus = false;
	tap_read(tap, false);
	return TAKE_FD(tap->fd);
}

int kernel_place_adopt(struct port *p, int take_fd, struct err *err)
{
	CLEANUP(fd_closep) int fd = take_fd;
	struct kernel_place *at = &p->place;
	struct ifreq ifr = {0};
	int r;

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return err_set(err, -errno, "cannot move a TAP: %s",
			       strerror(errno));
	tap_close(&at->tap);
	kernel_plan_forget(&p->bridge->kernel->plan, at->tap.name);
	at->tap.fd = TAKE_FD(fd);
	snprintf(at->tap.name, sizeof(at->tap.name), "%s", ifr.ifr_name);
	/* It counts from here on. */
	tap_stats(&at->tap, &at->before);
	r = join_bridge(p, err);
	if (r == 0)
		r = kernel_bridge_apply(p->bridge, err);
	if (r < 0)
		return r;
	at->is_plugged = at->is_qemus = true;
	kernel_place_settle(p);
	return 0;
}

/* --- what it counts ------------------------------------------------------- */

/* What the guest sent is what the TAP received. */
void kernel_place_counters(const struct port *p, struct port_counters *ret)
{
	const struct tap_stats *before = &p->place.before;
	struct tap_stats now;

	*ret = p->counters;
	if (!tap_stats(&p->place.tap, &now))
		return;
	ret->rx_frames = now.tx.frames - before->tx.frames;
	ret->rx_bytes = now.tx.bytes - before->tx.bytes;
	ret->tx_frames = now.rx.frames - before->rx.frames;
	ret->tx_bytes = now.rx.bytes - before->rx.bytes;
	ret->dropped += now.tx_dropped - before->tx_dropped;
	ret->errors += now.rx_errors - before->rx_errors;
}
