/* SPDX-License-Identifier: MIT */
/*
 * Processes that the host started. One lives until it has been reaped, its
 * handle was released, nobody serves a channel for it, and its pipes are at
 * their end.
 */
#ifndef AGENT_PROC_H
#define AGENT_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "agent-proto/err.h"
#include "cmd/provium-agent/core/handle.h"
#include "cmd/provium-agent/core/watch.h"
#include "cmd/provium-agent/io/spool.h"

struct server;
struct service;
struct proc_wait;
struct proc_stdin;
struct worker_link;

struct proc {
	struct handle h;
	LIST_ENTRY(proc) link;
	struct server *srv;
	unsigned refs;
	pid_t pid;
	bool exited; /* and reaped */
	bool signalled;
	int status;
	int64_t start_ns;
	int64_t duration_ns;
	struct spool out[2]; /* fd 1, fd 2 */
	int stdin_fd;	     /* -1: none, or closed */
	bool stdin_pumping;  /* guards against recursion */
	struct watch stdin_w;
	TAILQ_HEAD(proc_stdin_list, proc_stdin)
	stdin_queue; /* the first one writes */
	TAILQ_HEAD(proc_wait_list, proc_wait) waiters;
	int worker_fd;		       /* a worker's session; -1: it is none */
	struct worker_link *link_task; /* who serves it, or NULL */
	_Atomic uint32_t *abandoned;   /* guest.h; NULL: no worker */
};

#define ABANDONED_SIZE (GUEST_ABANDONED * sizeof(_Atomic uint32_t))

/* State: all processes of one server. */
extern const struct service procs_service;

/* NULL for none or another kind. */
struct proc *proc_find(const struct handle_table *t, uint64_t id);

/* Starts it under a handle that handle_check() has passed. Returns NULL with
 * the reason. */
struct proc *proc_new(struct server *s, uint64_t handle, char *const *argv,
		      char *const *envp, const char *cwd, bool stdin_pipe,
		      struct err *err);
/* Forks this very program: run() is what the child does, with stdout and
 * stderr piped as for any process, and does not return. */
struct proc *proc_fork(struct server *s, uint64_t handle,
		       void (*run)(struct server *s, void *ctx), void *ctx,
		       struct err *err);
void proc_ref(struct proc *p);
void proc_unref(struct proc *p);

/* proc_stdin.c: writes what is queued; ends it all with EPIPE when nobody
 * reads. */
void proc_stdin_init(struct proc *p);
void proc_stdin_close(struct proc *p);
/* The process has exited: closes its stdin, unless a grandchild reads it. */
void proc_stdin_exited(struct proc *p);
/* ops_proc.c: answers EXITED to all who wait. */
void proc_tell_exit(struct proc *p);

#endif
