/* SPDX-License-Identifier: MIT */
#include "streams/disk_err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"

#define MIB (1 << 20)

/* Cuts the last part off; false: there is none. */
static bool go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || !slash[1])
		return false;
	slash[slash == path] = '\0';
	return true;
}

/* The nearest folder that exists, without symbolic links; owned. */
static char *existing_dir(const char *path)
{
	CLEANUP(free_ptr) char *p = mem_strdup(path);
	char *real;

	while (!(real = realpath(p, NULL)))
		if (!go_up(p))
			return realpath(*path == '/' ? "/" : ".", NULL);
	return real;
}

/* Where the file system of path is mounted; owned, NULL: unknown. */
static char *mount_point(const char *path)
{
	CLEANUP(free_ptr) char *at = existing_dir(path);
	CLEANUP(free_ptr) char *above = at ? mem_strdup(at) : NULL;
	struct stat here, there;

	if (!at || stat(at, &here) < 0)
		return NULL;
	while (go_up(above) && stat(above, &there) == 0 &&
	       there.st_dev == here.st_dev)
		memcpy(at, above, strlen(above) + 1);
	return TAKE(at);
}

/* Such as /dev/full, which says nothing of the file system it is on. */
static bool disk_err_is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode) &&
	       !S_ISDIR(st.st_mode);
}

static char *full_text(int code, const char *path)
{
	CLEANUP(free_ptr)
	char *at = disk_err_is_special(path) ? NULL : mount_point(path);
	struct statvfs fs;

	if (!at || statvfs(at, &fs) < 0)
		return mem_strdup(strerror(-code));
	if (code == -EDQUOT)
		return mem_printf("the quota for the file system at '%s' is "
				  "used up",
				  at);
	if (fs.f_files && !fs.f_favail && fs.f_bavail)
		return mem_printf("the file system at '%s' has no inode left",
				  at);
	return mem_printf("the file system at '%s' (%.1f MiB) is full", at,
			  (double)fs.f_blocks * (double)fs.f_frsize / MIB);
}

int disk_err(struct err *err, int code, const char *path, const char *fmt, ...)
{
	bool is_full = code == -ENOSPC || code == -EDQUOT;
	CLEANUP(free_ptr)
	char *reason =
	    is_full ? full_text(code, path) : mem_strdup(strerror(-code));
	CLEANUP(free_ptr) char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	return err_set(err, code, "%s: %s", text, reason);
}
