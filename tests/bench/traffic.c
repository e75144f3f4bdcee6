/* SPDX-License-Identifier: MIT */
/*
 * Traffic of a guest, static:
 *	traffic blast ADDRESS PORT SIZE SECONDS
 * sends UDP datagrams as fast as it can, and prints how many.
 *	traffic count PORT
 * counts those of one blast, from the first until none came for half a second;
 * prints how many, and the seconds from the first to the last.
 *	traffic echo PORT
 * sends every datagram back, for ever.
 *	traffic ask ADDRESS PORT SIZE COUNT
 * sends one, waits for it to come back, COUNT times; prints the microseconds of
 * each round trip.
 *	traffic pour ADDRESS PORT SECONDS
 *	traffic drain PORT
 * the same as blast and count over one TCP connection, in bytes.
 * count, echo and drain say "ready" when they listen.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH	     64
#define SLOT	     2048
#define CHUNK	     65536
#define IDLE_MS	     500
#define RECEIVE_ROOM (8 << 20)

static char bytes[BATCH * SLOT];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in address(const char *ip, const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)atoi(port))};

	a.sin_addr.s_addr = ip ? inet_addr(ip) : htonl(INADDR_ANY);
	return a;
}

static int dial(int type, const char *ip, const char *port)
{
	struct sockaddr_in to = address(ip, port);
	int on = 1, fd = socket(AF_INET, type, 0);

	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die(ip);
	return fd;
}

static int listen_on(int type, const char *port)
{
	struct sockaddr_in here = address(NULL, port);
	int on = 1, room = RECEIVE_ROOM, fd = socket(AF_INET, type, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 1) < 0))
		die(port);
	puts("ready");
	fflush(stdout);
	return fd;
}

/* A batch of datagrams of size bytes each, or of SLOT. */
static void batch(struct mmsghdr *msgs, struct iovec *iov, size_t size)
{
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){bytes + (size_t)i * SLOT, size};
		msgs[i] = (struct mmsghdr){
		    .msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
}

static int blast(char **arg)
{
	int fd = dial(SOCK_DGRAM, arg[0], arg[1]);
	double end = now() + atof(arg[3]);
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	long sent = 0;

	batch(msgs, iov, (size_t)atol(arg[2]));
	do {
		int n = sendmmsg(fd, msgs, BATCH, 0);

		/* Nobody listens there: not our affair. */
		if (n < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
			die("sendmmsg");
		sent += n > 0 ? n : 0;
	} while (now() < end);
	printf("%ld\n", sent);
	return 0;
}

static int count(char **arg)
{
	int fd = listen_on(SOCK_DGRAM, arg[0]);
	struct timeval idle = {.tv_usec = IDLE_MS * 1000};
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	double first = 0, last = 0;
	long got = 0;
	int n;

	batch(msgs, iov, SLOT);
	while ((n = recvmmsg(fd, msgs, BATCH, MSG_WAITFORONE, NULL)) > 0) {
		last = now();
		if (!got)
			first = last;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
		got += n;
	}
	printf("%ld %.6f\n", got, last - first);
	return 0;
}

static int echo(char **arg)
{
	int fd = listen_on(SOCK_DGRAM, arg[0]);
	struct sockaddr_in from;

	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, bytes, SLOT, 0,
				     (struct sockaddr *)&from, &len);

		if (n < 0 || sendto(fd, bytes, (size_t)n, 0,
				    (struct sockaddr *)&from, len) < 0)
			die("echo");
	}
}

static int ask(char **arg)
{
	int fd = dial(SOCK_DGRAM, arg[0], arg[1]);
	size_t size = (size_t)atol(arg[2]);

	for (long i = atol(arg[3]); i > 0; i--) {
		double start = now();

		if (send(fd, bytes, size, 0) < 0 ||
		    recv(fd, bytes, SLOT, 0) != (ssize_t)size)
			die("ask");
		printf("%.1f\n", (now() - start) * 1e6);
	}
	return 0;
}

static int pour(char **arg)
{
	int fd = dial(SOCK_STREAM, arg[0], arg[1]);
	double end = now() + atof(arg[2]);
	long sent = 0;

	do {
		ssize_t n = send(fd, bytes, CHUNK, 0);

		if (n < 0)
			die("send");
		sent += n;
	} while (now() < end);
	printf("%ld\n", sent);
	return 0;
}

static int drain(char **arg)
{
	int from = listen_on(SOCK_STREAM, arg[0]);
	int fd = accept(from, NULL, NULL);
	double first = now();
	long got = 0;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		got += n;
	printf("%ld %.6f\n", got, now() - first);
	return n < 0;
}

static const struct {
	const char *name;
	int args;
	int (*run)(char **arg);
} modes[] = {
    {"blast", 4, blast}, {"count", 1, count}, {"echo", 1, echo},
    {"ask", 4, ask},	 {"pour", 3, pour},   {"drain", 1, drain},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc == modes[i].args + 2 &&
		    !strcmp(argv[1], modes[i].name))
			return modes[i].run(argv + 2);
	fputs("usage: traffic blast|count|echo|ask|pour|drain ARGUMENTS\n",
	      stderr);
	return 2;
}
