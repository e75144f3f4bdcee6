/* SPDX-License-Identifier: MIT */
/*
 * Round trips of 64 bytes over a unix socket whose other end sends a line when
 * it is ready, then echoes what it gets:
 *	echo_client SOCKET COUNT
 * prints p50 and p99 in microseconds.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 64

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int round_trip(int fd)
{
	char buf[MESSAGE] = "ping";
	size_t got = 0;

	if (write(fd, buf, sizeof(buf)) != (ssize_t)sizeof(buf))
		return -1;
	while (got < sizeof(buf)) {
		ssize_t n = read(fd, buf + got, sizeof(buf) - got);

		if (n <= 0)
			return -1;
		got += (size_t)n;
	}
	return 0;
}

static int wait_ready(int fd)
{
	char c;

	do {
		if (read(fd, &c, 1) != 1)
			return -1;
	} while (c != '\n');
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int count = argc == 3 ? atoi(argv[2]) : 0;

	if (count < 100) {
		fputs("usage: echo_client SOCKET COUNT (100 or more)\n",
		      stderr);
		return 2;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", argv[1]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		perror(argv[1]);
		return 1;
	}
	double *took = calloc((size_t)count, sizeof(*took));
	if (!took)
		return 1;
	if (wait_ready(fd) < 0) {
		fputs("echo_client: no echo there\n", stderr);
		return 1;
	}
	for (int i = 0; i < count; i++) {
		double start = now_us();

		if (round_trip(fd) < 0) {
			fputs("echo_client: the echo ended\n", stderr);
			return 1;
		}
		took[i] = now_us() - start;
	}
	qsort(took, (size_t)count, sizeof(*took), by_value);
	printf("%.1f %.1f\n", took[count / 2], took[count * 99 / 100]);
	free(took);
	close(fd);
	return 0;
}
