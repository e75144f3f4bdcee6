/* SPDX-License-Identifier: MIT */
/*
 * The raw end of a transport: connects to a unix socket; for each number that
 * it reads from stdin it sends one byte, reads that many bytes, and prints how
 * many seconds that took.
 *	sink_client SOCKET
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char bytes[256 << 10];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int drain(int fd, long left)
{
	double start = now();

	if (write(fd, "g", 1) != 1)
		return -1;
	while (left > 0) {
		ssize_t n = read(fd, bytes, sizeof(bytes));

		if (n <= 0)
			return -1;
		left -= n;
	}
	printf("%.6f\n", now() - start);
	return fflush(stdout);
}

int main(int argc, char **argv)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char line[32];

	if (argc != 2) {
		fputs("usage: sink_client SOCKET\n", stderr);
		return 2;
	}
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", argv[1]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		perror(argv[1]);
		return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		if (drain(fd, atol(line)) < 0) {
			fputs("sink_client: it ended early\n", stderr);
			return 1;
		}
	}
	return 0;
}
