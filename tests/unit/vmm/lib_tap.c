/* SPDX-License-Identifier: MIT */
#include "tests/unit/vmm/lib_tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- in the child -------------------------------------------------------- */

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) >= 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Root of a namespace of its own, whoever it is outside. */
static bool enter_namespaces(void)
{
	char map[64];

	snprintf(map, sizeof(map), "0 %u 1", (unsigned)getuid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)
		return write_file("/proc/self/uid_map", map);
	return unshare(CLONE_NEWNET) == 0;
}

static int open_tap(const uint8_t *mac)
{
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(r.ifr_name, "tap0");
	if (fd < 0 || s < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
		return -1;
	r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(r.ifr_hwaddr.sa_data, mac, MAC_LEN);
	if (ioctl(s, SIOCSIFHWADDR, &r) < 0)
		return -1;
	r.ifr_flags = IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, &r) < 0)
		return -1;
	close(s);
	return fd;
}

/* The fd, or a byte without one. */
static void send_fd(int to, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} u = {0};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		m.msg_control = u.bytes;
		m.msg_controllen = sizeof(u.bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	if (sendmsg(to, &m, MSG_NOSIGNAL) < 0)
		_exit(125);
}

static _Noreturn void be_host(int control, const uint8_t *mac,
			      const char *script)
{
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	fd = enter_namespaces() ? open_tap(mac) : -1;
	send_fd(control, fd);
	if (fd < 0)
		_exit(125);
	dup2(control, STDOUT_FILENO);
	dup2(control, STDERR_FILENO);
	execl("/bin/sh", "sh", "-c", script, (char *)NULL);
	_exit(126);
}

/* --- in the parent ------------------------------------------------------- */

static int receive_fd(int from)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} u = {0};
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = u.bytes,
			   .msg_controllen = sizeof(u.bytes)};
	int fd = -1;

	if (recvmsg(from, &m, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	return fd;
}

bool tap_host_start(struct tap_host *h, const uint8_t mac[MAC_LEN],
		    const char *script)
{
	int s[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) < 0)
		return false;
	h->pid = fork();
	if (!h->pid)
		be_host(s[1], mac, script);
	close(s[1]);
	h->control = s[0];
	h->fd = h->pid > 0 ? receive_fd(s[0]) : -1;
	if (h->fd >= 0)
		return true;
	tap_host_stop(h);
	return false;
}

int tap_host_stop(struct tap_host *h)
{
	int status = -1;

	if (h->pid > 0) {
		/* Its output ended; what it left running has no network. */
		close(h->control);
		if (h->fd >= 0)
			close(h->fd);
		if (waitpid(h->pid, &status, 0) < 0)
			status = -1;
		kill(-h->pid, SIGKILL);
	}
	h->pid = 0;
	return status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
