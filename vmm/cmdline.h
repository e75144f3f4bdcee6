/* SPDX-License-Identifier: MIT */
/*
 * What a user's kernel command line lacks for the rest of the machine: serial
 * ports that qemu_args add, and messages that alarms wait for.
 */
#ifndef VMM_CMDLINE_H
#define VMM_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>

/* Level of the console that shows warnings: KERN_WARNING is 4, and messages
 * below the level are shown (Linux, include/linux/kern_levels.h). */
#define CMDLINE_WARNINGS 5

/*
 * The line of the user, whose own words win over provium's (kernel_cmdline()),
 * with
 * - 8250.nr_uarts= before it, where qemu_args have serial ports: else the
 *   kernel takes one port, which is then not the console's;
 * - loglevel= behind it, where alarms are set and its last quiet or loglevel=
 *   hides warnings.
 * Owned by the caller.
 */
char *cmdline_complete(const char *user, const char *const *qemu_args,
		       size_t n_qemu_args, bool has_alarms);

#endif
