/* SPDX-License-Identifier: MIT */
#include "vmm/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/cpio.h"

#define OVERLAY_DIR "/.provium"
#define COPY_STEP   (1 << 30)

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
		if (n >= 0 || (errno != EINVAL && errno != ENOSYS))
			return n;
		++*way;
	}
	n = read(in, block, sizeof(block));
	for (ssize_t done = 0; done < n;) {
		ssize_t w = write(out, block + done, (size_t)(n - done));

		if (w < 0)
			return w;
		done += w;
	}
	return n;
}

static int copy_initrd(const char *path, int out, struct err *err)
{
	static const char zeros[CPIO_ALIGN];
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
	} while (r > 0 || (r < 0 && errno == EINTR));
	gap = (CPIO_ALIGN - n % CPIO_ALIGN) % CPIO_ALIGN;
	if (r == 0 && gap)
		r = write(out, zeros, gap) == (ssize_t)gap ? 0 : -1;
	if (r < 0)
		return err_set(err, -errno, "cannot copy initrd '%s': %s", path,
			       strerror(errno));
	return 0;
}

static bool is_beneath(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && path[n] == '/';
}

static int check_file(const struct overlay_file *files, size_t n_files,
		      size_t i, struct err *err)
{
	const struct overlay_file *f = &files[i];
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
	for (size_t j = 0; j < n_files; j++)
		if (is_beneath(files[j].path, f->path))
			return err_set(
			    err, -ENOTDIR,
			    "file '%s' for the guest is a directory to '%s'",
			    f->path, files[j].path);
	return 0;
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
	cpio_add_file(&c, OVERLAY_AGENT_PATH, 0755, agent, agent_n);
	cpio_add_file(&c, OVERLAY_CONFIG_PATH, 0644, config, strlen(config));
	for (size_t i = 0; i < n_files; i++) {
		const struct overlay_file *f = &files[i];

		cpio_add_file(&c, f->path, f->mode ? f->mode : 0644, f->content,
			      f->n);
	}
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
	int r = 0;

	if (strlen(config) > OVERLAY_CONFIG_MAX)
		return err_set(
		    err, -E2BIG,
		    "the agent's configuration has more than %d bytes",
		    OVERLAY_CONFIG_MAX);
	for (size_t i = 0; i < n_files && r == 0; i++)
		r = check_file(files, n_files, i, err);
	if (r < 0)
		return r;
	fd = open(out_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "cannot create '%s': %s", out_path,
			       strerror(errno));
	if (initrd_path)
		r = copy_initrd(initrd_path, fd, err);
	if (r == 0) {
		r = write_archive(fd, agent, agent_n, config, files, n_files);
		if (r < 0)
			err_set(err, r, "cannot write '%s': %s", out_path,
				strerror(-r));
	}
	if (r < 0)
		unlink(out_path);
	return r;
}
