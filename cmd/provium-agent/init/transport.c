/* SPDX-License-Identifier: MIT */
/*
 * A virtio port is /dev/vport<N>p<M>; its name, which QEMU's option name=
 * gives, is in /sys/class/virtio-ports/<device>/name. The name arrives by a
 * control message some time after the device, which sends a uevent.
 */
#include "cmd/provium-agent/init/transport.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/vm_sockets.h>

#include "agent-proto/cleanup.h"

#define UEVENT_KERNEL 1u /* the multicast group of the kernel's own */
#define UEVENT_MAX    8192
#define BACKLOG	      4

/* Bound before the first look, so that no event is missed after it. */
static int open_uevents(void)
{
	struct sockaddr_nl sa = {.nl_family = AF_NETLINK,
				 .nl_groups = UEVENT_KERNEL};
	CLEANUP(fd_closep)
	int fd =
	    socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Returns at the next event that may concern ports. */
static void wait_uevent(int fd)
{
	static const char subsystem[] = "virtio-ports";
	char bytes[UEVENT_MAX];
	ssize_t n;

	do
		n = recv(fd, bytes, sizeof(bytes), 0);
	while ((n < 0 && errno == EINTR) ||
	       (n >= 0 &&
		!memmem(bytes, (size_t)n, subsystem, sizeof(subsystem) - 1)));
}

static bool has_name(int class_fd, const char *device)
{
	char path[300], name[64];
	CLEANUP(fd_closep) int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/name", device);
	fd = openat(class_fd, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);
	if (n <= 0)
		return false;
	name[n] = '\0';
	name[strcspn(name, "\n")] = '\0';
	return !strcmp(name, TRANSPORT_PORT_NAME);
}

/* An fd, -ENOENT when there is none yet, or why it cannot be opened. */
static int find_port(const struct guest *g)
{
	int class_fd = openat(g->sys_fd, "class/virtio-ports",
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = class_fd < 0 ? NULL : fdopendir(class_fd);
	struct dirent *d;
	int rc = -ENOENT;

	if (!dir) {
		fd_closep(&class_fd);
		return -ENOENT;
	}
	while (rc == -ENOENT && (d = readdir(dir))) {
		if (*d->d_name == '.' || !has_name(class_fd, d->d_name))
			continue;
		rc = openat(g->dev_fd, d->d_name,
			    O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (rc < 0)
			rc = -errno;
	}
	closedir(dir);
	return rc;
}

int transport_open_serial(const struct guest *g, struct err *err)
{
	CLEANUP(fd_closep) int events = open_uevents();
	int rc = find_port(g);

	while (rc == -ENOENT && events >= 0) {
		wait_uevent(events);
		rc = find_port(g);
	}
	if (rc < 0)
		err_set(err, rc, "virtio port " TRANSPORT_PORT_NAME ": %s",
			strerror(-rc));
	return rc;
}

static int listen_on(int family, const struct sockaddr *sa, socklen_t n)
{
	CLEANUP(fd_closep)
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, sa, n) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int transport_listen_vsock(uint32_t port, struct err *err)
{
	struct sockaddr_vm sa = {
	    .svm_family = AF_VSOCK,
	    .svm_cid = VMADDR_CID_ANY,
	    .svm_port = port,
	};
	int rc = listen_on(AF_VSOCK, (struct sockaddr *)&sa, sizeof(sa));

	if (rc < 0)
		err_set(err, rc, "listen on vsock port %u: %s", port,
			strerror(-rc));
	return rc;
}

int transport_listen_unix(const char *path, struct err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int rc = -ENAMETOOLONG;

	if (strlen(path) < sizeof(sa.sun_path)) {
		memcpy(sa.sun_path, path, strlen(path));
		rc = listen_on(AF_UNIX, (struct sockaddr *)&sa, sizeof(sa));
	}
	if (rc < 0)
		err_set(err, rc, "listen on '%s': %s", path, strerror(-rc));
	return rc;
}
