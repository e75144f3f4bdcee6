/* SPDX-License-Identifier: MIT */
#include "tests/unit/streams/lib_real_agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <spawn.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent-proto/mem.h"

pid_t real_agent_run(int fd)
{
	const char *b = getenv("PROVIUM_B");
	char *path = mem_printf("%s/provium-agent-test", b ? b : PROVIUM_B);
	int copy = dup(fd); /* this one is inherited */
	char *arg = mem_printf("%d", copy);
	char mode[] = "--fd";
	char *const v[] = {path, mode, arg, NULL};
	pid_t pid;

	assert_int_equal(0, posix_spawn(&pid, path, NULL, NULL, v, environ));
	close(copy);
	free(path);
	free(arg);
	return pid;
}
