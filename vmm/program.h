/* SPDX-License-Identifier: MIT */
/*
 * Running a helper program of the host (apt-get, busybox --list-full) to its
 * end: no shell, stdin is /dev/null or given, both outputs collected, bounded
 * in time and bytes. It blocks; it is for set-up, not for the loop.
 */
#ifndef VMM_PROGRAM_H
#define VMM_PROGRAM_H

#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"

#define PROGRAM_OUTPUT_MAX (4 << 20)

/*
 * argv[0] is searched in PATH when it holds no slash; cwd may be NULL. Fills
 * ret_out (the caller's, may be NULL) with stdout and returns 0 when it exited
 * with 0. Else err names the program and ends in the last line of its stderr:
 * -ENOENT where there is no such program, -ETIME at the deadline (it is
 * killed), -EFBIG, -EIO for any other end. It stays in the caller's process
 * group, so that ^C reaches it. When it is killed or its caller dies, a watcher
 * (vmm/watcher.h) kills what it has started; what it leaves at its own end goes
 * on.
 */
int program_run(const char *const *argv, const char *cwd, int64_t deadline_ns,
		struct buf *ret_out, struct err *err);
/* The same with input to read from stdin; its stderr goes to ret_said (the
 * caller's, emptied before), whatever its end. */
int program_feed(const char *const *argv, const struct buf *input,
		 int64_t deadline_ns, struct buf *ret_said, struct err *err);

#endif
