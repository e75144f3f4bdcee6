/* SPDX-License-Identifier: MIT */
/*
 * Running a command in the guest to its end: one write of pipelined requests
 * (SPAWN, two PROC_OUTPUT until exit, PROC_WAIT, RELEASE), one round trip.
 */
#ifndef STREAMS_EXEC_H
#define STREAMS_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "streams/client.h"
#include "streams/op.h"

/* What to run; all borrowed for the call that takes it, but stdin_bytes until
 * the op is done. */
struct exec_spec {
	const char *const *argv; /* NULL-terminated, at least one */
	const char *const *env;	 /* NAME=VALUE, NULL-terminated, or NULL */
	bool env_clear;
	const char *cwd;	    /* NULL: "/" */
	const uint8_t *stdin_bytes; /* NULL: stdin is /dev/null */
	size_t stdin_len;
};

/*
 * Finishes with 0 when the process has exited and its output is complete. At
 * the deadline the process group is killed, and the op finishes with 0 too,
 * timed_out set, with the output so far; it waits for the guest's word on
 * that EXEC_KILL_GRACE_NS at the most. A command that cannot be started
 * finishes with the guest's -errno and a text that names it. That the command
 * did not read all of its stdin is no failure.
 */
struct exec {
	struct op op;
	struct buf out;
	struct buf err_out;
	bool signalled;
	bool timed_out;
	int status; /* exit code, or the signal's number */
	int64_t duration_ns;
	size_t max_output; /* of each of the two; more is -EFBIG.
			    * CALL_DATA_MAX, or less as set before the start */
	void *priv;
};

#define EXEC_KILL_GRACE_NS (40 * NS_PER_MS)

/* Owned by the caller. */
struct exec *exec_new(struct client *c);
void exec_start(struct exec *x, const struct exec_spec *spec,
		int64_t deadline_ns);
struct exec *exec_free(struct exec *x);

/* Builds the SPAWN message of a spec into out (for asynchronous processes).
 * -E2BIG etc. through err. stdin_pipe: leave stdin open for PROC_STDIN. */
int exec_encode_spawn(const struct exec_spec *spec, uint64_t handle,
		      bool stdin_pipe, struct msg *ret_msg,
		      struct buf *ret_store, struct err *err);

#endif
