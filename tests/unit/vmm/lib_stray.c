/* SPDX-License-Identifier: MIT */
#include "tests/unit/vmm/lib_stray.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Nothing here takes long; this is for a test that hangs. */
#define PATIENCE_MS 60000

void stray_script(char script[STRAY_SCRIPT_MAX], char path[STRAY_PATH_MAX])
{
	strcpy(path, "/tmp/provium-stray-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	snprintf(script, STRAY_SCRIPT_MAX,
		 "(setsid sh -c 'echo $$ >%s; exec sleep 1000' &) ; "
		 "exec sleep 1000",
		 path);
}

pid_t stray_read_pid(const char *path)
{
	int pid = 0;

	for (int i = 0; i < 6000 && pid <= 0; i++) {
		FILE *file = fopen(path, "r");

		if (!file || fscanf(file, "%d", &pid) != 1)
			poll(NULL, 0, 10);
		if (file)
			fclose(file);
	}
	assert_true(pid > 0);
	return pid;
}

bool stray_exists(pid_t pid)
{
	return kill(pid, 0) == 0;
}

void stray_assert_dies(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	if (fd < 0) {
		assert_int_equal(errno, ESRCH);
		return;
	}
	bool is_dead = poll(&pfd, 1, PATIENCE_MS) == 1;
	if (!is_dead)
		kill(pid, SIGKILL);
	close(fd);
	assert_true(is_dead);
}
