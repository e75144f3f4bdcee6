/* SPDX-License-Identifier: MIT */
/* An open file of the host's, and what is being done with it, in order. */
#ifndef AGENT_FILE_H
#define AGENT_FILE_H

#include <stdbool.h>
#include <sys/queue.h>

#include "cmd/provium-agent/core/handle.h"

struct file_op;

struct file {
	struct handle h;
	int fd;
	char *path;
	bool released;	/* no handle names it any more */
	bool advancing; /* guards against recursion */
	/* All share one position, so one at a time, as they arrived. */
	TAILQ_HEAD(file_op_list, file_op) queue;
};

/* The open file that id names; NULL, EBADF, for none or another kind. */
struct file *file_find(const struct handle_table *t, uint64_t id);

#endif
