/* SPDX-License-Identifier: MIT */
/*
 * Scope-bound release: CLEANUP(fd_closep) int fd = -1; closes fd on every way
 * out of the scope, and `return TAKE_FD(fd)` passes it on instead. Not to be
 * live across a call that may raise a Lua error.
 */
#ifndef AGENT_PROTO_CLEANUP_H
#define AGENT_PROTO_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

#define TAKE(ptr)                                                              \
	__extension__({                                                        \
		__typeof__(ptr) take_ = (ptr);                                 \
		(ptr) = NULL;                                                  \
		take_;                                                         \
	})

#define TAKE_FD(fd)                                                            \
	__extension__({                                                        \
		int take_ = (fd);                                              \
		(fd) = -1;                                                     \
		take_;                                                         \
	})

/* For CLEANUP(free_ptr) on any pointer from malloc, and for a member of what
 * lives on: it is NULL afterwards. */
static inline void free_ptr(void *pp)
{
	void **p = pp;

	free(*p);
	*p = NULL;
}

static inline void fd_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void file_closep(FILE **f)
{
	if (*f)
		fclose(*f);
	*f = NULL;
}

static inline void dir_closep(DIR **d)
{
	if (*d)
		closedir(*d);
	*d = NULL;
}

#endif
