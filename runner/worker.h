/* SPDX-License-Identifier: MIT */
/*
 * What a worker process has one of. Every binding finds it with
 * worker_of(L); nothing in the worker is a global.
 */
#ifndef RUNNER_WORKER_H
#define RUNNER_WORKER_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "runner/await.h"
#include "runner/bind_barrier.h"
#include "runner/config.h"
#include "runner/deps.h"
#include "runner/event.h"
#include "runner/job.h"
#include "runner/rundir.h"
#include "runner/scope.h"
#include "runner/suite.h"
#include "streams/loop.h"
#include "vmm/net/bridge.h"

struct worker {
	const struct job *job;	 /* borrowed */
	struct event_sink *sink; /* borrowed */
	struct loop *loop;
	lua_State *L; /* the main coroutine */
	struct await await;
	struct failure origin;	      /* see lua_state_keep_origin() */
	struct barrier_list barriers; /* at which somebody waits */
	struct suite suite;
	struct selection *selection;
	struct scope *file_scope;
	struct scope *scope; /* where new objects go; the file's or a test's */
	struct config config;
	bool has_config;
	bool is_over;		 /* file_end is said: nothing more may be */
	struct vm_factory *vms;	 /* NULL until worker_vms() */
	struct net *net;	 /* NULL until worker_net() */
	struct rundir snapshots; /* path NULL until it is needed */
	struct strvec verified;	 /* RAM files of snapshots */
	/* While it builds a fixture: what that is made from, and where its
	 * snapshots go; borrowed. Else NULL. */
	struct deps *deps;
	const char *snapshot_base;
	int *kept_fds; /* owned array; closed with the worker */
	size_t n_kept_fds;
	struct claims *claims;
	struct site claim_site; /* of lab:claim; line 0: none yet */
};

/* In the caller's storage; job and sink are borrowed for its life. take_L: as
 * lua_state_new() makes it, NULL: it makes one itself. */
int worker_init(struct worker *w, const struct job *job,
		struct event_sink *sink, lua_State *take_L, struct err *err);
/* Its parent answers on fd; without that, it has all resources. */
void worker_connect(struct worker *w, int fd);
/* Closes every scope, then the Lua state. */
void worker_done(struct worker *w);

/* Loads the job's file, then runs its tests; events tell the outcome. */
void worker_run_file(struct worker *w);

/* Runs the file of a fixture, whose value is then on the stack. 0, or -1 with
 * f. */
int worker_run_fixture(struct worker *w, struct failure *f);
/* Keeps it open for the worker's life. */
void worker_keep_fd(struct worker *w, int take_fd);

/*
 * What a worker process does: runs the job's file, writes events to fd
 * (runner/event.h), on which its run answers. The exit status: 0 when every
 * event was written.
 */
int worker_main(lua_State *take_L, const struct job *job, int fd);

struct worker *worker_of(lua_State *L);

/* Made when first asked for. */
struct vm_factory *worker_vms(struct worker *w);
struct net *worker_net(struct worker *w);

/* A new folder on disk that goes with this process, however it ends; owned,
 * NULL with err. */
char *worker_new_snapshot_dir(struct worker *w, struct err *err);
/* Whether a snapshot holds what was written; its RAM is read the first time
 * only. 0 or -errno. */
struct snapshot;
int worker_verify_snapshot(struct worker *w, const struct snapshot *s,
			   struct err *err);

/* Fills in file, and hands ev to the sink; drops the reference. */
void worker_emit(struct worker *w, json_t *take_ev);

#endif
