/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * A page is the process's own when it is anonymous: of a private mapping of a
 * file the ones that were written to, of anonymous memory all that were ever
 * touched. pagemap says so with its bits for "present", "swapped" and "of a
 * file or shared" (Documentation/admin-guide/mm/pagemap.rst); it needs no
 * privilege, as the frame numbers that it hides are not asked for.
 *
 * A delta: the magic, then records of two 64-bit numbers, little-endian, an
 * offset and a length, both multiples of a page, and that many bytes; in order
 * of offsets. A hole would not do: a page that became zero is a change.
 */
#include "vmm/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/disk_err.h"
#include "streams/io.h"

#define PM_FILE	   (UINT64_C(1) << 61)
#define PM_SWAPPED (UINT64_C(1) << 62)
#define PM_PRESENT (UINT64_C(1) << 63)

/* Entries of pagemap that are read at a time. */
#define WINDOW 65536u

static const char delta_magic[8] = "PVDELTA1";

struct ram_copy {
	struct ram_map map;
	enum ram_form form;
	bool is_load;
	int fd; /* borrowed */
	int mem_fd;
	int pagemap_fd; /* of a save */
	uint64_t at;	/* bytes of the RAM that are done with */
	uint64_t done;
	uint64_t window_at; /* first page in window */
	size_t n_window;
	uint64_t *window;
	uint8_t *bytes; /* RAM_RUN_MAX */
};

static struct ram_copy *copy_new(const struct ram_map *m, int fd)
{
	struct ram_copy *c = mem_zalloc(sizeof(*c));

	c->map = *m;
	c->fd = fd;
	c->mem_fd = c->pagemap_fd = -1;
	c->bytes = mem_alloc(RAM_RUN_MAX);
	return c;
}

struct ram_copy *ram_copy_free(struct ram_copy *c)
{
	if (!c)
		return NULL;
	fd_closep(&c->mem_fd);
	fd_closep(&c->pagemap_fd);
	free(c->window);
	free(c->bytes);
	free(c);
	return NULL;
}

uint64_t ram_copy_bytes(const struct ram_copy *c)
{
	return c->done;
}

/*
 * Whether the process has given back its memory, which it does before it
 * becomes a zombie. Every user may read /proc/PID/statm. Its first number, the
 * size, is 0 then (proc_pid_statm() of Linux' fs/proc/array.c).
 */
static bool has_ended(pid_t pid)
{
	CLEANUP(free_ptr) char *path = mem_printf("/proc/%d/statm", (int)pid);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[2];

	if (fd < 0)
		return errno == ENOENT;
	ssize_t r = io_read(fd, text, sizeof(text));
	return r == -ESRCH || (r == sizeof(text) && !memcmp(text, "0 ", 2));
}

static int open_proc(const struct ram_map *m, const char *name, int flags,
		     struct err *err)
{
	CLEANUP(free_ptr) char *path = mem_printf("/proc/%d/%s", m->pid, name);
	int fd = open(path, flags | O_CLOEXEC);
	int code = -errno;

	if (fd >= 0)
		return fd;
	/* The kernel refuses a user who is not root the files of a zombie. */
	if (has_ended(m->pid))
		return err_set(err, -ESRCH,
			       "cannot open the memory of QEMU: it has ended");
	if (code == -EACCES || code == -EPERM)
		return err_set(err, -EPERM,
			       "the kernel does not let provium see the memory "
			       "of its QEMU ('%s': %s): is "
			       "/proc/sys/kernel/yama/ptrace_scope above 1?",
			       path, strerror(-code));
	return err_set(err, code, "cannot open '%s': %s", path,
		       strerror(-code));
}

/* --- reads and writes --------------------------------------------------- */

/* r: of writing to fd. */
static int write_ram(int fd, int r, struct err *err)
{
	char path[sizeof("/proc/self/fd/") + 11];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return r < 0 ? disk_err(err, r, path, "cannot write a snapshot's RAM")
		     : 0;
}

static int write_mem(int fd, const void *p, size_t n, uint64_t at,
		     struct err *err)
{
	int r = io_write_at(fd, p, n, at);

	if (r == -ENODATA)
		r = -ESRCH; /* it has ended */
	return r < 0 ? err_set(err, r, "cannot write the memory of QEMU: %s",
			       strerror(-r))
		     : 0;
}

