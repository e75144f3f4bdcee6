/* SPDX-License-Identifier: MIT */
/*
 * A producer for a guest, static:
 *	pump SIZE TOTAL [PATH]
 * waits for a byte on stdin, then writes TOTAL bytes, SIZE at a time, to PATH
 * (opened with O_APPEND) or stdout.
 *	pump cat
 * copies stdin to stdout, 64 KiB at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK 65536

static char bytes[CHUNK];

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

static int copy(void)
{
	ssize_t n;

	while ((n = read(0, bytes, sizeof(bytes))) > 0)
		if (write_all(1, bytes, (size_t)n) < 0)
			return 1;
	return n < 0;
}

int main(int argc, char **argv)
{
	char go;

	if (argc == 2 && !strcmp(argv[1], "cat"))
		return copy();
	size_t size = argc > 2 ? (size_t)atol(argv[1]) : 0;
	size_t left = argc > 2 ? (size_t)atol(argv[2]) : 0;
	int fd = argc > 3 ? open(argv[3], O_WRONLY | O_APPEND) : 1;

	if (!size || size > CHUNK || fd < 0) {
		fputs("usage: pump SIZE TOTAL [PATH] | pump cat\n", stderr);
		return 2;
	}
	memset(bytes, 'x', sizeof(bytes));
	if (read(0, &go, 1) != 1)
		return 1;
	for (; left; left -= size) {
		if (size > left)
			size = left;
		if (write_all(fd, bytes, size) < 0)
			return 1;
	}
	return 0;
}
