/* SPDX-License-Identifier: MIT */
/*
 * A child process that cannot outlive us: QEMU. It has a process group of its
 * own (so that ^C on the terminal is ours to handle), no stdin, and its output
 * is kept, the end of it, to tell why it failed.
 */
#ifndef VMM_PROCESS_H
#define VMM_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "streams/loop.h"

/* So much of the end of stdout and stderr is kept. */
#define PROCESS_OUTPUT_MAX 8192

struct process;

/* status: as of waitpid(2). All output is in by then. Called once, from the
 * loop; may free the process. */
typedef void (*process_exit_cb)(void *ctx, int status);

/*
 * Starts argv[0], a path or a name in PATH, with the fds open under their own
 * numbers (all > 2; the caller keeps its copies) and none else. When it
 * returns, the program runs, or err says why it cannot. All is borrowed.
 */
struct process *process_new(struct loop *l, const char *const *argv,
			    const int *fds, size_t n_fds,
			    process_exit_cb on_exit, void *ctx,
			    struct err *err);
/* Kills the group with SIGKILL and reaps, without waiting for longer than
 * PROCESS_REAP_MS; no callback. */
struct process *process_free(struct process *p);

#define PROCESS_REAP_MS 2000

/* -1 once it was reaped. */
pid_t process_pid(const struct process *p);
/* Signals the group; no effect once it was reaped. */
void process_kill(struct process *p, int signo);
/* The end of what it printed, as it is. */
const struct buf *process_output(const struct process *p);

/* Appends "exited with status 1" or "was killed by signal 9 (Killed)". */
void process_describe(int status, struct buf *out);

#endif