int ram_peek(const struct ram_map *m, void *to, struct err *err)
{
	CLEANUP(fd_closep) int fd = open_proc(m, "mem", O_RDONLY, err);
	ssize_t r = fd < 0 ? fd : io_read_at(fd, to, m->size, m->addr);

	if (fd < 0 || r == (ssize_t)m->size)
		return fd < 0 ? fd : 0;
	return err_set(err, r < 0 ? (int)r : -ESRCH,
		       "cannot read the memory of QEMU: %s",
		       r < 0 ? strerror((int)-r) : "it has ended");
}

int ram_poke(const struct ram_map *m, const void *from, struct err *err)
{
	CLEANUP(fd_closep) int fd = open_proc(m, "mem", O_RDWR, err);

	return fd < 0 ? fd : write_mem(fd, from, m->size, m->addr, err);
}

/* --- saving ----------------------------------------------------------------
 */

static struct ram_copy *save_new(const struct ram_map *m, enum ram_form form,
				 int fd, struct err *err)
{
	struct ram_copy *c = copy_new(m, fd);
	int r;

	c->form = form;
	c->window = mem_realloc_array(NULL, WINDOW, sizeof(*c->window));
	r = c->mem_fd = open_proc(m, "mem", O_RDONLY, err);
	if (r >= 0)
		r = c->pagemap_fd = open_proc(m, "pagemap", O_RDONLY, err);
	return r < 0 ? ram_copy_free(c) : c;
}

struct ram_copy *ram_save_new(const struct ram_map *m, enum ram_form form,
			      int fd, struct err *err)
{
	struct ram_copy *c = save_new(m, form, fd, err);
	int r = c ? 0 : err->code;

	if (r >= 0 && form == RAM_DELTA)
		r = write_ram(
		    fd, io_write(fd, delta_magic, sizeof(delta_magic)), err);
	else if (r >= 0 && form == RAM_IMAGE &&
		 ftruncate(fd, (off_t)m->size) < 0)
		r = write_ram(fd, -errno, err);
	return r < 0 ? ram_copy_free(c) : c;
}

static int read_window(struct ram_copy *c, struct err *err)
{
	uint64_t page = c->at / RAM_PAGE;
	uint64_t left = c->map.size / RAM_PAGE - page;
	size_t n = left < WINDOW ? (size_t)left : WINDOW;
	ssize_t r =
	    io_read_at(c->pagemap_fd, c->window, n * sizeof(uint64_t),
		       (c->map.addr / RAM_PAGE + page) * sizeof(uint64_t));

	if (r != (ssize_t)(n * sizeof(uint64_t)))
		return err_set(err, r < 0 ? (int)r : -ESRCH,
			       "cannot read the page map of QEMU: %s",
			       r < 0 ? strerror((int)-r) : "it has ended");
	c->window_at = page;
	c->n_window = n;
	return 0;
}

static bool ram_is_own(uint64_t entry)
{
	return entry & (PM_PRESENT | PM_SWAPPED) && !(entry & PM_FILE);
}

static int write_delta(const struct ram_copy *c, size_t n, struct err *err)
{
	uint8_t head[16];

	for (int i = 0; i < 8; i++) {
		head[i] = (uint8_t)(c->at >> (8 * i));
		head[8 + i] = (uint8_t)((uint64_t)n >> (8 * i));
	}
	int r = io_write(c->fd, head, sizeof(head));
	return write_ram(c->fd, r < 0 ? r : io_write(c->fd, c->bytes, n), err);
}

/* Without its pages of zeros. */
static int write_image(const struct ram_copy *c, size_t n, struct err *err)
{
	size_t from = 0, to;

	while (from < n) {
		if (mem_is_zero(c->bytes + from, RAM_PAGE)) {
			from += RAM_PAGE;
			continue;
		}
		for (to = from + RAM_PAGE;
		     to < n && !mem_is_zero(c->bytes + to, RAM_PAGE);)
			to += RAM_PAGE;
		int r = io_write_at(c->fd, c->bytes + from, to - from,
				    c->at + from);
		if (r < 0)
			return write_ram(c->fd, r, err);
		from = to;
	}
	return 0;
}

