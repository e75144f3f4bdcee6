/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD for tests: makes one call of a C library function fail, or be
 * short, in provium's own processes.
 *
 *   FAULT_WHO      whose: "parent" (`provium run`) or "worker", which the
 *                  parent forks; or "both"
 *   FAULT_CALL     the function's name, as in the table below
 *   FAULT_AT       which call of it in a process, from 1; 0: none
 *   FAULT_ERRNO    the number to fail with; 0: be short (half of what was
 *                  asked for, at least 1)
 *   FAULT_COUNTS   a directory: at its end a process writes there how often it
 *                  called what, in the file WHO.PID
 *
 * Programs that provium starts, and its children before they execute one, are
 * left alone.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* X(name): every function that can be made to fail. */
#define CALLS(X)                                                               \
	X(open)                                                                \
	X(openat)                                                              \
	X(fopen)                                                               \
	X(opendir)                                                             \
	X(read)                                                                \
	X(pread)                                                               \
	X(write)                                                               \
	X(pwrite)                                                              \
	X(send)                                                                \
	X(recv)                                                                \
	X(sendfile)                                                            \
	X(copy_file_range)                                                     \
	X(socket)                                                              \
	X(socketpair)                                                          \
	X(bind)                                                                \
	X(listen)                                                              \
	X(accept4)                                                             \
	X(setsockopt)                                                          \
	X(pipe2)                                                               \
	X(mmap)                                                                \
	X(ftruncate)                                                           \
	X(fsync)                                                               \
	X(fork)                                                                \
	X(epoll_create1)                                                       \
	X(epoll_ctl)                                                           \
	X(mkdir)                                                               \
	X(mkdtemp)                                                             \
	X(unlink)                                                              \
	X(unlinkat)                                                            \
	X(rename)                                                              \
	X(flock)                                                               \
	X(fcntl)                                                               \
	X(eventfd)                                                             \
	X(pidfd_open)

enum call {
#define X(name) CALL_##name,
	CALLS(X)
#undef X
	    N_CALLS
};

static const char *const names[] = {
#define X(name) #name,
    CALLS(X)
#undef X
};

static struct {
	pid_t pid; /* of the process whose calls are counted; 0: leave alone */
	const char *who;
	int call;
	unsigned long at;
	int errnum;
	unsigned long counts[N_CALLS];
} state;

