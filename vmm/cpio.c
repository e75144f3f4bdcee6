/* SPDX-License-Identifier: MIT */
#include "vmm/cpio.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent-proto/mem.h"
#include "streams/io.h"

#define FLUSH_AT (256 * 1024)

/* What the header of an entry says beside name and size. */
struct header {
	uint32_t mode;
	uint32_t rdev_major;
	uint32_t rdev_minor;
};

static void write_all(struct cpio *c, const uint8_t *p, size_t n)
{
	if (!c->error)
		c->error = io_write(c->fd, p, n);
}

static void cpio_flush(struct cpio *c)
{
	write_all(c, buf_data(&c->out), c->out.len);
	buf_reset(&c->out);
}

/* Big content is written from where it lies. */
static void cpio_put(struct cpio *c, const void *p, size_t n)
{
	c->written += n;
	if (n >= FLUSH_AT) {
		cpio_flush(c);
		write_all(c, p, n);
		return;
	}
	buf_append(&c->out, p, n);
	if (c->out.len >= FLUSH_AT)
		cpio_flush(c);
}

static void pad(struct cpio *c, unsigned align)
{
	static const uint8_t zeros[CPIO_ALIGN];

	cpio_put(c, zeros, (align - c->written % align) % align);
}

/* Fields of newc: magic, ino, mode, uid, gid, nlink, mtime, filesize,
 * devmajor, devminor, rdevmajor, rdevminor, namesize (with NUL), check. A link
 * count of 1 keeps the kernel from looking for hard links. */
static void put_entry(struct cpio *c, const char *name, const struct header *e,
		      const void *content, size_t n)
{
	char head[110 + 1];

	snprintf(head, sizeof(head),
		 "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		 c->next_ino++, e->mode, 0u, 0u, 1u, 0u, (uint32_t)n, 0u, 0u,
		 e->rdev_major, e->rdev_minor, (uint32_t)strlen(name) + 1, 0u);
	cpio_put(c, head, sizeof(head) - 1);
	cpio_put(c, name, strlen(name) + 1);
	pad(c, 4);
	cpio_put(c, content, n);
	pad(c, 4);
}

int cpio_check_path(const char *path)
{
	const char *p = path;

	if (strlen(path) > CPIO_NAME_MAX)
		return -ENAMETOOLONG;
	if (*p != '/')
		return -EINVAL;
	while (*p == '/') {
		const char *part = ++p;
		size_t n = strcspn(part, "/");

		if (n == 0 || (n == 1 && part[0] == '.') ||
		    (n == 2 && part[0] == '.' && part[1] == '.'))
			return -EINVAL;
		p += n;
	}
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool knows_dir(const struct cpio *c, const char *name)
{
	return tfind(name, &c->dirs, compare_names);
}

/*
 * A parent may exist already, from an archive before this one, and may be a
 * symlink there (/bin -> usr/bin). The kernel would unlink that for an entry
 * "bin"; for "bin/" its lstat() follows the link, finds a directory and leaves
 * it (init/initramfs.c, clean_path). In any case it sets the owner and the
 * mode. name: without the leading slash; dir: with a trailing one.
 */
static void put_dir(struct cpio *c, const char *dir, uint32_t perm)
{
	struct header e = {.mode = S_IFDIR | perm};

	char *name = mem_strdup(dir);

	if (!tsearch(name, &c->dirs, compare_names)) {
		free(name);
		c->error = c->error ? c->error : -ENOMEM;
		return;
	}
	put_entry(c, dir, &e, "", 0);
}

static void put_parents(struct cpio *c, const char *name)
{
	char dir[CPIO_NAME_MAX + 1];

	for (const char *p = strchr(name, '/'); p; p = strchr(p + 1, '/')) {
		size_t n = (size_t)(p + 1 - name);

		memcpy(dir, name, n);
		dir[n] = '\0';
		if (!knows_dir(c, dir))
			put_dir(c, dir, 0755);
	}
}

static int cpio_add(struct cpio *c, const char *path, const struct header *e,
		    const void *content, size_t n)
{
	int r = cpio_check_path(path);

	if (r < 0)
		return r;
	if (n > CPIO_FILE_MAX)
		return -EFBIG;
	put_parents(c, path + 1);
	put_entry(c, path + 1, e, content, n);
	return 0;
}

int cpio_add_dir(struct cpio *c, const char *path, uint32_t perm)
{
	char dir[CPIO_NAME_MAX + 2];
	int r = cpio_check_path(path);

	if (r < 0)
		return r;
	put_parents(c, path + 1);
	snprintf(dir, sizeof(dir), "%s/", path + 1);
	if (!knows_dir(c, dir))
		put_dir(c, dir, perm & 07777);
	return 0;
}

int cpio_add_file(struct cpio *c, const char *path, uint32_t perm,
		  const void *content, size_t n)
{
	struct header e = {.mode = S_IFREG | (perm & 07777)};

	return cpio_add(c, path, &e, content, n);
}

int cpio_add_symlink(struct cpio *c, const char *path, const char *target)
{
	struct header e = {.mode = S_IFLNK | 0777};

	if (strlen(target) > CPIO_NAME_MAX)
		return -ENAMETOOLONG;
	return cpio_add(c, path, &e, target, strlen(target));
}

int cpio_add_chardev(struct cpio *c, const char *path, uint32_t perm,
		     unsigned major, unsigned minor)
{
	struct header e = {
	    .mode = S_IFCHR | (perm & 07777),
	    .rdev_major = major,
	    .rdev_minor = minor,
	};

	return cpio_add(c, path, &e, "", 0);
}

int cpio_finish(struct cpio *c)
{
	struct header none = {0};

	c->next_ino = 0;
	put_entry(c, "TRAILER!!!", &none, "", 0);
	pad(c, CPIO_ALIGN);
	cpio_flush(c);
	return c->error;
}

void cpio_init(struct cpio *c, int fd)
{
	*c = (struct cpio){.fd = fd, .next_ino = 1};
}

void cpio_done(struct cpio *c)
{
	buf_done(&c->out);
	tdestroy(c->dirs, free);
	c->dirs = NULL;
}
