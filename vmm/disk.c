/* SPDX-License-Identifier: MIT */
#include "vmm/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "agent-proto/cleanup.h"
#include "vmm/disk_magic.h"
#include "vmm/image_chain.h"
#include "vmm/qcow2.h"

#define QCOW2_SUFFIX ".qcow2"
#define RAW_SUFFIX   ".raw"

bool disk_id_is_good(const char *id)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789._-";
	size_t n = strlen(id);

	return n && n <= DISK_ID_MAX && strspn(id, good) == n;
}

int disk_check_size(uint64_t size, struct err *err)
{
	if (size && size % DISK_SECTOR == 0 && size <= QCOW2_SIZE_MAX)
		return 0;
	return err_set(err, -EINVAL,
		       "%" PRIu64 " bytes are no size of a disk: it has whole "
		       "sectors of %d bytes, and up to 16T",
		       size, DISK_SECTOR);
}

static bool disk_has_suffix(const char *path, const char *suffix)
{
	size_t n = strlen(path), s = strlen(suffix);

	return n > s && !strcmp(path + n - s, suffix);
}

static bool is_named_qcow2(const char *path)
{
	return disk_has_suffix(path, QCOW2_SUFFIX);
}

/* See the header for why names decide. */
static int inspect_qcow2(const char *path, bool will_write, const uint8_t *p,
			 size_t n, struct disk_image *ret, struct err *err)
{
	CLEANUP(strvec_done) struct strvec files = {0};
	struct qcow2_info info;
	int r = qcow2_parse(p, n, &info, err);

	if (r < 0)
		return r;
	if (info.is_encrypted)
		return err_set(err, -ENOTSUP, "it is encrypted");
	if (!is_named_qcow2(path) && (will_write || info.names_files))
		return err_set(err, -EINVAL,
			       "it begins like a qcow2 image%s, which a guest "
			       "may have written: if it is one, give it a name "
			       "that ends in " QCOW2_SUFFIX,
			       info.names_files ? " that names other files"
						: "");
	*ret = (struct disk_image){.is_qcow2 = true, .size = info.size};
	return image_chain(path, &files, err);
}

static int refuse_container(const char *verb, const struct disk_container *c,
			    struct err *err)
{
	return err_set(err, -ENOTSUP,
		       "it %s like %s: %s, or give it a name that ends "
		       "in " RAW_SUFFIX " if the guest is to read these bytes",
		       verb, c->name,
		       c->is_packed ? "unpack it"
				    : "convert it (qemu-img convert -O qcow2)");
}

/* The guest would get the container's own bytes as its disk. head[0..n) is the
 * start of the file of size bytes. */
static int check_raw(int fd, const char *path, const uint8_t *head, size_t n,
		     off_t size, struct err *err)
{
	uint8_t tail[DISK_MAGIC_TAIL];
	const struct disk_container *c = disk_magic_find(head, n);
	ssize_t got = 0;

	if (disk_has_suffix(path, RAW_SUFFIX))
		return 0;
	if (c)
		return refuse_container("begins", c, err);
	if (size >= DISK_MAGIC_TAIL)
		got = pread(fd, tail, sizeof(tail), size - DISK_MAGIC_TAIL);
	if (got < 0)
		return err_set(err, -errno, "%s", strerror(errno));
	c = disk_magic_find_tail(tail, (size_t)got);
	return c ? refuse_container("ends", c, err) : 0;
}

static int inspect_fd(int fd, const char *path, bool will_write,
		      struct disk_image *ret, struct err *err)
{
	uint8_t head[QCOW2_HEADER_MAX];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "it is no regular file");
	n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return err_set(err, -errno, "%s", strerror(errno));
	if (qcow2_is(head, (size_t)n))
		return inspect_qcow2(path, will_write, head, (size_t)n, ret,
				     err);
	if (is_named_qcow2(path))
		return err_set(err, -EBADMSG, "it is no qcow2 image");
	if (!st.st_size)
		return err_set(err, -EINVAL, "it is empty");
	if (check_raw(fd, path, head, (size_t)n, st.st_size, err) < 0)
		return err->code;
	/* As QEMU does: the rest of the last sector reads as zeros. */
	*ret = (struct disk_image){
	    .size = ((uint64_t)st.st_size + DISK_SECTOR - 1) / DISK_SECTOR *
		    DISK_SECTOR,
	};
	return 0;
}

int disk_inspect(const char *path, bool will_write, struct disk_image *ret,
		 struct err *err)
{
	CLEANUP(fd_closep)
	int fd = open(path, (will_write ? O_RDWR : O_RDONLY) | O_CLOEXEC |
				O_NONBLOCK);
	int r = fd < 0 ? err_set(err, -errno, "%s", strerror(errno))
		       : inspect_fd(fd, path, will_write, ret, err);

	if (r == 0)
		r = disk_check_size(ret->size, err);
	return r < 0 ? err_wrap(err, "image '%s'", path) : 0;
}
