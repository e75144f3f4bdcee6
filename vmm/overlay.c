/* SPDX-License-Identifier: MIT */
#include "vmm/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/disk_err.h"
#include "streams/io.h"
#include "vmm/cpio.h"

#define OVERLAY_DIR "/.provium"
#define FILES_DIR   OVERLAY_DIR "/files" /* cmd/provium-agent/init/files.h */
#define COPY_STEP   (1 << 30)
/* Zeros behind an initrd, bytes. The kernel's reader of LZ4 takes the next four
 * bytes for the size of a block, and fails if they are not 0 (Linux,
 * lib/decompress_unlz4.c). */
#define GAP_MIN 4

/* One step of the fastest way that these two files allow; *way moves on to
 * the next where one is refused before it copied anything. */
static ssize_t copy_step(int in, int out, int *way)
{
	char block[65536];
	ssize_t n;

	if (*way == 0) {
		n = copy_file_range(in, NULL, out, NULL, COPY_STEP, 0);
		if (n > 0)
			return n;
		++*way; /* other filesystem, or a file of procfs */
	}
	if (*way == 1) {
		n = sendfile(out, in, NULL, COPY_STEP);
		if (n >= 0)
			return n;
		if (errno != EINVAL && errno != ENOSYS)
			return -errno;
		++*way;
	}
	n = io_read(in, block, sizeof(block));
	int r = n > 0 ? io_write(out, block, (size_t)n) : 0;
	return r < 0 ? r : n;
}

static int copy_initrd(const char *path, int out, const char *out_path,
		       struct err *err)
{
	static const char zeros[CPIO_ALIGN + GAP_MIN];
	CLEANUP(fd_closep) int in = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0, gap;
	struct stat st;
	int way = 0;
	ssize_t r;

	if (in < 0)
		return err_set(err, -errno, "cannot open initrd '%s': %s", path,
			       strerror(errno));
	if (fstat(in, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL,
			       "initrd '%s' is not a regular file", path);
	do {
		r = copy_step(in, out, &way);
		if (r > 0)
			n += (size_t)r;
	} while (r > 0 || r == -EINTR);
	gap = CPIO_ALIGN - n % CPIO_ALIGN;
	if (gap < GAP_MIN)
		gap += CPIO_ALIGN;
	if (r == 0)
		r = io_write(out, zeros, gap);
	if (r == -ENOSPC || r == -EDQUOT)
		return disk_err(err, (int)r, out_path, "cannot write '%s'",
				out_path);
	if (r < 0)
		return err_set(err, (int)r, "cannot copy initrd '%s': %s", path,
			       strerror((int)-r));
	return 0;
}

static bool is_beneath(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && path[n] == '/';
}

static int overlay_check_file(const struct overlay_file *f, struct err *err)
{
	int r = cpio_check_path(f->path);

	if (r < 0)
		return err_set(
		    err, r,
		    "file '%s' for the guest: the path must be absolute, "
		    "without '.', '..', empty parts or a slash at its end",
		    f->path);
	if (f->mode & ~07777u)
		return err_set(
		    err, -EINVAL,
		    "file '%s' for the guest: mode 0%o holds more than "
		    "permission bits",
		    f->path, f->mode);
	if (f->n > CPIO_FILE_MAX)
		return err_set(
		    err, -EFBIG,
		    "file '%s' for the guest: %zu bytes is more than 4 GiB",
		    f->path, f->n);
	if (!strcmp(f->path, OVERLAY_DIR) || is_beneath(f->path, OVERLAY_DIR))
		return err_set(err, -EINVAL,
			       "file '%s' for the guest: " OVERLAY_DIR
			       " is the agent's own",
			       f->path);
	return 0;
}

/* By path, a slash before all else: what is beneath a path comes next. */
static int overlay_compare_paths(const void *a, const void *b)
{
	const char *p = *(const char *const *)a, *q = *(const char *const *)b;

	while (*p && *p == *q) {
		p++;
		q++;
	}
	if (*p == *q)
		return 0;
	if (!*p || !*q)
		return *p ? 1 : -1;
	if (*p == '/' || *q == '/')
		return *p == '/' ? -1 : 1;
	return (uint8_t)*p < (uint8_t)*q ? -1 : 1;
}

static int check_files(const struct overlay_file *files, size_t n,
		       struct err *err)
{
	const char **paths = mem_zalloc((n + 1) * sizeof(*paths));
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		paths[i] = files[i].path;
		r = overlay_check_file(&files[i], err);
	}
	if (r == 0 && n)
		qsort(paths, n, sizeof(*paths), overlay_compare_paths);
	for (size_t i = 0; r == 0 && i + 1 < n; i++)
		if (is_beneath(paths[i + 1], paths[i]))
			r = err_set(
			    err, -ENOTDIR,
			    "file '%s' for the guest is a directory to '%s'",
			    paths[i], paths[i + 1]);
	free(paths);
	return r;
}

