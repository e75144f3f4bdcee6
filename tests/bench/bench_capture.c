/* SPDX-License-Identifier: MIT */
/*
 * Packets at a steady rate, and how many of them a capture has.
 *	bench_capture ours RATE COUNT	through a switch into a capture of it
 *	bench_capture send RATE COUNT	out of lo, for a tcpdump there
 * The first prints how many packets were captured.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "vmm/net/bridge.h"

#define FRAME_SIZE 200
#define TICK_NS	   1000000

/* A frame, and behind its length as QEMU sends it. */
struct sent {
	uint32_t length;
	uint8_t frame[FRAME_SIZE];
};

/* From one guest to another, of a protocol for experiments (IEEE 802). */
static void make_frame(struct sent *sent, const uint8_t *dst,
		       const uint8_t *src)
{
	uint8_t *frame = sent->frame;

	sent->length = htonl(FRAME_SIZE);
	memset(frame, 'x', FRAME_SIZE);
	memcpy(frame, dst, ETH_ALEN);
	memcpy(frame + ETH_ALEN, src, ETH_ALEN);
	frame[12] = 0x88;
	frame[13] = 0xb5;
}

/* A full socket is waited for, as QEMU does. */
static int send_one(int fd, const void *bytes, size_t size)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	const char *p = bytes;

	while (size) {
		ssize_t n = send(fd, p, size, 0);

		if (n < 0 && errno != EAGAIN && errno != ENOBUFS &&
		    errno != EINTR)
			return -1;
		if (n < 0)
			poll(&pfd, 1, 1000);
		p += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Every tick what is due by then. */
static int send_all(int fd, const void *bytes, size_t size, long rate,
		    long count)
{
	int64_t start = clock_now_ns();
	long sent = 0;

	while (sent < count) {
		int64_t past = clock_now_ns() - start;
		long due = (long)((double)past * (double)rate / 1e9);

		for (; sent < due && sent < count; sent++)
			if (send_one(fd, bytes, size) < 0)
				return -1;
		struct timespec tick = {0, TICK_NS};
		nanosleep(&tick, NULL);
	}
	return 0;
}

/* --- out of lo ------------------------------------------------------------ */

static int open_lo(void)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	int in = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || in < 0 || ioctl(in, SIOCGIFFLAGS, &ifr) < 0)
		return -1;
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(in, SIOCSIFFLAGS, &ifr) < 0)
		return -1;
	close(in);
	struct sockaddr_ll sa = {
	    .sll_family = AF_PACKET,
	    .sll_protocol = 0, /* nothing comes back to us */
	    .sll_ifindex = (int)if_nametoindex("lo"),
	};
	return bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -1 : fd;
}

static int run_send(long rate, long count)
{
	static const uint8_t mac[ETH_ALEN] = {2, 0, 0, 0, 0, 1};
	struct sent sent;
	int fd = open_lo();

	make_frame(&sent, mac, mac);
	if (fd < 0 ||
	    (count && send_all(fd, sent.frame, FRAME_SIZE, rate, count) < 0)) {
		perror("lo");
		return 1;
	}
	return 0;
}

/* --- through a switch ----------------------------------------------------- */

/* A child that does so with fd, as QEMU would. */
static pid_t start_guest(int fd, const struct sent *sent, long rate, long count)
{
	uint8_t bytes[2048];
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sent)
		_exit(send_all(fd, sent, sizeof(*sent), rate, count) < 0);
	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
	_exit(0);
}

static long count_packets(struct stream *s, long want)
{
	struct stream_wait w;
	long got = -1; /* the header is a frame, too */

	while (got < want) {
		stream_wait_init(&w, s);
		stream_next(&w, clock_deadline_ns(2 * NS_PER_SEC));
		int r = op_wait(&w.op);
		stream_wait_done(&w);
		if (r != 1)
			break;
		got++;
	}
	return got;
}

static int run_ours(long rate, long count)
{
	const struct stream_label label = {.kind = "bench", .detail = ""};
	const struct capture_options options = {.filter = "ether proto 0x88b5"};
	struct sent sent;
	struct err err;
	int fds[2];

	struct loop *l = loop_new(NULL);
	struct net *n = net_new(l, "/tmp");
	struct bridge *b = bridge_new(n, "lan", &err);
	struct port *from = bridge_attach(b, "a", &err);
	struct port *to = bridge_attach(b, "b", &err);
	if (port_plug(from, &fds[0], &err) < 0 ||
	    port_plug(to, &fds[1], &err) < 0)
		return 1;
	make_frame(&sent, port_mac(to), port_mac(from));
	struct stream *s = bridge_capture(b, NULL, &options, &label, &err);
	if (!s) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	pid_t reader = start_guest(fds[1], NULL, 0, 0);
	pid_t sender = start_guest(fds[0], &sent, rate, count);
	printf("%ld\n", count_packets(s, count));
	waitpid(sender, NULL, 0);
	kill(reader, SIGKILL);
	waitpid(reader, NULL, 0);
	stream_free(s);
	bridge_free(b);
	net_free(n);
	loop_free(l);
	return 0;
}

int main(int argc, char **argv)
{
	long rate = argc == 4 ? atol(argv[2]) : 0;
	long count = argc == 4 ? atol(argv[3]) : 0;

	if (rate > 0 && !strcmp(argv[1], "ours"))
		return run_ours(rate, count);
	if (rate > 0 && !strcmp(argv[1], "send"))
		return run_send(rate, count);
	fputs("usage: bench_capture ours|send RATE COUNT\n", stderr);
	return 2;
}
