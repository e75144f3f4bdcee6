/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "streams/disk_err.h"
#include "tests/unit/skip.h"
#include "tests/unit/tmp.h"

#define NO_MOUNTS 77

static void other_errors_are_told_as_they_are(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(
	    disk_err(&err, -EACCES, "/tmp/x", "cannot write '%s'", "/tmp/x"),
	    -EACCES);
	assert_string_equal(err.text,
			    "cannot write '/tmp/x': Permission denied");
	assert_int_equal(err.code, -EACCES);
	disk_err(&err, -ENOSPC, "/dev/full", "no");
	assert_string_equal(err.text, "no: No space left on device");
}

/* Checks the reason for a path of the file system at dir. */
static int says(int code, const char *dir, const char *path, const char *want)
{
	char *all = mem_printf("no: the %s at '%s'%s",
			       code == -EDQUOT ? "quota for the file system"
					       : "file system",
			       dir, want);
	struct err err = {0};

	disk_err(&err, code, path, "no");
	int is_bad = strcmp(err.text, all) != 0;
	if (is_bad)
		fprintf(stderr, "%s, not %s\n", err.text, all);
	free(all);
	return is_bad;
}

/* A file system of 64 KiB and 5 inodes: the root, the folder, the link, the
 * file and the last. */
static int try_full(const char *dir)
{
	char in[200], file[200], link_to[200], fd_path[64];

	snprintf(in, sizeof(in), "%s/a", dir);
	snprintf(file, sizeof(file), "%s/a/file", dir);
	snprintf(link_to, sizeof(link_to), "%s/link", dir);
	if (unshare(CLONE_NEWNS) < 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return NO_MOUNTS;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", dir, "tmpfs", 0, "size=64k,nr_inodes=5") < 0)
		return NO_MOUNTS;
	if (mkdir(in, 0700) < 0 || symlink("a", link_to) < 0)
		return 2;
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return 3;
	snprintf(fd_path, sizeof(fd_path), "/proc/self/fd/%d", fd);
	int bad = says(-ENOSPC, dir, file, " (0.1 MiB) is full");
	bad += says(-ENOSPC, dir, fd_path, " (0.1 MiB) is full");
	snprintf(link_to, sizeof(link_to), "%s/link/no/such", dir);
	bad += says(-ENOSPC, dir, link_to, " (0.1 MiB) is full");
	bad += says(-EDQUOT, dir, file, " is used up");
	snprintf(in, sizeof(in), "%s/last", dir);
	if (mknod(in, S_IFREG | 0600, 0) < 0)
		return 4;
	return bad + says(-ENOSPC, dir, file, " has no inode left");
}

static void a_full_file_system_is_named(void **state)
{
	char dir[TMP_PATH_MAX];
	int status;

	(void)state;
	tmp_template(dir);
	assert_non_null(mkdtemp(dir));
	pid_t pid = fork();
	if (!pid)
		_exit(try_full(dir));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rmdir(dir);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_MOUNTS)
		skip_because("no mounts of its own for a process");
	assert_int_equal(status, 0);
}

static void the_root_is_a_mount_point_too(void **state)
{
	struct err err;

	(void)state;
	disk_err(&err, -ENOSPC, "/no/such/file", "no");
	assert_non_null(strstr(err.text, "no: the file system at '/' ("));
	disk_err(&err, -ENOSPC, "no-such-file", "no");
	assert_non_null(strstr(err.text, "no: the file system at '/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(other_errors_are_told_as_they_are),
	    cmocka_unit_test(a_full_file_system_is_named),
	    cmocka_unit_test(the_root_is_a_mount_point_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
