/* SPDX-License-Identifier: MIT */
#include "vmm/guest_source.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/guest_package.h"
#include "vmm/host.h"
#include "vmm/store.h"
#include "vmm/vmlinux.h"

#define KERNEL_PREFIX "vmlinuz-"
#define INSTALL_KERNEL                                                         \
	"install one (sudo apt-get install linux-image-cloud-amd64; after "    \
	"sudo apt-get update where the package is not known), or set "         \
	"PROVIUM_KERNEL"

static const char *env_or(const char *name, const char *otherwise)
{
	const char *v = getenv(name);

	return v && *v ? v : otherwise;
}

void guest_places_get(struct guest_places *ret)
{
	ret->kernel = env_or("PROVIUM_KERNEL", NULL);
	ret->boot = env_or("PROVIUM_BOOT_DIR", NULL);
	ret->wants_boot = ret->boot;
	if (!ret->boot)
		ret->boot = "/boot";
	ret->modules = env_or("PROVIUM_MODULES_DIR", NULL);
	ret->wants_modules = ret->modules;
	if (!ret->modules)
		ret->modules = "/lib/modules";
	ret->busybox = env_or("PROVIUM_BUSYBOX", NULL);
}

void guest_source_done(struct guest_source *s)
{
	free(s->kernel);
	free(s->release);
	free(s->modules);
	free(s->busybox);
	*s = (struct guest_source){0};
}

/* The modules' folder of a release where it exists; owned. */
static char *find_modules(const char *dir, const char *release,
			  const char *must_hold)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", dir, release);
	CLEANUP(free_ptr) char *file = mem_printf("%s/%s", path, must_hold);

	return access(file, R_OK) == 0 ? TAKE(path) : NULL;
}

static bool is_cloud(const char *release)
{
	return strstr(release, "-cloud") != NULL;
}

/* Whether release a is to be preferred to b, where "" is the worst. */
static bool is_better(const char *a, const char *b)
{
	if (is_cloud(a) != is_cloud(b))
		return is_cloud(a);
	return strverscmp(a, b) > 0;
}

static bool is_usable(const char *boot, const char *modules,
		      const char *release, const char *must_hold)
{
	CLEANUP(free_ptr)
	char *path = mem_printf("%s/" KERNEL_PREFIX "%s", boot, release);
	CLEANUP(free_ptr)
	char *dir = find_modules(modules, release, must_hold);

	return dir && access(path, R_OK) == 0;
}

bool guest_source_scan(const char *boot, const char *modules, bool needs_dep,
		       struct guest_source *ret)
{
	const char *must_hold = needs_dep ? "modules.dep" : "kernel";
	CLEANUP(dir_closep) DIR *d = opendir(boot);
	char best[sizeof(((struct dirent *)0)->d_name)] = "";
	const size_t n = strlen(KERNEL_PREFIX);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (strncmp(e->d_name, KERNEL_PREFIX, n) == 0 &&
		    is_better(e->d_name + n, best) &&
		    is_usable(boot, modules, e->d_name + n, must_hold))
			memcpy(best, e->d_name + n, strlen(e->d_name + n) + 1);
	if (!*best)
		return false;
	ret->kernel = mem_printf("%s/" KERNEL_PREFIX "%s", boot, best);
	ret->modules = mem_printf("%s/%s", modules, best);
	ret->release = mem_strdup(best);
	return true;
}

bool guest_source_is_local(const struct guest_places *places)
{
	CLEANUP(guest_source_done) struct guest_source s = {0};

	return places->kernel ||
	       guest_source_scan(places->boot, places->modules, true, &s);
}

/* Whether a boot folder holds a kernel, with modules or without. */
static bool has_kernel(const char *boot)
{
	CLEANUP(dir_closep) DIR *d = opendir(boot);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		CLEANUP(free_ptr)
		char *path = mem_printf("%s/%s", boot, e->d_name);

		if (strncmp(e->d_name, KERNEL_PREFIX, strlen(KERNEL_PREFIX)) ==
			0 &&
		    access(path, R_OK) == 0)
			return true;
	}
	return false;
}

