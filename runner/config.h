/* SPDX-License-Identifier: MIT */
/*
 * provium.lua: a Lua file that returns a table, evaluated with os.getenv,
 * string, table and math only. Without one, the current directory is the root
 * and the default guest is the profile. It is looked for in the current
 * directory and then upwards; --config names another.
 *
 *	return {
 *	  roots = {"tests"}, default_profile = "debian",
 *	  profiles = { debian = { kernel = "vmlinuz", memory = "512M" } },
 *	}
 *
 * Relative paths in it are relative to its directory. An unknown key, a wrong
 * type or a bad size is an error with the file and the key.
 */
#ifndef RUNNER_CONFIG_H
#define RUNNER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "vmm/host.h"

/* A file that every guest of a profile gets before its init runs. */
struct config_file {
	char *path;
	char *content;
	size_t n;
	uint32_t mode;
};

struct config_profile {
	char *name;
	char *kernel; /* NULL: the default guest's kernel and initrd */
	char *initrd; /* NULL: none */
	char *cmdline;
	char *cmdline_file; /* or NULL; read at boot */
	struct strvec modules;
	struct strvec disks;
	struct strvec qemu_args;
	struct config_file *files;
	size_t n_files;
	uint64_t memory; /* bytes; 256 MiB */
	unsigned cpus;	 /* 1 */
	char *build;	 /* shell command, or NULL */
	char *build_out; /* {out} */
	bool inject_agent;
	enum accel accel;
	enum transport transport;
};

struct config {
	char *path;	     /* of the file, NULL: none */
	char *dir;	     /* what relative paths are relative to */
	struct strvec roots; /* absolute */
	char *cache_dir;
	uint64_t cache_max_size;	 /* bytes of fixtures, 0: no limit */
	struct config_profile *profiles; /* owned array */
	size_t n_profiles;
	char *default_profile; /* "default" unless named */
	enum network network;  /* of bridges that do not say */
};

/* path: --config, or NULL to search. */
int config_load(struct config *c, const char *path, struct err *err);
void config_done(struct config *c);
/* name NULL: the default one. NULL with err listing what there is. */
const struct config_profile *
config_find_profile(const struct config *c, const char *name, struct err *err);

/* Sizes and durations as the Lua API takes them: "256M", "1.5s". 0 or
 * -EINVAL; text is not echoed by these. */
int parse_size(const char *s, uint64_t *ret_bytes);
int parse_duration(const char *s, int64_t *ret_ns);

#endif
