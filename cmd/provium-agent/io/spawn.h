/* SPDX-License-Identifier: MIT */
/* Starting a program: the child's part of SPAWN. */
#ifndef AGENT_SPAWN_H
#define AGENT_SPAWN_H

#include <sys/types.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/guest.h"

#define SPAWN_PATH_DEFAULT                                                     \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Everything borrowed for the call. */
struct spawn {
	const struct guest *guest;
	char *const *argv; /* argv[0] without a slash is searched in PATH */
	char *const *envp;
	const char *cwd; /* NULL: where we are */
	int fds[3];	 /* all >= 3 */
};

/* Returns the pid, or -errno with the reason: "run 'x': No such file ...". */
pid_t spawn_run(const struct spawn *sp, struct err *err);

#endif
