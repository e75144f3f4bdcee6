/* SPDX-License-Identifier: MIT */
#include "vmm/guest_package.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "vmm/program.h"
#include "vmm/store.h"

#define QUERY_NS     (60 * NS_PER_SEC)
#define FETCH_NS     (900 * NS_PER_SEC)
#define EXTRACT_NS   (300 * NS_PER_SEC)
#define PACKAGES_MAX 16 /* of one kernel */

/* Debian's, Ubuntu's: the smallest kernel that has the drivers of a VM. */
static const char *const metas[] = {
    "linux-image-cloud-amd64",
    "linux-image-virtual",
};

static bool carries_kernel(const char *name)
{
	static const char *const prefixes[] = {"linux-image-",
					       "linux-modules-"};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

static bool guest_package_has(const struct strvec *sv, const char *s)
{
	for (size_t i = 0; i < sv->n; i++)
		if (!strcmp(sv->v[i], s))
			return true;
	return false;
}

/* "a (= 1), b | c" of a Depends field. Of alternatives the first is taken, as
 * apt does. */
static void parse_depends(const char *line, size_t n, struct strvec *ret)
{
	const char *end = line + n;

	while (line < end) {
		const char *comma = memchr(line, ',', (size_t)(end - line));
		CLEANUP(free_ptr) char *name = NULL;

		while (line < end && *line == ' ')
			line++;
		if (comma && comma < line)
			comma = line;
		name =
		    mem_strndup(line, (size_t)((comma ? comma : end) - line));
		name[strcspn(name, " (|:")] = '\0';
		if (carries_kernel(name) && !guest_package_has(ret, name))
			strvec_add(ret, name);
		line = comma ? comma + 1 : end;
	}
}

void guest_package_parse(const char *text, size_t n, struct strvec *ret)
{
	static const char *const fields[] = {"Depends:", "Pre-Depends:"};

	while (n) {
		const char *nl = memchr(text, '\n', n);
		size_t len = nl ? (size_t)(nl - text) : n;

		for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
			size_t head = strlen(fields[i]);

			if (len > head && !memcmp(text, fields[i], head))
				parse_depends(text + head, len - head, ret);
		}
		len += nl != NULL;
		text += len;
		n -= len;
	}
}

/* Adds meta and all that it needs which carries a part of the kernel. */
static int guest_package_resolve(const char *meta, struct strvec *ret,
				 struct err *err)
{
	strvec_add(ret, meta);
	for (size_t i = 0; i < ret->n && i < PACKAGES_MAX; i++) {
		const char *argv[] = {"apt-cache", "show", "--no-all-versions",
				      ret->v[i], NULL};
		CLEANUP(buf_done) struct buf out = {0};
		int r = program_run(argv, NULL, clock_deadline_ns(QUERY_NS),
				    &out, err);

		if (r < 0)
			return r;
		guest_package_parse((const char *)buf_data(&out), out.len, ret);
	}
	if (ret->n > 1 && ret->n <= PACKAGES_MAX)
		return 0;
	return err_set(err, -ENOENT, "package '%s' depends on no kernel", meta);
}

static int download(const char *dir, const struct strvec *packages,
		    struct err *err)
{
	CLEANUP(strvec_done) struct strvec argv = {0};

	strvec_add(&argv, "apt-get");
	strvec_add(&argv, "-q");
	strvec_add(&argv, "download");
	for (size_t i = 0; i < packages->n; i++)
		strvec_add(&argv, packages->v[i]);
	return program_run((const char *const *)argv.v, dir,
			   clock_deadline_ns(FETCH_NS), NULL, err);
}

static int extract_all(const char *dir, struct err *err)
{
	CLEANUP(free_ptr) char *root = mem_printf("%s/root", dir);
	CLEANUP(dir_closep) DIR *d = opendir(dir);
	struct dirent *e;
	int r = store_mkdirs(root, err);

	if (r < 0 || !d)
		return r < 0 ? r : err_set(err, -EIO, "cannot list '%s'", dir);
	while (r == 0 && (e = readdir(d))) {
		const char *argv[] = {"dpkg-deb", "--extract", NULL, root,
				      NULL};
		const char *dot = strrchr(e->d_name, '.');
		CLEANUP(free_ptr) char *deb = NULL;

		if (!dot || strcmp(dot, ".deb") != 0)
			continue;
		deb = mem_printf("%s/%s", dir, e->d_name);
		argv[2] = deb;
		r = program_run(argv, NULL, clock_deadline_ns(EXTRACT_NS), NULL,
				err);
		store_remove(deb);
	}
	return r;
}

static void guest_package_say(guest_progress_cb progress, void *ctx,
			      const char *verb, const char *what)
{
	CLEANUP(free_ptr) char *s = mem_printf("%s %s", verb, what);

	if (progress)
		progress(ctx, s);
}

int guest_package_fetch(const char *tmp_dir, guest_progress_cb progress,
			void *ctx, struct err *err)
{
	CLEANUP(strvec_done) struct strvec packages = {0};
	struct err first;
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_LEN(metas) && r < 0; i++) {
		strvec_done(&packages);
		r = guest_package_resolve(metas[i], &packages,
					  i ? err : &first);
	}
	if (r < 0) {
		if (err)
			*err = first;
		return first.code;
	}
	guest_package_say(progress, ctx, "fetching package",
			  packages.v[packages.n > 1 ? 1 : 0]);
	r = download(tmp_dir, &packages, err);
	if (r < 0)
		return r;
	guest_package_say(progress, ctx, "unpacking package",
			  packages.v[packages.n > 1 ? 1 : 0]);
	return extract_all(tmp_dir, err);
}
