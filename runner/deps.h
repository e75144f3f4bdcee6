/* SPDX-License-Identifier: MIT */
/*
 * What a fixture was made from, noted while it is built: files that were read,
 * required or pushed, variables of the environment, profiles that were booted,
 * other fixtures. What is still as it was need not be built again.
 */
#ifndef RUNNER_DEPS_H
#define RUNNER_DEPS_H

#include <jansson.h>
#include <stdbool.h>

#include "agent-proto/err.h"
#include "runner/config.h"

/* Of a key, and its NUL. */
#define DEPS_KEY_MAX 33

struct vm_factory;

struct deps {
	json_t *files;	  /* path: {size, mtime_ns, hash}; null: none there;
			   * path of a directory, with "/": {tree_hash} */
	json_t *env;	  /* name: value or null */
	json_t *profiles; /* name: what it is */
	json_t *fixtures; /* path of the source: key */
};

void deps_init(struct deps *d);
void deps_done(struct deps *d);

/* Each counts once. A file is noted as it is now. */
void deps_add_file(struct deps *d, const char *path);
/* A directory with the names, modes and bytes of everything below it. */
void deps_add_tree(struct deps *d, const char *path);
void deps_add_env(struct deps *d, const char *name);
void deps_add_fixture(struct deps *d, const char *source, const char *key);
/* name NULL: the default profile. */
int deps_add_profile(struct deps *d, struct vm_factory *vms, const char *name,
		     struct err *err);

/* The caller's. */
json_t *deps_encode(const struct deps *d);
/* A number for all of it. */
void deps_key(const json_t *encoded, char ret[DEPS_KEY_MAX]);

/* Whether a fixture is still what it was; the key it has now, or NULL. */
typedef bool (*deps_fixture_fn)(void *ctx, const char *source, const char *key);
/*
 * The first thing that has changed since, in words, the caller's; NULL: there
 * is none. Files are compared by size and time, and where these differ, or are
 * too young to tell, by what they hold.
 */
char *deps_changed(const json_t *encoded, struct vm_factory *vms,
		   deps_fixture_fn fixture, void *ctx);

#endif
