/* SPDX-License-Identifier: MIT */
#include "vmm/image_chain.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/qcow2.h"

#define PREFIX "file:"

/* Whether the file is a qcow2 image that could be read. */
static bool read_names(const char *path, struct qcow2_names *ret)
{
	CLEANUP(fd_closep)
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	CLEANUP(free_ptr) uint8_t *head = mem_alloc(QCOW2_NAMES_AT_MAX);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	n = pread(fd, head, QCOW2_NAMES_AT_MAX, 0);
	return n > 0 && qcow2_find_names(head, (size_t)n, ret);
}

/* The path of a file that the image names; owned. */
static char *resolve(const char *image, const char *name)
{
	const char *slash = strrchr(image, '/');

	if (!strncmp(name, PREFIX, strlen(PREFIX)))
		name += strlen(PREFIX);
	if (*name == '/' || !slash)
		return mem_strdup(name);
	return mem_printf("%.*s/%s", (int)(slash - image), image, name);
}

void image_chain(const char *path, struct strvec *ret)
{
	CLEANUP(free_ptr)
	struct qcow2_names *names = mem_zalloc(sizeof(*names));
	size_t end = ret->n + IMAGE_CHAIN_MAX;
	char *at = mem_strdup(path);

	while (at) {
		char *next = NULL;

		strvec_add(ret, at);
		if (ret->n + 1 < end && !names->backing_is_raw &&
		    read_names(at, names)) {
			CLEANUP(free_ptr) char *data = resolve(at, names->data);

			if (*names->data)
				strvec_add(ret, data);
			if (*names->backing)
				next = resolve(at, names->backing);
		}
		free(at);
		at = next;
	}
}
