/* SPDX-License-Identifier: MIT */
/* Which of the files found are run, in which order, and how often. */
#ifndef RUNNER_LINEUP_H
#define RUNNER_LINEUP_H

#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "runner/discover.h"
#include "runner/history.h"

#define LINEUP_SHARDS_MAX 10000
#define LINEUP_REPEAT_MAX 100000

struct lineup_options {
	const char *since; /* only files changed after this one, or NULL */
	bool is_rerun;	   /* only files in which something failed */
	unsigned shard;	   /* from 1 on; 0: all */
	unsigned n_shards;
	bool shards_by_time; /* by history's times, which all shards share;
				else as if all files took the same */
	int64_t shuffle;     /* above 0: the order that this seed gives */
	bool keeps_order;    /* as found */
	bool is_one_by_one;  /* files do not run side by side */
	unsigned repeat;     /* 0 and 1: once */
};

/*
 * Changes files. rules gets those of runner/select.h that go with it. *ret_why,
 * a static text, says what left no file; else it is NULL. Repeated files come
 * round after round, named "a.test.lua#1" and so on.
 */
int lineup(struct test_files *files, const struct lineup_options *o,
	   const struct history *h, struct strvec *rules, const char **ret_why,
	   struct err *err);

/* Bytes of a file's name without the round of a repeated one. */
size_t lineup_name_len(const char *display);

#endif