/* The run of own pages at c->at, which is in the window. */
static int save_run(struct ram_copy *c, size_t n, struct err *err)
{
	ssize_t r = io_read_at(c->mem_fd, c->bytes, n, c->map.addr + c->at);

	if (r != (ssize_t)n)
		return err_set(err, r < 0 ? (int)r : -ESRCH,
			       "cannot read the memory of QEMU: %s",
			       r < 0 ? strerror((int)-r) : "it has ended");
	c->done += n;
	switch (c->form) {
	case RAM_DELTA:
		return write_delta(c, n, err);
	case RAM_PATCH:
		return write_ram(c->fd, io_write_at(c->fd, c->bytes, n, c->at),
				 err);
	case RAM_IMAGE:
		break;
	}
	return write_image(c, n, err);
}

/* Bytes from c->at on that are alike, within the window. */
static size_t run_length(const struct ram_copy *c, bool *ret_is_own)
{
	size_t first = (size_t)(c->at / RAM_PAGE - c->window_at), i = first;

	*ret_is_own = ram_is_own(c->window[first]);
	while (i < c->n_window && ram_is_own(c->window[i]) == *ret_is_own &&
	       (!*ret_is_own || (i - first) < RAM_RUN_MAX / RAM_PAGE))
		i++;
	return (i - first) * RAM_PAGE;
}

static int save_step(struct ram_copy *c, size_t max, struct err *err)
{
	size_t sum = 0;

	while (c->at < c->map.size && sum < max) {
		bool own;
		int r = 0;

		if (c->at / RAM_PAGE >= c->window_at + c->n_window)
			r = read_window(c, err);
		if (r < 0)
			return r;
		size_t n = run_length(c, &own);
		if (own && (r = save_run(c, n, err)) < 0)
			return r;
		c->at += n;
		sum += own ? n : n / 512; /* an entry is 8 bytes of 4096 */
	}
	return c->at == c->map.size;
}

int ram_own_bytes(const struct ram_map *m, uint64_t *ret, struct err *err)
{
	struct ram_copy *c = save_new(m, RAM_PATCH, -1, err);
	int r = c ? 0 : err->code;

	*ret = 0;
	while (r == 0 && c->at < m->size) {
		r = read_window(c, err);
		for (size_t i = 0; r == 0 && i < c->n_window; i++)
			*ret += ram_is_own(c->window[i]) ? RAM_PAGE : 0;
		c->at += c->n_window * RAM_PAGE;
	}
	ram_copy_free(c);
	return r;
}

/* --- loading ---------------------------------------------------------------
 */

static int bad_delta(struct err *err, const char *why)
{
	return err_set(err, -EBADMSG, "the snapshot's RAM is damaged: %s", why);
}

struct ram_copy *ram_load_new(const struct ram_map *m, int fd, struct err *err)
{
	struct ram_copy *c = copy_new(m, fd);
	char magic[sizeof(delta_magic)];
	int r;

	c->is_load = true;
	r = c->mem_fd = open_proc(m, "mem", O_RDWR, err);
	if (r >= 0 && (io_read(fd, magic, sizeof(magic)) != sizeof(magic) ||
		       memcmp(magic, delta_magic, sizeof(magic)) != 0))
		r = bad_delta(err, "it does not begin as one");
	return r < 0 ? ram_copy_free(c) : c;
}

static uint64_t ram_get64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

/* One record; 1 at the end. */
static int load_record(struct ram_copy *c, struct err *err)
{
	uint8_t head[16];
	ssize_t r = io_read(c->fd, head, sizeof(head));

	if (!r)
		return 1;
	if (r < 0)
		return err_set(err, (int)r,
			       "cannot read the snapshot's RAM: %s",
			       strerror((int)-r));
	if (r != sizeof(head))
		return bad_delta(err, "it is cut");
	uint64_t at = ram_get64(head), n = ram_get64(head + 8);
	if (at < c->at || at % RAM_PAGE || !n || n % RAM_PAGE ||
	    n > RAM_RUN_MAX || at > c->map.size || n > c->map.size - at)
		return bad_delta(err, "it is for other pages");
	if (io_read(c->fd, c->bytes, (size_t)n) != (ssize_t)n)
		return bad_delta(err, "it is cut");
	c->at = at + n;
	c->done += n;
	return write_mem(c->mem_fd, c->bytes, (size_t)n, c->map.addr + at, err);
}

int ram_copy_step(struct ram_copy *c, size_t max, struct err *err)
{
	uint64_t from = c->done;
	int r = 0;

	if (!c->is_load)
		return save_step(c, max, err);
	while (!r && c->done - from < max)
		r = load_record(c, err);
	return r;
}
