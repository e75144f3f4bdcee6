/* SPDX-License-Identifier: MIT */
#include "runner/budget.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"

/* In per cent of the last ten seconds. Memory: the host is thrashing long
 * before that. CPU: guests that boot at the same time come near it alone. */
#define PRESSURE_MEMORY 10.0
#define PRESSURE_CPU	90.0

#define GROUP_LINE_MAX	4096

/* The files of a memory control group, by version. */
struct group_kind {
	const char *below; /* its folder in the mounts */
	const char *limit;
	const char *usage;
	const char *reclaimable; /* key in memory.stat */
};

static const struct group_kind kinds[] = {
    {"", "memory.max", "memory.current", "inactive_file"},
    {"/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "total_inactive_file"},
};

static bool budget_read_line(const char *path, char *line, int size)
{
	FILE *in = fopen(path, "re");
	bool is = in && fgets(line, size, in);

	if (in)
		fclose(in);
	return is;
}

/* The number behind key in a file of "key number" lines. */
static bool budget_read_key(const char *path, const char *key, uint64_t *ret)
{
	FILE *in = fopen(path, "re");
	size_t n = strlen(key);
	char line[256];
	bool is = false;

	while (in && !is && fgets(line, sizeof(line), in)) {
		is = !strncmp(line, key, n) && strchr(": ", line[n]);
		if (is)
			*ret = strtoull(line + n + 1, NULL, 10);
	}
	if (in)
		fclose(in);
	return is;
}

/* --- memory ---------------------------------------------------------------*/

static bool budget_read_number(const char *dir, const char *name, uint64_t *ret)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", dir, name);
	char line[64];

	/* "max" is no number. */
	if (!budget_read_line(path, line, sizeof(line)) || *line < '0' ||
	    *line > '9')
		return false;
	*ret = strtoull(line, NULL, 10);
	return true;
}

static void look_at_group(const char *dir, const struct group_kind *k,
			  uint64_t *least)
{
	CLEANUP(free_ptr) char *stat = mem_printf("%s/memory.stat", dir);
	uint64_t limit, usage, reclaimable = 0;

	if (!budget_read_number(dir, k->limit, &limit) ||
	    !budget_read_number(dir, k->usage, &usage))
		return;
	budget_read_key(stat, k->reclaimable, &reclaimable);
	usage -= reclaimable < usage ? reclaimable : usage;
	uint64_t left = usage < limit ? limit - usage : 0;
	if (left < *least)
		*least = left;
}

/* The group of this process and those above it. In a container it may be
 * named from outside: then it is the root of what is mounted. */
static void look_at_groups(const char *mounts, const char *group,
			   const struct group_kind *k, uint64_t *least)
{
	CLEANUP(free_ptr)
	char *dir = mem_printf("%s%s%s", mounts, k->below, group);
	size_t top = strlen(mounts) + strlen(k->below);

	for (;;) {
		char *slash = strrchr(dir, '/');

		look_at_group(dir, k, least);
		if (strlen(dir) <= top || !slash)
			return;
		*slash = '\0';
	}
}

/* Whether the line of /proc/self/cgroup is about memory: its group, and the
 * kind. */
static const char *group_of(char *line, const struct group_kind **ret)
{
	char *controllers = strchr(line, ':');
	char *group = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!group)
		return NULL;
	*controllers++ = '\0';
	*group++ = '\0';
	group[strcspn(group, "\n")] = '\0';
	if (!strcmp(group, "/"))
		group++;
	if (!*controllers && !strcmp(line, "0"))
		*ret = &kinds[0];
	else if (!strcmp(controllers, "memory"))
		*ret = &kinds[1];
	else
		return NULL;
	return group;
}

static uint64_t find_memory(const struct budget_probe *p)
{
	char line[GROUP_LINE_MAX];
	uint64_t least = UINT64_MAX;
	uint64_t kib;
	FILE *in;

	if (budget_read_key(p->meminfo, "MemAvailable", &kib))
		least = kib * 1024;
	in = fopen(p->cgroup, "re");
	while (in && fgets(line, sizeof(line), in)) {
		const struct group_kind *k;
		const char *group = group_of(line, &k);

		if (group)
			look_at_groups(p->mounts, group, k, &least);
	}
	if (in)
		fclose(in);
	return least;
}

/* --- the budget -----------------------------------------------------------*/

unsigned budget_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return CPU_COUNT(&set) > 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static void set_memory(const struct budget_probe *p,
		       const struct budget_wish *wish, struct pool_budget *ret)
{
	char size[POOL_SIZE_TEXT];
	uint64_t all;

	if (wish->memory) {
		ret->amount.memory = wish->memory;
		snprintf(ret->memory_note, sizeof(ret->memory_note), ": --mem");
		return;
	}
	all = find_memory(p);
	ret->amount.memory = all / 5 * 4;
	snprintf(ret->memory_note, sizeof(ret->memory_note),
		 " of %s available: --mem", pool_size_text(all, size));
}

static void set_cpus(const struct budget_probe *p,
		     const struct budget_wish *wish, struct pool_budget *ret)
{
	double by = wish->overcommit > 0 ? wish->overcommit : BUDGET_OVERCOMMIT;
	unsigned n = p->cpus ? p->cpus : budget_cpus();

	if (wish->cpus) {
		ret->amount.cpus = wish->cpus;
		snprintf(ret->cpus_note, sizeof(ret->cpus_note), ": --cpus");
		return;
	}
	ret->amount.cpus = (uint64_t)(n * by);
	if (!ret->amount.cpus)
		ret->amount.cpus = 1;
	snprintf(ret->cpus_note, sizeof(ret->cpus_note),
		 " (%u CPU%s x %g): --cpus or --cpu-overcommit", n,
		 n == 1 ? "" : "s", by);
}

void budget_find(const struct budget_probe *probe,
		 const struct budget_wish *wish, struct pool_budget *ret)
{
	static const struct budget_probe host = {
	    .meminfo = "/proc/meminfo",
	    .cgroup = "/proc/self/cgroup",
	    .mounts = "/sys/fs/cgroup",
	};

	*ret = (struct pool_budget){0};
	set_memory(probe ? probe : &host, wish, ret);
	set_cpus(probe ? probe : &host, wish, ret);
}

/* --- pressure -------------------------------------------------------------*/

static bool is_above(const char *dir, const char *name, double limit)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", dir, name);
	char line[256];
	double avg10;

	/* The first line: some avg10=0.00 avg60=0.00 avg300=0.00 total=0 */
	return budget_read_line(path, line, sizeof(line)) &&
	       sscanf(line, "some avg10=%lf", &avg10) == 1 && avg10 > limit;
}

bool budget_is_pressed(const char *dir)
{
	if (!dir)
		dir = "/proc/pressure";
	return is_above(dir, "memory", PRESSURE_MEMORY) ||
	       is_above(dir, "cpu", PRESSURE_CPU);
}