static bool is_run(void)
{
	char text[4096];
	FILE *f = fopen("/proc/self/cmdline", "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	const char *verb;

	if (f)
		fclose(f);
	text[n] = '\0';
	verb = text + strlen(text) + 1;
	return verb < text + n && !strstr(text, "qemu") && !strcmp(verb, "run");
}

static void __attribute__((constructor)) set_up(void)
{
	const char *call = getenv("FAULT_CALL");
	const char *at = getenv("FAULT_AT");
	const char *errnum = getenv("FAULT_ERRNO");

	if (!getenv("FAULT_WHO") || !is_run())
		return;
	state.call = -1;
	for (int i = 0; call && i < N_CALLS; i++)
		if (!strcmp(call, names[i]))
			state.call = i;
	state.at = at ? strtoul(at, NULL, 10) : 0;
	state.errnum = errnum ? atoi(errnum) : EIO;
	state.who = "parent";
	memset(state.counts, 0, sizeof(state.counts));
	state.pid = getpid();
}

/* Whether this process is the parent, or a worker, and not another child. */
static bool is_known(void)
{
	char name[16];

	if (!state.pid || state.pid == getpid())
		return state.pid;
	if (strcmp(state.who, "parent") != 0 || prctl(PR_GET_NAME, name) < 0 ||
	    strcmp(name, "provium-worker") != 0)
		return false;
	state.who = "worker";
	memset(state.counts, 0, sizeof(state.counts));
	state.pid = getpid();
	return true;
}

static bool is_target(void)
{
	const char *target = getenv("FAULT_WHO");

	return target && is_known() &&
	       (!strcmp(target, "both") || !strcmp(target, state.who));
}

static void __attribute__((destructor)) tell(void)
{
	const char *dir = getenv("FAULT_COUNTS");
	char path[512];
	FILE *f;

	if (!dir || !is_target())
		return;
	state.pid = 0;
	snprintf(path, sizeof(path), "%s/%s.%d", dir, state.who, getpid());
	f = fopen(path, "we");
	for (int i = 0; f && i < N_CALLS; i++)
		fprintf(f, "%s %lu\n", names[i], state.counts[i]);
	if (f)
		fclose(f);
}

/* So a worker ends, and no destructor is called. */
void _exit(int status)
{
	static void (*real)(int);

	tell();
	*(void **)&real = dlsym(RTLD_NEXT, "_exit");
	real(status);
	abort();
}

/* Whether it is this call's turn. */
static bool is_due(enum call c)
{
	if (!is_target())
		return false;
	/* A worker has threads. */
	unsigned long n =
	    __atomic_add_fetch(&state.counts[c], 1, __ATOMIC_RELAXED);

	return n == state.at && state.call == (int)c;
}

/* Fails: returns true with errno set. Short: false, with *n smaller. */
static bool spoil(enum call c, size_t *n)
{
	if (!is_due(c))
		return false;
	if (!state.errnum) {
		if (n && *n > 1)
			*n /= 2;
		return false;
	}
	errno = state.errnum;
	return true;
}

#define REAL(ret, name, ...)                                                   \
	static ret (*real)(__VA_ARGS__);                                       \
	if (!real)                                                             \
	*(void **)&real = dlsym(RTLD_NEXT, #name)

/* ret name(params): fails with `bad`. */
#define WRAP(ret, bad, name, params, args)                                     \
	ret name params;                                                       \
	ret name params                                                        \
	{                                                                      \
		static ret(*real) params;                                      \
		if (!real)                                                     \
			*(void **)&real = dlsym(RTLD_NEXT, #name);             \
		return spoil(CALL_##name, NULL) ? (bad) : real args;           \
	}

/* The same for what may be short: its count is n. */
#define WRAP_N(name, params, args)                                             \
	ssize_t name params;                                                   \
	ssize_t name params                                                    \
	{                                                                      \
		static ssize_t(*real) params;                                  \
		if (!real)                                                     \
			*(void **)&real = dlsym(RTLD_NEXT, #name);             \
		return spoil(CALL_##name, &n) ? -1 : real args;                \
	}

/* What _FORTIFY_SOURCE calls in place of it, with the size of the buffer. */
#define WRAP_CHECKED(name, params, args)                                       \
	ssize_t __##name##_chk params;                                         \
	ssize_t __##name##_chk params                                          \
	{                                                                      \
		(void)room;                                                    \
		return name args;                                              \
	}

WRAP_N(read, (int fd, void *p, size_t n), (fd, p, n))
WRAP_N(pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at))
WRAP_N(write, (int fd, const void *p, size_t n), (fd, p, n))
WRAP_N(pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
WRAP_N(send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
WRAP_N(recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags))
WRAP_N(sendfile, (int out, int in, off_t *at, size_t n), (out, in, at, n))
WRAP_N(copy_file_range,
       (int in, off_t *in_at, int out, off_t *out_at, size_t n, unsigned f),
       (in, in_at, out, out_at, n, f))
WRAP_CHECKED(read, (int fd, void *p, size_t n, size_t room), (fd, p, n))
WRAP_CHECKED(pread, (int fd, void *p, size_t n, off_t at, size_t room),
	     (fd, p, n, at))
WRAP_CHECKED(recv, (int fd, void *p, size_t n, size_t room, int flags),
	     (fd, p, n, flags))

WRAP(FILE *, NULL, fopen, (const char *path, const char *mode), (path, mode))
WRAP(void *, NULL, opendir, (const char *path), (path))
WRAP(int, -1, socket, (int a, int b, int c), (a, b, c))
WRAP(int, -1, socketpair, (int a, int b, int c, int fds[2]), (a, b, c, fds))
WRAP(int, -1, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(int, -1, listen, (int fd, int n), (fd, n))
WRAP(int, -1, accept4, (int fd, struct sockaddr *a, socklen_t *n, int f),
     (fd, a, n, f))
WRAP(int, -1, setsockopt, (int fd, int a, int b, const void *p, socklen_t n),
     (fd, a, b, p, n))
WRAP(int, -1, pipe2, (int fds[2], int flags), (fds, flags))
WRAP(void *, MAP_FAILED, mmap,
     (void *p, size_t n, int prot, int flags, int fd, off_t at),
     (p, n, prot, flags, fd, at))
WRAP(int, -1, ftruncate, (int fd, off_t n), (fd, n))
WRAP(int, -1, fsync, (int fd), (fd))
WRAP(pid_t, -1, fork, (void), ())
WRAP(int, -1, epoll_create1, (int flags), (flags))
WRAP(int, -1, epoll_ctl, (int ep, int op, int fd, struct epoll_event *ev),
     (ep, op, fd, ev))
WRAP(int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(char *, NULL, mkdtemp, (char *path), (path))
WRAP(int, -1, unlink, (const char *path), (path))
WRAP(int, -1, unlinkat, (int dir, const char *path, int flags),
     (dir, path, flags))
WRAP(int, -1, rename, (const char *from, const char *to), (from, to))
WRAP(int, -1, flock, (int fd, int how), (fd, how))
WRAP(int, -1, eventfd, (unsigned n, int flags), (n, flags))
WRAP(int, -1, pidfd_open, (pid_t pid, unsigned flags), (pid, flags))

/* Those with an argument that is there or not. */
int open(const char *path, int flags, ...)
{
	REAL(int, open, const char *, int, ...);
	va_list ap;

	va_start(ap, flags);
	mode_t mode = va_arg(ap, mode_t);
	va_end(ap);
	return spoil(CALL_open, NULL) ? -1 : real(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	REAL(int, openat, int, const char *, int, ...);
	va_list ap;

	va_start(ap, flags);
	mode_t mode = va_arg(ap, mode_t);
	va_end(ap);
	return spoil(CALL_openat, NULL) ? -1 : real(dir, path, flags, mode);
}

int fcntl(int fd, int cmd, ...)
{
	REAL(int, fcntl, int, int, ...);
	va_list ap;

	va_start(ap, cmd);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	/* To ask fails for nobody. */
	if (cmd != F_GETFL && cmd != F_GETFD && spoil(CALL_fcntl, NULL))
		return -1;
	return real(fd, cmd, arg);
}
