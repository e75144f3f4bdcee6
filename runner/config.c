/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. config_load() finds the file, config_read() (see
 * config_lua.c) evaluates it into a struct config as it was written, and
 * what follows here makes it usable: defaults are filled in, relative paths
 * become absolute, {out} is expanded. Parent and worker both load the file,
 * so everything here depends on nothing but the file and the environment.
 */
#include "runner/config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "runner/config_lua.h"
#include "runner/text.h"
#include "vmm/guest.h"

#define CONFIG_NAME	  "provium.lua"
#define CACHE_MAX_DEFAULT (UINT64_C(16) << 30)
#define DEFAULT_NAME	  "default"
#define OUT_MARK	  "{out}"

static void profile_done(struct config_profile *p)
{
	for (size_t i = 0; i < p->n_files; i++) {
		free(p->files[i].path);
		free(p->files[i].content);
	}
	free(p->files);
	free(p->name);
	free(p->kernel);
	free(p->initrd);
	free(p->cmdline);
	free(p->cmdline_file);
	free(p->build);
	free(p->build_out);
	strvec_done(&p->modules);
	strvec_done(&p->disks);
	strvec_done(&p->qemu_args);
}

void config_done(struct config *c)
{
	for (size_t i = 0; i < c->n_profiles; i++)
		profile_done(&c->profiles[i]);
	free(c->profiles);
	free(c->path);
	free(c->dir);
	free(c->cache_dir);
	free(c->default_profile);
	strvec_done(&c->roots);
	*c = (struct config){0};
}

struct config_profile *config_add_profile(struct config *c, const char *name)
{
	c->profiles = mem_realloc_array(c->profiles, c->n_profiles + 1,
					sizeof(*c->profiles));
	struct config_profile *p = &c->profiles[c->n_profiles++];
	*p = (struct config_profile){
	    .name = mem_strdup(name),
	    .memory = CONFIG_MEMORY_DEFAULT,
	    .cpus = 1,
	    .inject_agent = true,
	};
	return p;
}

static const struct config_profile *profile_named(const struct config *c,
						  const char *name)
{
	for (size_t i = 0; i < c->n_profiles; i++) {
		if (!strcmp(c->profiles[i].name, name))
			return &c->profiles[i];
	}
	return NULL;
}

const struct config_profile *
config_find_profile(const struct config *c, const char *name, struct err *err)
{
	const char *wanted = name ? name : c->default_profile;
	const struct config_profile *p = profile_named(c, wanted);
	struct strvec names = {0};
	struct buf list = {0};

	if (p)
		return p;
	for (size_t i = 0; i < c->n_profiles; i++) {
		strvec_add(&names, c->profiles[i].name);
		buf_printf(&list, "%s'%s'", i ? ", " : "", names.v[i]);
	}
	const char *near = text_nearest(wanted, (const char *const *)names.v);
	err_set(err, -ENOENT, "no profile '%s'%s%s%s; there is: %.*s", wanted,
		near ? ", did you mean '" : "", near ? near : "",
		near ? "'?" : "", (int)list.len, (char *)buf_data(&list));
	strvec_done(&names);
	buf_done(&list);
	return NULL;
}

/* *path made absolute. */
static void config_resolve(const struct config *c, char **path)
{
	if (!*path || **path == '/')
		return;
	char *absolute = mem_printf("%s/%s", c->dir, *path);
	free(*path);
	*path = absolute;
}

static void resolve_all(const struct config *c, struct strvec *paths)
{
	for (size_t i = 0; i < paths->n; i++)
		config_resolve(c, &paths->v[i]);
}

/* *s with every {out} replaced by out. */
static void expand(char **s, const char *out)
{
	struct buf b = {0};
	const char *at = *s;

	for (const char *mark; at && (mark = strstr(at, OUT_MARK));) {
		buf_append(&b, at, (size_t)(mark - at));
		buf_append(&b, out, strlen(out));
		at = mark + strlen(OUT_MARK);
	}
	if (b.len || (at && at != *s)) {
		buf_append(&b, at, strlen(at) + 1);
		free(*s);
		*s = mem_strdup((char *)buf_data(&b));
	}
	buf_done(&b);
}

