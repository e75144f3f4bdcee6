/* SPDX-License-Identifier: MIT */
#include "vmm/net/kernel_run.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "vmm/host.h"
#include "vmm/program.h"

/* Another program may hold the kernel's lock for its network; for longer it
 * does not work any more. */
#define RUN_TIMEOUT_NS (20 * NS_PER_SEC)
#define ARGS_MAX       8u

static const struct {
	const char *name;
	const char *batch[4]; /* arguments */
} programs[] = {
    [KERNEL_IP] = {"ip", {"-batch", "-"}},
    [KERNEL_FDB] = {"bridge", {"-batch", "-"}},
    [KERNEL_TC] = {"tc", {"-batch", "-"}},
    [KERNEL_NFT] = {"nft", {"-f", "-"}},
};
static_assert(ARRAY_LEN(programs) == KERNEL_PROGRAMS, "all of them");

const char *kernel_program_name(enum kernel_program p)
{
	return programs[p].name;
}

/*
 * The line that says why: the first one of an error, else the first. Behind it
 * come the number of the command, and what nft points at with arrows.
 */
static char *complaint(const struct buf *said)
{
	CLEANUP(free_ptr)
	char *text = said->len
			 ? mem_strndup((const char *)buf_data(said), said->len)
			 : mem_strdup("");
	const char *at = strstr(text, "Error: ");
	size_t n;

	if (!at)
		at = text;
	n = strcspn(at, "\n");
	return n ? mem_strndup(at, n) : NULL;
}

static int feed(enum kernel_program p, bool is_forced, const struct buf *batch,
		struct err *err)
{
	CLEANUP(free_ptr) char *path = host_find_program(programs[p].name);
	CLEANUP(buf_done) struct buf said = {0};
	CLEANUP(free_ptr) char *why = NULL;
	const char *argv[ARGS_MAX] = {path};
	size_t n = 1;
	int r;

	if (!batch->len)
		return 0;
	if (!path)
		return err_set(err, -ENOENT, "there is no program '%s'",
			       programs[p].name);
	if (is_forced && p != KERNEL_NFT)
		argv[n++] = "-force";
	for (size_t i = 0; programs[p].batch[i]; i++)
		argv[n++] = programs[p].batch[i];
	r = program_feed(argv, batch, clock_deadline_ns(RUN_TIMEOUT_NS), &said,
			 err);
	if (r == -EIO && (why = complaint(&said)))
		return err_set(err, r, "%s: %s", programs[p].name, why);
	return r;
}

int kernel_run(enum kernel_program p, const struct buf *batch, struct err *err)
{
	return feed(p, false, batch, err);
}

void kernel_run_all(enum kernel_program p, const struct buf *batch)
{
	feed(p, true, batch, NULL);
}

int kernel_ask(enum kernel_program p, const char *const *args,
	       struct buf *ret_out, struct err *err)
{
	CLEANUP(free_ptr) char *path = host_find_program(programs[p].name);
	const char *argv[ARGS_MAX] = {path};
	size_t n = 1;

	if (!path)
		return err_set(err, -ENOENT, "there is no program '%s'",
			       programs[p].name);
	while (*args) {
		assert(n + 1 < ARGS_MAX);
		argv[n++] = *args++;
	}
	return program_run(argv, NULL, clock_deadline_ns(RUN_TIMEOUT_NS),
			   ret_out, err);
}
