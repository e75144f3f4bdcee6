/* SPDX-License-Identifier: MIT */
/*
 * What a run may use of this host: the budget of its pool, and whether the
 * host is under pressure.
 */
#ifndef RUNNER_BUDGET_H
#define RUNNER_BUDGET_H

#include <stdbool.h>

#include "runner/pool.h"

/* Guests mostly wait. With as many files at a time as CPUs, each has room for
 * eight, and files do not get into each other's way for vCPUs. */
#define BUDGET_OVERCOMMIT 8.0

/* What the user said; zero where nothing was. */
struct budget_wish {
	uint64_t memory; /* bytes */
	unsigned cpus;	 /* vCPUs */
	double overcommit;
};

/* Where to look; tests have their own. */
struct budget_probe {
	const char *meminfo;
	const char *cgroup; /* /proc/self/cgroup */
	const char *mounts; /* /sys/fs/cgroup */
	unsigned cpus;	    /* 0: as many as this process may run on */
};

/*
 * Memory: 80 % of what is available, which is MemAvailable of the host, or
 * less where a control group (version 1 or 2) or one above it has a limit; page
 * cache that can be dropped counts as available. vCPUs: CPUs of the host times
 * overcommit. probe NULL: this host.
 */
void budget_find(const struct budget_probe *probe,
		 const struct budget_wish *wish, struct pool_budget *ret);

/* CPUs that this process may run on, 1 at least. */
unsigned budget_cpus(void);

/* Some tasks waited for memory, or for a CPU, for much of the last ten
 * seconds: dir/memory and dir/cpu, as of /proc/pressure (kernel:
 * Documentation/accounting/psi.rst). False where they cannot be read. dir NULL:
 * the host's. */
bool budget_is_pressed(const char *dir);

#endif
