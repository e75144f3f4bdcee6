/* SPDX-License-Identifier: MIT */
/*
 * Nothing that a program has started outlives who started the program. A small
 * process holds one end of a pipe. When the other end closes, because its owner
 * says so or was killed, it kills what the program has left: its process group,
 * and every process whose environment carries the program's mark, whoever its
 * parent is by then. PR_SET_PDEATHSIG reaches a direct child only, and not one
 * that has changed its user.
 */
#ifndef VMM_WATCHER_H
#define VMM_WATCHER_H

#include <sys/types.h>

#include "agent-proto/err.h"

#define WATCHER_MARK	 "PROVIUM_PROCESS"
#define WATCHER_MARK_MAX 64

struct watcher {
	int fd;	   /* the owner's end of the pipe; -1: no watcher */
	pid_t pid; /* of the watching process */
	char mark[WATCHER_MARK_MAX];
};

/* Makes a mark that no other program has. There is no process yet. */
void watcher_init(struct watcher *w);
/* The environment of a program to be watched: environ with the mark added to
 * those of programs around it. Owned by the caller: one block for free(). */
char **watcher_environ(const struct watcher *w);
/* Starts to watch a program that has not begun yet and leads the process group;
 * 0: it leads none. 0 or -errno. */
int watcher_start(struct watcher *w, pid_t group);
/* Kills what the program has left, and waits until that is done, or for some
 * seconds: who is in state D dies later. Idempotent. */
void watcher_end(struct watcher *w);
/* Leaves what the program has started alone. Idempotent. */
void watcher_dismiss(struct watcher *w);

#endif
