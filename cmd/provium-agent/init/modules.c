/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/init/modules.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"

#define INIT_COMPRESSED 4 /* MODULE_INIT_COMPRESSED_FILE, linux/module.h */
#define ABSENT		1

/* A file of /lib/modules/<release>, mapped when first needed. */
struct list_file {
	const char *name;
	char dir[128]; /* /lib/modules/<release> */
	const char *text;
	size_t n;
	bool tried;
};

static const char *const suffixes[] = {"", ".ko", ".ko.zst", ".ko.xz",
				       ".ko.gz"};

/* A span of such a file; not terminated. */
struct span {
	const char *p;
	size_t n;
};

static bool is_compressed(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && (!strcmp(dot, ".xz") || !strcmp(dot, ".zst") ||
		       !strcmp(dot, ".gz"));
}

/* 0, also for EEXIST; ABSENT when there is no such file. The kernel says ENOENT
 * for a symbol that no module has. */
static int modules_load_file(const char *path)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	int flags = is_compressed(path) ? INIT_COMPRESSED : 0;
	int e;

	if (fd < 0)
		return errno == ENOENT ? ABSENT : -errno;
	if (syscall(SYS_finit_module, fd, "", flags) == 0 || errno == EEXIST)
		return 0;
	e = errno;
	fprintf(stderr, "provium-agent: module %s: %s\n", path,
		e == ENOENT ? "a symbol that it needs is missing"
			    : strerror(e));
	return -e;
}

static int load_from_dir(const char *name)
{
	char path[PATH_MAX];
	int rc = ABSENT;

	for (size_t i = 0; rc == ABSENT && i < ARRAY_LEN(suffixes); i++) {
		snprintf(path, sizeof(path), MODULES_DIR "/%s%s", name,
			 suffixes[i]);
		rc = modules_load_file(path);
	}
	return rc;
}

static void list_open(struct list_file *d)
{
	CLEANUP(fd_closep) int fd = -1;
	struct utsname u;
	struct stat st;
	char path[160];
	void *map;

	if (d->tried)
		return;
	d->tried = true;
	if (uname(&u) < 0)
		return;
	snprintf(d->dir, sizeof(d->dir), "/lib/modules/%s", u.release);
	snprintf(path, sizeof(path), "%s/%s", d->dir, d->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0)
		return;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return;
	d->text = map;
	d->n = (size_t)st.st_size;
}

static void list_close(struct list_file *d)
{
	if (d->text)
		munmap((void *)(uintptr_t)d->text, d->n);
}

/* "kernel/x/virtio-rng.ko.xz" is the module virtio_rng, and virtio-rng. */
static bool is_module(struct span path, const char *name)
{
	const char *slash = memrchr(path.p, '/', path.n);
	const char *base = slash ? slash + 1 : path.p;
	const char *end = path.p + path.n;

	for (; *name && base < end; name++, base++) {
		char a = *name == '-' ? '_' : *name;
		char b = *base == '-' ? '_' : *base;
		if (a != b)
			return false;
	}
	if (*name && strncmp(name, ".ko", 3) != 0)
		return false;
	return base < end ? *base == '.' : !*name;
}

static void load_span(const struct list_file *d, struct span path)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s/%.*s", d->dir, (int)path.n, path.p);
	modules_load_file(full);
}

/* "a.ko: b.ko c.ko": a needs b needs c. From the last to the first. */
static void load_line(const struct list_file *d, struct span path,
		      struct span deps)
{
	while (deps.n) {
		size_t start = deps.n;

		while (start && !isspace((unsigned char)deps.p[start - 1]))
			start--;
		if (start < deps.n)
			load_span(
			    d, (struct span){deps.p + start, deps.n - start});
		deps.n = start ? start - 1 : 0;
	}
	load_span(d, path);
}

/* Finds the line of a module: its path, and what follows the colon, if any. */
static bool list_find(struct list_file *d, const char *name, struct span *path,
		      struct span *rest)
{
	const char *at, *end;

	list_open(d);
	at = d->text;
	end = at ? at + d->n : at;
	while (at < end) {
		const char *eol = memchr(at, '\n', (size_t)(end - at));
		const char *colon;

		if (!eol)
			eol = end;
		colon = memchr(at, ':', (size_t)(eol - at));
		*path = (struct span){at, (size_t)((colon ? colon : eol) - at)};
		*rest = (struct span){colon ? colon + 1 : eol,
				      colon ? (size_t)(eol - colon - 1) : 0};
		if (is_module(*path, name))
			return true;
		at = eol + 1;
	}
	return false;
}

/* False: no file has the module. */
static bool load_by_dep(struct list_file *dep, const char *name)
{
	struct span path, deps;

	if (!list_find(dep, name, &path, &deps))
		return false;
	load_line(dep, path, deps);
	return true;
}

/* Whether the kernel itself has the module; name may be the path of its file.
 */
static bool is_built_in(struct list_file *builtin, const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *base = slash ? slash + 1 : name;
	const char *suffix = strstr(base, ".ko");
	struct span path, rest;
	char plain[NAME_MAX + 1];

	snprintf(plain, sizeof(plain), "%.*s",
		 suffix ? (int)(suffix - base) : NAME_MAX, base);
	return list_find(builtin, plain, &path, &rest);
}

static void load_all(const struct strvec *names, bool tells_absent)
{
	struct list_file dep = {.name = "modules.dep"};
	struct list_file builtin = {.name = "modules.builtin"};

	for (size_t i = 0; i < names->n; i++) {
		const char *name = names->v[i];
		int r = *name == '/' ? modules_load_file(name)
				     : load_from_dir(name);

		if (r != ABSENT || (*name != '/' && load_by_dep(&dep, name)))
			continue;
		if (tells_absent && !is_built_in(&builtin, name))
			fprintf(stderr,
				"provium-agent: module %s: the image has no "
				"such file\n",
				name);
	}
	list_close(&dep);
	list_close(&builtin);
}

void modules_load(const struct strvec *names)
{
	load_all(names, true);
}

void modules_try(const struct strvec *names)
{
	load_all(names, false);
}
