/* SPDX-License-Identifier: MIT */
/* The real agent program, as a process of this machine. */
#ifndef LIB_REAL_AGENT_H
#define LIB_REAL_AGENT_H

#include <sys/types.h>

/* Runs it on a copy of fd, which stays the caller's. Its pid is the caller's
 * to wait for. */
pid_t real_agent_run(int fd);

#endif
