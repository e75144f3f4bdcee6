/* SPDX-License-Identifier: MIT */
/* Any bytes as the job that a worker reads: refused with one line, or a job
 * that says the same when it is written and read again. */
#include <assert.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "runner/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct job job = {0}, again = {0};
	struct buf a = {0}, b = {0};
	struct err err = {0};

	if (job_decode(&job, (const char *)p, n, &err) < 0) {
		assert(err.code < 0 && !strchr(err.text, '\n'));
	} else {
		job_encode(&job, &a);
		assert(a.len && buf_data(&a)[a.len - 1] == '\n');
		assert(
		    !job_decode(&again, (char *)buf_data(&a), a.len - 1, &err));
		job_encode(&again, &b);
		assert(a.len == b.len &&
		       !memcmp(buf_data(&a), buf_data(&b), a.len));
		job_done(&again);
	}
	job_done(&job);
	buf_done(&a);
	buf_done(&b);
	return 0;
}