/* FNV-1a, enough to keep builds of different projects apart. */
static uint64_t hash_path(const char *s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * UINT64_C(0x100000001b3);
	return h;
}

static void finish_profile(const struct config *c, struct config_profile *p)
{
	if (!p->build_out && p->build)
		p->build_out =
		    mem_printf("%s/build/%s-%016llx", c->cache_dir, p->name,
			       (unsigned long long)hash_path(c->dir));
	if (p->build_out) {
		config_resolve(c, &p->build_out);
		expand(&p->kernel, p->build_out);
		expand(&p->initrd, p->build_out);
		expand(&p->cmdline_file, p->build_out);
		expand(&p->build, p->build_out);
		for (size_t i = 0; i < p->disks.n; i++)
			expand(&p->disks.v[i], p->build_out);
		for (size_t i = 0; i < p->modules.n; i++)
			expand(&p->modules.v[i], p->build_out);
	}
	config_resolve(c, &p->kernel);
	config_resolve(c, &p->initrd);
	config_resolve(c, &p->cmdline_file);
	resolve_all(c, &p->disks);
	/* A module is a path, or a name that the guest image knows. */
	for (size_t i = 0; i < p->modules.n; i++) {
		if (strchr(p->modules.v[i], '/'))
			config_resolve(c, &p->modules.v[i]);
	}
	if (!p->cmdline)
		p->cmdline = mem_strdup("");
}

static int config_by_name(const void *a, const void *b)
{
	const struct config_profile *pa = a;
	const struct config_profile *pb = b;

	return strcmp(pa->name, pb->name);
}

static int config_finish(struct config *c, struct err *err)
{
	if (!c->default_profile)
		c->default_profile = mem_strdup(DEFAULT_NAME);
	if (!profile_named(c, DEFAULT_NAME))
		config_add_profile(c, DEFAULT_NAME);
	qsort(c->profiles, c->n_profiles, sizeof(*c->profiles), config_by_name);
	if (!config_find_profile(c, NULL, err))
		return err_wrap(err, "%s: default_profile", c->path);
	if (!c->cache_dir)
		c->cache_dir = guest_cache_dir();
	config_resolve(c, &c->cache_dir);
	if (!c->roots.n)
		strvec_add(&c->roots, c->dir);
	resolve_all(c, &c->roots);
	for (size_t i = 0; i < c->n_profiles; i++)
		finish_profile(c, &c->profiles[i]);
	return 0;
}

/* Cuts the last component off an absolute path; "/" stays. */
static void cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	slash[slash == path] = '\0';
}

/* The provium.lua in cwd or nearest above it; owned, NULL if there is none. */
static char *search_upwards(const char *cwd)
{
	CLEANUP(free_ptr) char *dir = mem_strdup(cwd);

	for (;;) {
		bool is_top = !strcmp(dir, "/");
		CLEANUP(free_ptr)
		char *path =
		    mem_printf("%s/%s", is_top ? "" : dir, CONFIG_NAME);
		if (!access(path, F_OK))
			return TAKE(path);
		if (is_top)
			return NULL;
		cut_last(dir);
	}
}

static int load_into(struct config *c, const char *path, struct err *err)
{
	char cwd[PATH_MAX];
	int r;

	if (!getcwd(cwd, sizeof(cwd)))
		return err_set(err, -errno, "no current directory: %s",
			       strerror(errno));
	c->path = path ? mem_strdup(path) : search_upwards(cwd);
	c->dir = mem_strdup(cwd);
	if (c->path) {
		config_resolve(c, &c->path);
		free(c->dir);
		c->dir = mem_strdup(c->path);
		cut_last(c->dir);
		r = config_read(c, err);
		if (r < 0)
			return r;
	}
	return config_finish(c, err);
}

int config_load(struct config *c, const char *path, struct err *err)
{
	int r;

	*c = (struct config){.cache_max_size = CACHE_MAX_DEFAULT};
	r = load_into(c, path, err);
	if (r < 0)
		config_done(c);
	return r;
}
