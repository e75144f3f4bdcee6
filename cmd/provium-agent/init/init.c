/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * The kernel starts us by rdinit=, before anything of the image runs. We move
 * the files of the boot options into their places (files.h), load what the
 * transport needs and fork. The child is the agent: it listens. The parent
 * remains process 1 and becomes the image's own /init, with the arguments and
 * the environment that the kernel gave; if there is none, it stays and reaps
 * orphans.
 *
 * An image with an /init of its own is not to notice us: nothing is mounted
 * in its tree (guest.h), and the agent is named so that systemd leaves it
 * alone when it kills everything before a switch_root (its documented rule
 * for processes whose argv[0] starts with '@'). An image without one gets the
 * usual file systems, and its loopback interface up.
 */
#include "cmd/provium-agent/init/init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "cmd/provium-agent/core/guest.h"
#include "cmd/provium-agent/core/server.h"
#include "cmd/provium-agent/init/button.h"
#include "cmd/provium-agent/init/config.h"
#include "cmd/provium-agent/init/files.h"
#include "cmd/provium-agent/init/modules.h"
#include "cmd/provium-agent/init/transport.h"
#include "cmd/provium-agent/io/spawn.h"
#include "cmd/provium-agent/ops/ops.h"

#define IMAGE_INIT   "/init"
#define AGENT_NAME   "@provium-agent"

#define MOUNT_POINTS 6

static const struct mount_point {
	const char *path;
	const char *type;
	mode_t mode;
	const char *options;
	bool only_if_empty;
} mount_points[MOUNT_POINTS];

/* --- standard streams ----------------------------------------------------- */

/* The kernel starts us without any where the image has no /dev/console. */
static void reserve_stdio(void)
{
	int fd;

	do
		fd = open("/", O_RDONLY | O_DIRECTORY);
	while (fd >= 0 && fd < 3);
	if (fd >= 3)
		close(fd);
}

static void open_console(const struct guest *g)
{
	CLEANUP(fd_closep) int fd = -1;
	struct stat st;

	if (fstat(2, &st) == 0 && !S_ISDIR(st.st_mode))
		return;
	fd = openat(g->dev_fd, "console", O_RDWR | O_NOCTTY | O_CLOEXEC);
	for (int i = 0; i < 3; i++)
		dup2(fd < 0 ? g->null_fd : fd, i);
}

/* --- file systems --------------------------------------------------------- */

static bool init_is_empty_dir(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	if (!dir)
		return false;
	while (n < 3 && readdir(dir))
		n++;
	closedir(dir);
	return n < 3; /* . and .. */
}

/* Files of the boot options may be in a directory that would be hidden. */
static void mount_all(void)
{
	for (int i = 0; i < MOUNT_POINTS; i++) {
		const struct mount_point *m = &mount_points[i];

		mkdir(m->path, 0755);
		if (m->only_if_empty && !init_is_empty_dir(m->path))
			continue;
		if (mount(m->type, m->path, m->type, 0, m->options) < 0 &&
		    errno != EBUSY)
			fprintf(stderr, "provium-agent: mount %s: %s\n",
				m->path, strerror(errno));
	}
	chmod("/tmp", 01777);
}

/* Programs take 127.0.0.1 for granted. A kernel may have no network. */
static void start_loopback(void)
{
	CLEANUP(fd_closep)
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_name = "lo"};

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return;
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		fprintf(stderr, "provium-agent: lo: %s\n", strerror(errno));
}

#define RCU_HURRY "/sys/kernel/rcu_expedited"

/* Returns what it was, or -1. */
static int hurry_rcu(int how)
{
	CLEANUP(fd_closep) int fd = open(RCU_HURRY, O_RDWR | O_CLOEXEC);
	char was, to = (char)('0' + how);

	if (fd < 0 || how < 0 || read(fd, &was, 1) != 1 ||
	    pwrite(fd, &to, 1, 0) != 1)
		return -1;
	return was - '0';
}

/* A driver that comes or goes waits for RCU grace periods, some 20 ms each. */
static void init_load_modules(const struct strvec *names)
{
	int was = hurry_rcu(1);

	modules_load(names);
	hurry_rcu(was);
}

/* --- process 1 without an image's own init -------------------------------- */

static void end_machine(int how)
{
	sync();
	reboot(how);
	fprintf(stderr, "provium-agent: reboot: %s\n", strerror(errno));
}

static void reap_all(pid_t agent)
{
	int wstatus = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &wstatus, WNOHANG)) > 0)
		if (pid == agent)
			fprintf(stderr,
				"provium-agent: the agent ended, status 0x%x\n",
				(unsigned)wstatus);
}

/* The driver is loaded when the agent leaves time for it: no boot waits for
 * that. SIGIO tells of events. */
static int watch_button(void)
{
	char name[] = "button";
	char *list[] = {name, NULL};
	const struct strvec wanted = {.v = list, .n = 1};
	int fd;

	setpriority(PRIO_PROCESS, 0, 19);
	modules_try(&wanted);
	setpriority(PRIO_PROCESS, 0, 0);
	fd = button_open();
	if (fd >= 0 && (fcntl(fd, F_SETOWN, getpid()) < 0 ||
			fcntl(fd, F_SETFL, O_ASYNC) < 0))
		perror("provium-agent: the power button");
	return fd;
}

