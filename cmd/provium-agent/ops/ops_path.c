/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/ops/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"

#define PERM_MASK 07777u
#define PERM_DIR  0755u /* of parents made on the way */

void op_stat(const struct req *r)
{
	const struct msg_stat *q = &r->m->stat;
	struct msg m = {.type = MSG_FILE_STATUS};
	struct stat st;

	if (fstatat(AT_FDCWD, q->path, &st,
		    q->nofollow ? AT_SYMLINK_NOFOLLOW : 0) < 0) {
		req_error(r, errno, "stat '%s'", q->path);
		return;
	}
	m.file_status = (struct msg_file_status){
	    .size = (uint64_t)st.st_size,
	    .mtime_sec = st.st_mtim.tv_sec,
	    .mtime_nsec = (uint32_t)st.st_mtim.tv_nsec,
	    .mode = st.st_mode,
	    .uid = st.st_uid,
	    .gid = st.st_gid,
	    .nlink = st.st_nlink,
	    .dev = st.st_dev,
	    .ino = st.st_ino,
	};
	req_reply(r, &m);
}

/* The mode is what was asked for, whatever the umask. */
static int mkdir_exact(const char *path, mode_t perm)
{
	mode_t mask = umask(0);
	int rc = mkdir(path, perm) < 0 ? -errno : 0;

	umask(mask);
	/* mkdir(2) leaves the set-id bits out. */
	if (!rc && perm & (S_ISUID | S_ISGID) && chmod(path, perm) < 0)
		rc = -errno;
	return rc;
}

static bool ops_path_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Every directory above the last component of path, which is changed on the
 * way and restored. */
static int ops_path_make_parents(char *path)
{
	for (char *p = path + 1; *p; p++) {
		int rc;

		if (*p != '/' || p[1] == '/' || !p[1])
			continue;
		*p = '\0';
		rc = ops_path_is_dir(path) ? 0 : mkdir_exact(path, PERM_DIR);
		if (rc == -EEXIST)
			rc = -ENOTDIR;
		*p = '/';
		if (rc < 0)
			return rc;
	}
	return 0;
}

void op_mkdir(const struct req *r)
{
	const struct msg_mkdir *q = &r->m->mkdir;
	CLEANUP(free_ptr) char *path = mem_strdup(q->path);
	int rc = q->parents && *path ? ops_path_make_parents(path) : 0;

	if (!rc)
		rc = mkdir_exact(path, q->perm & PERM_MASK);
	if (rc == -EEXIST && q->parents && ops_path_is_dir(path))
		rc = 0;
	if (rc < 0)
		req_error(r, -rc, "mkdir '%s'", q->path);
	else
		req_done(r, 0);
}

void op_unlink(const struct req *r)
{
	const char *path = r->m->unlink.path;

	/* Linux says EISDIR for a directory, POSIX EPERM. */
	if (unlink(path) == 0 ||
	    ((errno == EISDIR || errno == EPERM) && rmdir(path) == 0))
		req_done(r, 0);
	else
		req_error(r, errno, "unlink '%s'", path);
}

void op_rename(const struct req *r)
{
	const struct msg_rename *q = &r->m->rename;

	if (rename(q->from, q->to) < 0)
		req_error(r, errno, "rename '%s' to '%s'", q->from, q->to);
	else
		req_done(r, 0);
}
