/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD for QEMU: makes single QMP commands fail. The file that
 * PROVIUM_TEST_QMP names is read for each command and has one line:
 *
 *     ACTION TEXT
 *
 * A command that contains TEXT is then refused ("refuse"), answered with
 * nonsense ("garble") or never answered ("hang"), or QEMU is killed before it
 * sees the command ("kill"). Without that file QEMU sees every command.
 *
 * The library works inside QEMU because provium learns QEMU's process from
 * the sender of the answers: a relay in a process of its own would be taken
 * for QEMU.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Longest command of the tests, in bytes. */
#define COMMAND_MAX 65536u

typedef ssize_t (*recvmsg_fn)(int fd, struct msghdr *m, int flags);

/* QMP's socket; -1 where QEMU was started without one. */
static int qmp_fd = -1;
/* Bytes of a command that QEMU is to see and has not read yet. */
static size_t pass;

__attribute__((constructor)) static void faults_find_socket(void)
{
	static char args[COMMAND_MAX];
	FILE *f = fopen("/proc/self/cmdline", "re");
	size_t n = f ? fread(args, 1, sizeof(args) - 1, f) : 0;

	for (const char *p = args; p < args + n; p += strlen(p) + 1)
		if (strncmp(p, "socket,id=qmp,fd=", 17) == 0)
			qmp_fd = atoi(p + 17);
	if (f)
		fclose(f);
}

/* Sets action and text to the rule's two words; false where there is none. */
static bool faults_rule(char action[16], char text[128])
{
	const char *path = getenv("PROVIUM_TEST_QMP");
	FILE *f = path ? fopen(path, "re") : NULL;
	bool ok = f && fscanf(f, "%15s %127[^\n]", action, text) == 2;

	if (f)
		fclose(f);
	return ok;
}

/* Sends an answer to the command, whose member beside its id is given. */
static void faults_answer(const char *line, const char *member)
{
	const char *id = NULL;
	char answer[256];

	for (const char *p = line; (p = strstr(p, "\"id\":")); p++)
		id = p + 5;
	if (!id)
		abort();
	int n = snprintf(answer, sizeof(answer), "{%s, \"id\": %d}\r\n", member,
			 atoi(id));
	if (send(qmp_fd, answer, (size_t)n, MSG_NOSIGNAL) != n)
		abort();
}

/* True where QEMU must not see the command; it is dealt with then. */
static bool faults_take(const char *line)
{
	char action[16], text[128];

	if (!faults_rule(action, text) || !strstr(line, text))
		return false;
	if (strcmp(action, "kill") == 0)
		kill(getpid(), SIGKILL);
	else if (strcmp(action, "refuse") == 0)
		faults_answer(line, "\"error\": {\"class\": \"GenericError\", "
				    "\"desc\": \"not today\"}");
	else if (strcmp(action, "garble") == 0)
		faults_answer(line, "\"return\": \"nonsense\"");
	return true;
}

/* Looks at the next command; below 1 where QEMU is to read nothing now. */
static ssize_t faults_peek(recvmsg_fn real)
{
	static char line[COMMAND_MAX + 1];
	struct iovec v = {line, COMMAND_MAX};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	ssize_t n = real(qmp_fd, &m, MSG_PEEK | MSG_DONTWAIT);
	char *end = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;

	if (n <= 0)
		return n;
	if (!end && (size_t)n == COMMAND_MAX)
		abort();
	errno = EAGAIN;
	if (!end)
		return -1;
	*end = '\0';
	pass = (size_t)(end - line) + 1;
	if (!faults_take(line))
		return 1;
	v.iov_len = pass;
	pass = 0;
	if (real(qmp_fd, &m, MSG_DONTWAIT) < 0)
		abort();
	errno = EAGAIN;
	return -1;
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	recvmsg_fn real;
	void *found = dlsym(RTLD_NEXT, "recvmsg");

	memcpy(&real, &found, sizeof(real));
	if (fd != qmp_fd || m->msg_iovlen == 0)
		return real(fd, m, flags);
	if (pass == 0) {
		ssize_t r = faults_peek(real);

		if (r < 1)
			return r;
	}
	struct iovec v = m->msg_iov[0];
	struct msghdr part = *m;
	if (v.iov_len > pass)
		v.iov_len = pass;
	part.msg_iov = &v;
	part.msg_iovlen = 1;
	ssize_t n = real(fd, &part, flags);
	m->msg_controllen = part.msg_controllen;
	m->msg_flags = part.msg_flags;
	if (n > 0)
		pass -= (size_t)n;
	return n;
}
