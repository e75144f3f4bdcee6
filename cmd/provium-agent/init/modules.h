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

/* Loads them in order. A module that is loaded already is passed over, and so
 * is one that the kernel has built in, by its modules.builtin. Prints each
 * module that is absent, and every other failure, to stderr. */
void modules_load(const struct strvec *names);
/* The same for modules that the guest need not have: prints nothing of an
 * absent one. */
void modules_try(const struct strvec *names);

#endif
