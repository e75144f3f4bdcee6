/* SPDX-License-Identifier: MIT */
/*
 * What is remembered of the runs before: for each file how long it took,
 * whether it has serial tests, and which tests failed the last time that they
 * ran. One JSON object in one file, replaced as a whole:
 *
 *	{"version": 1, "files": {"net/dhcp.test.lua":
 *	 {"seconds": 1.5, "serial": true, "broken": true, "failed": ["name"]}}}
 *
 * Files go by their path below a base, the directory of the config: so the
 * history of one checkout serves another.
 */
#ifndef RUNNER_HISTORY_H
#define RUNNER_HISTORY_H

#include <stdbool.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "runner/discover.h"
#include "runner/event.h"
#include "runner/order.h"

struct history;

/* Where the history of a base is kept by default; owned. */
char *history_path(const char *cache_dir, const char *base);

/*
 * What path holds; nothing where there is no such file. NULL with err for a
 * file that is something else. path NULL: remembers nothing, and writes
 * nothing.
 */
struct history *history_open(const char *path, const char *base,
			     struct err *err);
struct history *history_free(struct history *h);

struct order_hint history_hint(const struct history *h,
			       const struct test_file *file);
/* Appends a rule of runner/select.h for each of its tests that failed the last
 * time, or for all of them where the file itself did. False: none did. */
bool history_add_reruns(const struct history *h, const struct test_file *file,
			struct strvec *rules);

/* A sink that learns from a run of these files (borrowed, until history_save();
 * names may repeat a path). is_whole: all tests of a file are run. Freed with
 * the history. */
struct event_sink *history_sink(struct history *h,
				const struct test_files *files, bool is_whole);
/* Writes what the sink has learned, with what another run may have written
 * meanwhile. */
int history_save(struct history *h, struct err *err);

#endif