/* busybox's poweroff and reboot send these signals to process 1, the kernel
 * SIGINT for Ctrl-Alt-Del. */
static void idle_as_init(pid_t agent, int tell_fd)
{
	sigset_t set;
	int button;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	reboot(RB_DISABLE_CAD);
	reap_all(agent);
	button = watch_button();
	close(tell_fd);
	for (;;) {
		if (sigwait(&set, &signo) != 0)
			continue;
		if (signo == SIGCHLD)
			reap_all(agent);
		else if (signo == SIGIO && !button_was_pressed(button))
			continue;
		else if (signo == SIGIO)
			end_machine(RB_POWER_OFF);
		else if (signo == SIGUSR1 || signo == SIGUSR2)
			end_machine(RB_POWER_OFF);
		else
			end_machine(RB_AUTOBOOT);
	}
}

/* --- the agent ------------------------------------------------------------ */

int init_serve(struct guest *g, const struct config *c)
{
	struct server *s;
	struct err err;
	int fd, how;

	g->owns_machine = true;
	guest_protect_agent(g);
	setenv("PATH", SPAWN_PATH_DEFAULT, 0);
	s = server_new(&ops_server_kind, g);
	fd = c->transport == TRANSPORT_VSOCK
		 ? transport_listen_vsock(c->port, &err)
		 : transport_open_serial(g, &err);
	if (fd < 0) {
		fprintf(stderr, "provium-agent: %s\n", err.text);
		server_free(s);
		return 1;
	}
	if (c->transport == TRANSPORT_VSOCK)
		server_set_listener(s, fd);
	else
		server_set_port(s, fd, EOF_WAITS);
	how = server_run(s);
	if (how >= 0)
		end_machine(how == MSG_SHUTDOWN_REBOOT ? RB_AUTOBOOT
						       : RB_POWER_OFF);
	server_free(s);
	return 1;
}

/* argv[0] is a place of fixed size. */
static void rename_process(char *arg0)
{
	size_t n = strlen(arg0);

	prctl(PR_SET_NAME, "provium-agent");
	if (n >= sizeof(AGENT_NAME) - 1) {
		memset(arg0, 0, n);
		memcpy(arg0, AGENT_NAME, sizeof(AGENT_NAME) - 1);
	}
}

/* tell_fd: of a pipe whose other end is g's; not the agent's. */
static pid_t fork_agent(struct guest *g, const struct config *c, char *arg0,
			int tell_fd)
{
	pid_t pid = fork();

	if (pid < 0)
		fprintf(stderr, "provium-agent: fork: %s\n", strerror(errno));
	if (pid != 0)
		return pid;
	close(tell_fd);
	setsid();
	rename_process(arg0);
	_exit(init_serve(g, c));
}

/* The end of process 1 makes the kernel panic. The kernel does so by itself,
 * too, if it can execute no init. */
static void fail_image_init(void)
{
	fprintf(stderr,
		"provium-agent: the image's " IMAGE_INIT " cannot be executed: "
		"%s\n",
		strerror(errno));
	_exit(1);
}

static void become_image_init(char **argv)
{
	argv[0] = (char[]){IMAGE_INIT};
	execv(IMAGE_INIT, argv);
	fail_image_init();
}

/* The machine is brought as far as the agent needs it. An /init of the image is
 * left alone: false where there is none, or where it is not to run, as a file
 * of the boot options is not in its place. */
static bool init_set_up(struct guest *g, const struct config *c)
{
	struct err err = {0};
	struct files files;
	struct stat st;
	int r = files_place(&files, "", c->n_files, &err);
	bool has_init = r == 0 && lstat(IMAGE_INIT, &st) == 0;

	if (has_init) {
		guest_init_detached(g);
	} else {
		mount_all();
		start_loopback();
		guest_init_mounted(g);
		if (r == 0)
			files_check_visible(&files, &err);
	}
	files_done(&files);
	g->foreign_init = has_init;
	g->n_files = c->n_files;
	g->files_err = err;
	return has_init;
}

void init_main(char **argv)
{
	bool has_init;
	struct guest g;
	struct config c;
	int tell[2] = {-1, -1};
	pid_t agent;

	reserve_stdio();
	config_load(&c, CONFIG_PATH);
	has_init = init_set_up(&g, &c);
	open_console(&g);
	if (has_init && access(IMAGE_INIT, X_OK) < 0)
		fail_image_init();
	init_load_modules(&c.modules);
	if (!has_init && pipe2(tell, O_CLOEXEC) < 0)
		perror("provium-agent: pipe");
	g.button_fd = guest_fd_up(tell[0]);
	agent = fork_agent(&g, &c, argv[0], tell[1]);
	if (has_init)
		become_image_init(argv);
	guest_done(&g);
	config_done(&c);
	idle_as_init(agent, tell[1]);
	abort(); /* not reached */
}

static const struct mount_point mount_points[MOUNT_POINTS] = {
    {"/dev", "devtmpfs", 0755, "mode=0755", false},
    {"/proc", "proc", 0555, NULL, false},
    {"/sys", "sysfs", 0555, NULL, false},
    {"/dev/pts", "devpts", 0755, "gid=5,mode=0620,ptmxmode=0666", false},
    {"/run", "tmpfs", 0755, "mode=0755", true},
    {"/tmp", "tmpfs", 01777, "mode=1777", true},
};
