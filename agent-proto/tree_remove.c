/* SPDX-License-Identifier: MIT */
#include "agent-proto/tree_remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void remove_at(int dir_fd, const char *name, int depth);

static void remove_content(int dir_fd, const char *name, int depth)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir_fd, name, flags);
	struct dirent *e;
	DIR *d;

	if (fd < 0 && errno == EACCES) {
		/* A test may have taken its own rights away. */
		if (!fchmodat(dir_fd, name, 0700, 0))
			fd = openat(dir_fd, name, flags);
	}
	if (fd < 0)
		return;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return;
	}
	fchmod(fd, 0700);
	while ((e = readdir(d))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			remove_at(fd, e->d_name, depth + 1);
	}
	closedir(d);
}

static void remove_at(int dir_fd, const char *name, int depth)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (!S_ISDIR(st.st_mode)) {
		unlinkat(dir_fd, name, 0);
		return;
	}
	if (depth < TREE_REMOVE_DEPTH_MAX)
		remove_content(dir_fd, name, depth);
	unlinkat(dir_fd, name, AT_REMOVEDIR);
}

void tree_remove(int dir_fd, const char *name)
{
	remove_at(dir_fd, name, 0);
}
