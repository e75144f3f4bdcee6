/* SPDX-License-Identifier: MIT */
/*
 * The words of a kernel command line, and what a user's line lacks for the rest
 * of the machine: serial ports that qemu_args add, and messages that alarms
 * wait for.
 */
#ifndef VMM_CMDLINE_H
#define VMM_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>

/* Level of the console that shows warnings: KERN_WARNING is 4, and messages
 * below the level are shown (Linux, include/linux/kern_levels.h). */
#define CMDLINE_WARNINGS 5

struct cmdline_span {
	const char *p; /* borrowed from the line; NULL: there is no value */
	size_t n;
};

struct cmdline_word {
	struct cmdline_span text; /* all of it, with its quotes */
	struct cmdline_span key;
	struct cmdline_span value;
};

/*
 * Reads the word at *at as the kernel does (Linux, lib/cmdline.c, next_arg()):
 * quotes protect spaces, and those around the word or its value are no part of
 * it. *at moves behind the word. Returns false at the end of the line and at
 * `--`, behind which are the arguments of init; *at is there then.
 */
bool cmdline_next(const char **at, struct cmdline_word *ret);
/* Whether the word has this key. '-' and '_' are alike (Linux,
 * kernel/params.c, parameq()). */
bool cmdline_is(const struct cmdline_word *w, const char *key);

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
