/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/core/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/handle.h"

/* Descriptors of the agent: each handle may have one, and there are others. */
#define NOFILE_WANTED (HANDLES_MAX + 1024)

/* linux/mount.h; spelt here because old headers lack them. */
#define FS_OPEN_CLOEXEC	     1u
#define FS_CONFIG_CMD_CREATE 6u
#define FS_MOUNT_CLOEXEC     1u

#define KERNEL_SIGNALS	     64
#define FD_OURS		     200 /* where our own descriptors begin */

static int open_dir(const char *path)
{
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Before Linux 5.2, which brought fsopen(2). */
static int mount_and_detach(const char *fstype)
{
	static const char dir[] = "/.provium/mnt";
	int fd;

	mkdir(dir, 0700);
	if (mount(fstype, dir, fstype, 0, NULL) < 0)
		return -1;
	fd = open_dir(dir);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return fd;
}

/*
 * A mount that is in no tree: the image's own init finds its /proc, /sys and
 * /dev as it would without us (mounting a file system twice on one directory
 * is EBUSY, which a careful init script takes for fatal).
 */
static int mount_detached(const char *fstype)
{
	CLEANUP(fd_closep)
	int fs = (int)syscall(SYS_fsopen, fstype, FS_OPEN_CLOEXEC);

	if (fs < 0)
		return errno == ENOSYS ? mount_and_detach(fstype) : -1;
	if (syscall(SYS_fsconfig, fs, FS_CONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, fs, FS_MOUNT_CLOEXEC, 0);
}

static void see_root(struct guest *g)
{
	struct stat st;

	if (g->proc_fd < 0 || fstatat(g->proc_fd, "1/root", &st, 0) < 0)
		return;
	g->root_dev = st.st_dev;
	g->root_ino = st.st_ino;
}

int guest_fd_up(int take_fd)
{
	int fd = take_fd < 0 ? -1 : fcntl(take_fd, F_DUPFD_CLOEXEC, FD_OURS);

	if (fd < 0)
		return take_fd;
	close(take_fd);
	return fd;
}

static void guest_finish(struct guest *g)
{
	g->button_fd = -1;
	int fd = openat(g->dev_fd, "null", O_RDWR | O_CLOEXEC);

	if (fd < 0) /* a kernel without devtmpfs */
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	g->null_fd = guest_fd_up(fd);
	g->proc_fd = guest_fd_up(g->proc_fd);
	g->sys_fd = guest_fd_up(g->sys_fd);
	g->dev_fd = guest_fd_up(g->dev_fd);
	if (getrlimit(RLIMIT_NOFILE, &g->nofile) < 0)
		g->nofile = (struct rlimit){1024, 1024};
	see_root(g);
}

void guest_init_mounted(struct guest *g)
{
	*g = (struct guest){
	    .proc_fd = open_dir("/proc"),
	    .sys_fd = open_dir("/sys"),
	    .dev_fd = open_dir("/dev"),
	};
	guest_finish(g);
}

void guest_init_detached(struct guest *g)
{
	*g = (struct guest){
	    .proc_fd = mount_detached("proc"),
	    .sys_fd = mount_detached("sysfs"),
	    .dev_fd = mount_detached("devtmpfs"),
	};
	guest_finish(g);
}

void guest_done(struct guest *g)
{
	fd_closep(&g->proc_fd);
	fd_closep(&g->sys_fd);
	fd_closep(&g->dev_fd);
	fd_closep(&g->null_fd);
	fd_closep(&g->button_fd);
}

/* Whoever started us may have left signals ignored, also those that libc keeps
 * for itself; our children are to find none. A kernel_sigaction of zeros is
 * SIG_DFL. */
static void guest_reset_signals(void)
{
	static const unsigned long zeros[8];

	for (int signo = 1; signo <= KERNEL_SIGNALS; signo++)
		syscall(SYS_rt_sigaction, signo, zeros, NULL,
			KERNEL_SIGNALS / 8);
}

void guest_protect_agent(struct guest *g)
{
	struct rlimit allowed = {g->nofile.rlim_max, g->nofile.rlim_max};
	struct rlimit many = {NOFILE_WANTED, NOFILE_WANTED};
	CLEANUP(fd_closep) int fd = -1;

	guest_reset_signals();
	signal(SIGPIPE, SIG_IGN);
	if (allowed.rlim_max >= NOFILE_WANTED ||
	    setrlimit(RLIMIT_NOFILE, &many) < 0)
		setrlimit(RLIMIT_NOFILE, &allowed);
	if (g->proc_fd < 0 || !g->owns_machine)
		return;
	fd = openat(g->proc_fd, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "-1000", 5) < 0)
		return; /* then it is as likely a victim as others */
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* All but 0 to 2 and those kept. */
static void close_others(int *keep, size_t n)
{
	int from = 3;

	qsort(keep, n, sizeof(*keep), by_number);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < from)
			continue;
		if (keep[i] > from)
			close_range((unsigned)from, (unsigned)keep[i] - 1, 0);
		from = keep[i] + 1;
	}
	close_range((unsigned)from, ~0u, 0);
}

static void be_a_victim(const struct guest *g)
{
	CLEANUP(fd_closep) int fd = -1;

	if (g->proc_fd < 0 || !g->owns_machine)
		return;
	fd = openat(g->proc_fd, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "0", 1) < 0)
		return; /* a kernel without OOM killer */
}

void guest_become_worker(struct guest *g, int keep_fd)
{
	int keep[] = {keep_fd, g->proc_fd, g->sys_fd, g->dev_fd, g->null_fd};
	be_a_victim(g);
	close_others(keep, ARRAY_LEN(keep));
	setrlimit(RLIMIT_NOFILE, &g->nofile);
	g->button_fd = -1;
	g->is_worker = true;
	g->owns_machine = false;
	g->foreign_init = false;
}

void guest_follow_root(struct guest *g)
{
	CLEANUP(fd_closep) int fd = -1;
	struct stat st;

	if (!g->foreign_init || g->proc_fd < 0 ||
	    fstatat(g->proc_fd, "1/root", &st, 0) < 0)
		return;
	if (st.st_dev == g->root_dev && st.st_ino == g->root_ino)
		return;
	fd = openat(g->proc_fd, "1/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fchdir(fd) < 0 || chroot(".") < 0)
		return; /* tried again before the next operation */
	g->root_dev = st.st_dev;
	g->root_ino = st.st_ino;
}