/*
 * The kernel truncates a file that exists, and so changes all its hard links.
 * For a symlink it unlinks what has the name, and for a file that symlink
 * (init/initramfs.c, clean_path()). A symlink without a target is skipped.
 */
static void add_new_file(struct cpio *c, const char *path, uint32_t mode,
			 const void *content, size_t n)
{
	cpio_add_symlink(c, path, "replaced");
	cpio_add_file(c, path, mode, content, n);
}

/* Drivers that are built into the kernel ask for it before the agent runs. So
 * the kernel puts it into its place. */
static bool is_firmware(const char *path)
{
	return is_beneath(path, "/lib/firmware") ||
	       is_beneath(path, "/usr/lib/firmware");
}

/* What the agent is to do: the list comes before the files, which may not all
 * fit into the guest's memory. */
static void add_list(struct cpio *c, const struct overlay_file *files, size_t n)
{
	CLEANUP(buf_done) struct buf list = {0};

	for (size_t i = 0; i < n; i++) {
		buf_printf(&list, "%s %zu %s",
			   is_firmware(files[i].path) ? "placed" : "staged",
			   files[i].n, files[i].path);
		buf_append(&list, "", 1);
	}
	if (n)
		add_new_file(c, FILES_DIR "/list", 0600, buf_data(&list),
			     list.len);
}

static void overlay_add_file(struct cpio *c, const struct overlay_file *f,
			     size_t i)
{
	CLEANUP(free_ptr) char *staged = mem_printf(FILES_DIR "/%zu", i);

	add_new_file(c, is_firmware(f->path) ? f->path : staged, f->mode,
		     f->content, f->n);
}

/* Paths were checked, so that cpio_add_*() cannot refuse. */
static int write_archive(int fd, const void *agent, size_t agent_n,
			 const char *config, const struct overlay_file *files,
			 size_t n_files)
{
	struct cpio c;
	int r;

	cpio_init(&c, fd);
	cpio_add_dir(&c, OVERLAY_DIR, 0755);
	add_new_file(&c, OVERLAY_AGENT_PATH, 0755, agent, agent_n);
	add_new_file(&c, OVERLAY_CONFIG_PATH, 0644, config, strlen(config));
	add_list(&c, files, n_files);
	for (size_t i = 0; i < n_files; i++)
		overlay_add_file(&c, &files[i], i);
	r = cpio_finish(&c);
	cpio_done(&c);
	return r;
}

int overlay_write(const char *out_path, const char *initrd_path,
		  const void *agent, size_t agent_n, const char *config,
		  const struct overlay_file *files, size_t n_files,
		  struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	int r;

	if (strlen(config) > OVERLAY_CONFIG_MAX)
		return err_set(
		    err, -E2BIG,
		    "the agent's configuration has more than %d bytes",
		    OVERLAY_CONFIG_MAX);
	r = check_files(files, n_files, err);
	if (r < 0)
		return r;
	fd = open(out_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return disk_err(err, -errno, out_path, "cannot create '%s'",
				out_path);
	if (initrd_path)
		r = copy_initrd(initrd_path, fd, out_path, err);
	if (r == 0) {
		r = write_archive(fd, agent, agent_n, config, files, n_files);
		if (r < 0)
			disk_err(err, r, out_path, "cannot write '%s'",
				 out_path);
	}
	if (r < 0)
		unlink(out_path);
	return r;
}
