/* SPDX-License-Identifier: MIT */
/*
 * Loading kernel modules. A name is an absolute path, or a file or module
 * name that is looked for in /.provium/modules and then, by its modules.dep,
 * in /lib/modules/<release>, whence its dependencies come first. Compressed
 * modules need a kernel that unpacks them itself (5.17).
 */
#ifndef AGENT_MODULES_H
#define AGENT_MODULES_H

#include "agent-proto/mem.h"

#define MODULES_DIR "/.provium/modules"

/* In order. What is loaded already, built in or not there is passed over;
 * other failures are printed to stderr. */
void modules_load(const struct strvec *names);

#endif
