/* SPDX-License-Identifier: MIT */
/*
 * Fixtures: NAME.fixture.lua below a root returns a snapshot, which is kept in
 * the cache for all runs. The cache goes by what was really used (deps.h):
 *
 *	CACHE/fixtures/NAME-HASH/	a source, by its path
 *		lock			who builds it
 *		KEY/			what it gave, made from what KEY says
 *			fixture.json	kind, deps, seconds, output
 *			N/		the snapshot
 *		tmp-XXXXXX/		being built
 *
 * No Lua: building is fixture_build.h's.
 */
#ifndef RUNNER_FIXTURE_H
#define RUNNER_FIXTURE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "runner/config.h"
#include "runner/deps.h"

#define FIXTURE_SUFFIX ".fixture.lua"
/* What fixture_lookup() says of a source that the cache has nothing of. */
#define FIXTURE_NOT_BUILT "it has not been built yet"

enum fixture_kind { FIXTURE_VM, FIXTURE_LAB };

struct vm_factory;

/* Where fixtures are looked for and kept; borrowed. */
struct fixtures {
	const struct config *config;
	struct vm_factory *vms;
};

/* What the cache has of a source. */
struct fixture_entry {
	char *dir;
	char *snapshot; /* its folder */
	char key[DEPS_KEY_MAX];
	enum fixture_kind kind;
	double seconds;	  /* that it took */
	int64_t built_at; /* seconds since 1970 */
	uint64_t size;	  /* bytes on the disk */
	char *output;	  /* what it printed */
	json_t *json;	  /* owns what the above borrows */
	int lock_fd;	  /* keeps it from being removed */
};

/* The source of a name, "net/base", below a root; owned. NULL with err, which
 * names those that there are. */
char *fixture_find(const struct config *c, const char *name, struct err *err);
/* Every source below the roots: names and paths, in order. */
int fixture_list(const struct config *c, struct strvec *ret_names,
		 struct strvec *ret_paths, struct err *err);

/*
 * What the cache has of a source and is still good: 0. -ENOENT: nothing, with
 * err saying why ("file 'x' has changed"), of the entry that was built last. A
 * damaged one is nothing; it is
 * removed when the next is built.
 */
int fixture_lookup(const struct fixtures *f, const char *source,
		   struct fixture_entry *ret, struct err *err);
void fixture_entry_done(struct fixture_entry *e);
/* Appends the folders of its snapshots, one for each VM. */
void fixture_snapshots(const struct fixture_entry *e, struct strvec *ret);

/* The folder of a source in the cache; owned. */
char *fixture_slot(const struct config *c, const char *source);
/* Removes what the cache has of a source, or what of it is not good any more,
 * but for what others use now. Returns how many. */
int fixture_remove(const struct fixtures *f, const char *source,
		   bool only_stale, struct err *err);
/* Removes the longest unused until the cache's fixtures take cache_max_size at
 * the most; never what others use now, nor keep. */
void fixture_evict(const struct config *c, const char *keep);

#endif