int guest_source_check(const struct guest_places *places, struct err *err)
{
	bool wants = places->wants_boot || places->wants_modules;

	if (!wants || guest_source_is_local(places))
		return 0;
	if (places->wants_boot && !has_kernel(places->boot))
		return err_set(
		    err, -ENOENT,
		    "PROVIUM_BOOT_DIR is '%s', which holds no kernel "
		    "(vmlinuz-VERSION) that can be read: set it to a "
		    "folder that does, or unset it",
		    places->boot);
	if (!places->wants_modules)
		return err_set(
		    err, -ENOENT,
		    "PROVIUM_BOOT_DIR is '%s', but '%s' holds no "
		    "modules (VERSION/modules.dep) of a kernel "
		    "there: set PROVIUM_MODULES_DIR to their folder, "
		    "or unset PROVIUM_BOOT_DIR",
		    places->boot, places->modules);
	return err_set(err, -ENOENT,
		       "PROVIUM_MODULES_DIR is '%s', which holds no modules "
		       "(VERSION/modules.dep) of a kernel in '%s': set "
		       "PROVIUM_KERNEL to their kernel, or unset it",
		       places->modules, places->boot);
}

/* PROVIUM_KERNEL: its release is asked of itself, its modules may be none. */
static int take_wish(const struct guest_places *places,
		     struct guest_source *ret, struct err *err)
{
	CLEANUP(buf_done) struct buf b = {0};
	int r = store_read(places->kernel, VMLINUX_IMAGE_MAX, &b, err);

	if (r < 0)
		return err_wrap(err, "PROVIUM_KERNEL");
	ret->release = vmlinux_release(buf_data(&b), b.len);
	if (!ret->release)
		return err_set(
		    err, -ENOEXEC,
		    "PROVIUM_KERNEL is '%s', which is not an x86 Linux kernel "
		    "(bzImage or vmlinux)",
		    places->kernel);
	ret->kernel = mem_strdup(places->kernel);
	ret->modules =
	    find_modules(places->modules, ret->release, "modules.dep");
	if (ret->modules || !places->wants_modules)
		return 0;
	return err_set(err, -ENOENT,
		       "PROVIUM_MODULES_DIR is '%s', which holds no modules of "
		       "the kernel '%s': '%s/modules.dep' is not in it; unset "
		       "it if the kernel has none",
		       places->modules, places->kernel, ret->release);
}

static int fetch(const char *tmp_dir, guest_progress_cb progress, void *ctx,
		 struct guest_source *ret, struct err *err)
{
	static const char *const module_dirs[] = {"lib/modules",
						  "usr/lib/modules"};
	CLEANUP(free_ptr) char *boot = mem_printf("%s/root/boot", tmp_dir);
	int r = guest_package_fetch(tmp_dir, progress, ctx, err);

	for (size_t i = 0; i < ARRAY_LEN(module_dirs) && r == 0; i++) {
		CLEANUP(free_ptr)
		char *modules =
		    mem_printf("%s/root/%s", tmp_dir, module_dirs[i]);

		ret->from_package =
		    guest_source_scan(boot, modules, false, ret);
		if (ret->from_package)
			return 0;
	}
	return r < 0 ? r
		     : err_set(err, -ENOENT,
			       "the package holds no kernel with modules");
}

static int guest_source_find_kernel(const struct guest_places *places,
				    const char *tmp_dir,
				    guest_progress_cb progress, void *ctx,
				    struct guest_source *ret, struct err *err)
{
	struct err why = {0};
	int r;

	if (places->kernel)
		return take_wish(places, ret, err);
	if (guest_source_scan(places->boot, places->modules, true, ret))
		return 0;
	r = fetch(tmp_dir, progress, ctx, ret, &why);
	if (r == 0)
		return 0;
	return err_set(
	    err, r,
	    "no kernel for the default guest: none in '%s' can be read and "
	    "has modules in '%s', and fetching one failed: %s; " INSTALL_KERNEL,
	    places->boot, places->modules, why.text);
}

int guest_source_find(const struct guest_places *places, const char *tmp_dir,
		      guest_progress_cb progress, void *ctx,
		      struct guest_source *ret, struct err *err)
{
	int r;

	*ret = (struct guest_source){0};
	r = guest_source_find_kernel(places, tmp_dir, progress, ctx, ret, err);
	if (r == 0) {
		ret->busybox = places->busybox ? mem_strdup(places->busybox)
					       : host_find_program("busybox");
		if (!ret->busybox)
			r = err_set(err, -ENOENT,
				    "no busybox for the default guest: install "
				    "busybox-static (sudo apt-get install "
				    "busybox-static)");
	}
	if (r < 0)
		guest_source_done(ret);
	return r;
}
