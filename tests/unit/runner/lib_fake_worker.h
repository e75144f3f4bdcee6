/* SPDX-License-Identifier: MIT */
/*
 * A worker that does what its test file says, a line a step:
 *
 *	emit JSON	an event, and its mark in the output
 *	raw TEXT	bytes and a newline on the socket
 *	long		a line without end on the socket
 *	print TEXT	on standard output
 *	part TEXT	the same without a newline
 *	flood NUMBER	that many kB on standard output; 0: for ever
 *	die NUMBER	by that signal
 *	exit NUMBER
 *	hang		until killed
 *	nap NUMBER	of milliseconds
 *	deaf		ignore SIGTERM
 *	close		the socket
 *	pid FILE	its own, into a file
 *	orphan FILE	leave a process behind, its pid in FILE
 *	touch FILE	in the run directory
 *	signal NUMBER	to the parent
 *	listen		keep the parent's question what it waits for
 *	asked JSON	wait for that question, then emit JSON
 *	answer TEXT	wait for the pool's answer, which holds TEXT
 *
 * "?NAME STEP" is done only if the job does not say to skip test NAME, "@STEP"
 * only where other files run at the same time.
 */
#ifndef TESTS_RUNNER_LIB_FAKE_WORKER_H
#define TESTS_RUNNER_LIB_FAKE_WORKER_H

struct job;
struct lua_State;

/* A run_worker of runner/run.h. */
int fake_worker(struct lua_State *L, const struct job *job, int fd);

#endif
