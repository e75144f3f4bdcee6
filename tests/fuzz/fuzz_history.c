/* SPDX-License-Identifier: MIT */
/* Any bytes as a history file: refused with one line, or asked about a file. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "runner/history.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char path[64], file[] = "/base/a.test.lua", name[] = "a.test.lua";
	struct test_file f = {.path = file, .display = name};
	struct strvec rules = {0};
	struct err err = {0};
	int fd = memfd_create("history", MFD_CLOEXEC);

	if (fd < 0 || write(fd, p, n) != (ssize_t)n)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	struct history *h = history_open(path, "/base", &err);
	if (h) {
		history_hint(h, &f);
		history_add_reruns(h, &f, &rules);
	} else {
		assert(err.code < 0 && !strchr(err.text, '\n'));
	}
	strvec_done(&rules);
	history_free(h);
	close(fd);
	return 0;
}
