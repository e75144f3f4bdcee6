/* SPDX-License-Identifier: MIT */
/*
 * What the agent holds of the machine it runs on: descriptors of the kernel's
 * file systems that stay valid whatever init does with the mount tree, and
 * the root directory, which follows that of PID 1.
 */
#ifndef AGENT_GUEST_H
#define AGENT_GUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "agent-proto/err.h"

#define GUEST_ABANDONED 1024

struct guest {
	int proc_fd; /* a procfs, a sysfs, a devtmpfs; -1: none */
	int sys_fd;
	int dev_fd;
	int null_fd;	   /* /dev/null */
	int button_fd;	   /* a pipe that ends once init listens; or -1 */
	bool owns_machine; /* SHUTDOWN may power it off */
	bool is_worker;	   /* what it is stays: root, limits, signals */
	/* A worker's, shared with the agent: the channels whose calls are given
	 * up, each at its number modulo GUEST_ABANDONED. */
	_Atomic uint32_t *abandoned;
	bool foreign_init;    /* PID 1 is not ours: its root may move */
	uint64_t n_files;     /* of the boot options, in their places */
	struct err files_err; /* why they are not; code 0: they are */
	struct rlimit nofile; /* what children get */
	dev_t root_dev;	      /* PID 1's root when last seen */
	ino_t root_ino;
};

/* From the mounts that are there: for a run that is not PID 1's child. */
void guest_init_mounted(struct guest *g);
/* From mounts of their own that nobody else sees. */
void guest_init_detached(struct guest *g);
void guest_done(struct guest *g);

/* Not to be chosen by the OOM killer, no SIGPIPE, many files. */
void guest_protect_agent(struct guest *g);

/* In a forked worker: a principal of its own, with the descriptors of g and
 * keep_fd and no others, that the OOM killer may choose. */
void guest_become_worker(struct guest *g, int keep_fd);

/*
 * Moves a descriptor of the agent's own out of the way of those that raw
 * system calls open: a test may expect the lowest number, or close 3. Returns
 * the new one, or the same when that cannot be.
 */
int guest_fd_up(int take_fd);

/*
 * After a switch_root of PID 1 makes its new root ours. Does nothing while
 * that root is the one last seen, so a chroot of our own stays.
 */
void guest_follow_root(struct guest *g);

#endif
