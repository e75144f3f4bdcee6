/* SPDX-License-Identifier: MIT */
/* Kernels of the user, as QEMU likes them best (guest.h). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/guest.h"
#include "vmm/stamp.h"
#include "vmm/store.h"
#include "vmm/vmlinux.h"

/* How many extracted kernels are kept whatever their age, and how long after
 * their last use the others: who rebuilds a kernel all day gets one of 50 MB
 * each time. */
#define KEPT	 4
#define KEPT_SEC 3600

/* The result of a stamp for a kernel to be booted as it is. */
#define AS_IT_IS "-"
#define KEY_LEN	 32 /* hex digits of 128 bits */

bool guest_kernel_is_pvh(const char *path)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool is_pvh;
	void *p;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0)
		return false;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return false;
	is_pvh = vmlinux_has_pvh(p, (size_t)st.st_size);
	munmap(p, (size_t)st.st_size);
	return is_pvh;
}

struct used {
	char *path;
	time_t at;
};

static int latest_first(const void *a, const void *b)
{
	const struct used *x = a, *y = b;

	return (x->at < y->at) - (x->at > y->at);
}

/* Removes extracted kernels that were not used lately. The time of the last
 * use is atime, which note_use() sets. */
static void discard_old(const char *dir)
{
	CLEANUP(dir_closep) DIR *d = opendir(dir);
	struct used *u = NULL;
	time_t now = time(NULL);
	struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d))) {
		CLEANUP(free_ptr) char *path = NULL;
		struct stat st;

		if (strlen(e->d_name) != KEY_LEN || strchr(e->d_name, '-'))
			continue;
		path = mem_printf("%s/%s", dir, e->d_name);
		if (stat(path, &st) < 0)
			continue;
		u = mem_realloc_array(u, n + 1, sizeof(*u));
		u[n++] = (struct used){TAKE(path), st.st_atime};
	}
	if (n)
		qsort(u, n, sizeof(*u), latest_first);
	for (size_t i = 0; i < n; i++) {
		if (i >= KEPT && now - u[i].at > KEPT_SEC)
			unlink(u[i].path);
		free(u[i].path);
	}
	free(u);
}

static void note_use(const char *path)
{
	struct timespec t[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};

	utimensat(AT_FDCWD, path, t, 0);
}

/* In the cache under the lock; *ret_name is NULL where there is nothing to
 * extract. The key is the kernel file's. */
static int extract(const char *dir, const struct buf *image, char **ret_name,
		   struct err *err)
{
	XXH128_hash_t sum = XXH3_128bits(buf_data(image), image->len);
	CLEANUP(buf_done) struct buf elf = {0};
	CLEANUP(free_ptr) char *path = NULL, *tmp = NULL, *aside = NULL;
	CLEANUP(free_ptr) char *name = NULL;
	struct stat st;
	int r;

	if (vmlinux_extract(buf_data(image), image->len, &elf, NULL) < 0 ||
	    !vmlinux_has_pvh(buf_data(&elf), elf.len))
		return 0;
	name = mem_printf("%016llx%016llx", (unsigned long long)sum.high64,
			  (unsigned long long)sum.low64);
	path = mem_printf("%s/%s", dir, name);
	if (stat(path, &st) < 0 || (uint64_t)st.st_size != elf.len) {
		tmp = store_tmp(dir, err);
		if (!tmp)
			return err ? err->code : -EIO;
		aside = mem_printf("%s/vmlinux", tmp);
		r = store_write(aside, buf_data(&elf), elf.len, err);
		if (r == 0 && rename(aside, path) < 0)
			r = err_set(err, -errno, "cannot rename '%s': %s",
				    aside, strerror(errno));
		store_remove(tmp);
		if (r < 0)
			return r;
		discard_old(dir);
	}
	*ret_name = TAKE(name);
	return 0;
}

/* Hashes and extracts, and leaves a stamp. */
static int work(const char *dir, const char *path, const char *stamp_path,
		char **ret_name, struct err *err)
{
	CLEANUP(stamp_done) struct stamp stamp = {0};
	CLEANUP(buf_done) struct buf image = {0};
	CLEANUP(free_ptr) char *out = NULL;
	int r;

	stamp_add(&stamp, path);
	r = store_read(path, VMLINUX_IMAGE_MAX, &image, err);
	if (r == 0)
		r = extract(dir, &image, ret_name, err);
	if (r < 0)
		return r;
	if (*ret_name) {
		out = mem_printf("%s/%s", dir, *ret_name);
		stamp_add_made(&stamp, out);
	}
	stamp_save(&stamp, stamp_path, *ret_name ? *ret_name : AS_IT_IS);
	return 0;
}

int guest_kernel_for_boot(const char *cache_dir, const char *path,
			  char **ret_path, struct err *err)
{
	CLEANUP(free_ptr) char *dir = mem_printf("%s/kernels", cache_dir);
	CLEANUP(free_ptr) char *full = realpath(path, NULL);
	CLEANUP(free_ptr) char *stamp_path = NULL, *name = NULL;
	CLEANUP(fd_closep) int lock = -1;
	int r = 0;

	if (!full || access(full, R_OK) < 0)
		return err_set(err, -errno, "cannot open kernel '%s': %s", path,
			       strerror(errno));
	if (guest_kernel_is_pvh(full)) {
		*ret_path = mem_strdup(path);
		return 0;
	}
	stamp_path =
	    mem_printf("%s/stamp-%016llx", dir,
		       (unsigned long long)XXH3_64bits(full, strlen(full)));
	name = stamp_find(stamp_path);
	if (!name) {
		lock = store_lock(dir, NULL, NULL, err);
		if (lock < 0)
			return lock;
		name = stamp_find(stamp_path);
	}
	if (!name)
		r = work(dir, full, stamp_path, &name, err);
	if (r < 0)
		return r;
	if (!name || !strcmp(name, AS_IT_IS)) {
		*ret_path = mem_strdup(path);
		return 0;
	}
	*ret_path = mem_printf("%s/%s", dir, name);
	note_use(*ret_path);
	return 0;
}
