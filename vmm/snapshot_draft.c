/* SPDX-License-Identifier: MIT */
/* Writing snapshots. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "agent-proto/session.h"
#include "streams/disk_err.h"
#include "streams/io.h"
#include "vmm/filehash.h"
#include "vmm/snapshot.h"
#include "vmm/snapshot_private.h"
#include "vmm/store.h"

void snapshot_draft_done(struct snapshot_draft *d)
{
	struct err err;

	if (d->json)
		snapshot_remove(d->dir, &err);
	json_decref(d->json);
	json_decref(d->files);
	free(d->dir);
	*d = (struct snapshot_draft){0};
}

char *snapshot_draft_path(const struct snapshot_draft *d, enum snapshot_file f)
{
	return mem_printf("%s/%s", d->dir, snapshot_names[f]);
}

static int snapshot_draft_fail(struct err *err, const char *path)
{
	int code = errno ? errno : EIO;

	return disk_err(err, -code, path, "cannot write '%s'", path);
}

int snapshot_draft_create(const struct snapshot_draft *d, enum snapshot_file f,
			  struct err *err)
{
	CLEANUP(free_ptr) char *path = snapshot_draft_path(d, f);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? snapshot_draft_fail(err, path) : fd;
}

int snapshot_draft_open(const struct snapshot_draft *d, enum snapshot_file f,
			struct err *err)
{
	CLEANUP(free_ptr) char *path = snapshot_draft_path(d, f);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? snapshot_draft_fail(err, path) : fd;
}

/* Not brought to the disk: a machine that loses its power finds damage by the
 * hashes. */
static int snapshot_draft_write_file(const char *path, const void *p, size_t n,
				     struct err *err)
{
	CLEANUP(fd_closep)
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : io_write(fd, p, n);

	return r < 0 ? disk_err(err, r, path, "cannot write '%s'", path) : 0;
}

/* A folder with an unfinished description is a draft's. */
static int mark(const struct snapshot_draft *d, struct err *err)
{
	CLEANUP(free_ptr)
	char *tmp = mem_printf("%s/" SNAPSHOT_INFO_TMP, d->dir);

	return snapshot_draft_write_file(tmp, "", 0, err);
}

int snapshot_draft_init(struct snapshot_draft *d, const char *dir,
			struct err *err)
{
	int r;

	*d = (struct snapshot_draft){0};
	r = snapshot_empty(dir, err);
	if (r == 0)
		r = store_mkdirs(dir, err);
	if (r < 0)
		return r;
	/* QEMU opens the state by its path. */
	d->dir = realpath(dir, NULL);
	if (!d->dir)
		return err_set(err, -errno, "cannot use folder '%s': %s", dir,
			       strerror(errno));
	chmod(d->dir, 0700);
	d->json = json_object();
	d->files = json_object();
	r = mark(d, err);
	if (r < 0)
		snapshot_draft_done(d);
	return r;
}

int snapshot_draft_write(struct snapshot_draft *d, enum snapshot_file f,
			 const void *p, size_t n, struct err *err)
{
	CLEANUP(free_ptr) char *path = snapshot_draft_path(d, f);
	int r = snapshot_draft_write_file(path, p, n, err);

	return r < 0 ? r : snapshot_draft_note(d, f, NULL, err);
}

/* One extent, up to hole. */
static int copy_extent(int in, int out, off_t at, off_t hole)
{
	for (off_t to = at; at < hole;) {
		ssize_t r =
		    copy_file_range(in, &at, out, &to, (size_t)(hole - at), 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return -1;
	}
	return 0;
}

static int copy(int in, const char *to, struct err *err)
{
	CLEANUP(fd_closep)
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	off_t at, hole = 0;
	struct stat st;

	if (out < 0 || fstat(in, &st) < 0 || ftruncate(out, st.st_size) < 0)
		return snapshot_draft_fail(err, to);
	while ((at = lseek(in, hole, SEEK_DATA)) >= 0) {
		hole = lseek(in, at, SEEK_HOLE);
		if (hole < 0 || copy_extent(in, out, at, hole) < 0)
			return snapshot_draft_fail(err, to);
	}
	return 0;
}

/* A hard link, or where there can be none, or that is asked for, a copy. */
static int link_file(int fd, const char *to, bool as_copy, struct err *err)
{
	CLEANUP(free_ptr) char *from = mem_printf("/proc/self/fd/%d", fd);

	if (!as_copy &&
	    linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	/* It is on another file system, has no name any more, ...: whatever
	 * keeps a link from being made, a copy may do. */
	return copy(fd, to, err);
}

int snapshot_draft_link(const struct snapshot_draft *d, enum snapshot_file f,
			int fd, bool as_copy, struct err *err)
{
	CLEANUP(free_ptr) char *to = snapshot_draft_path(d, f);

	return link_file(fd, to, as_copy, err);
}

static int note(struct snapshot_draft *d, const char *name, const char *hash,
		struct err *err)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", d->dir, name);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[FILEHASH_TEXT_MAX];
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return snapshot_draft_fail(err, path);
	if (!hash) {
		r = filehash_of(fd, text, err);
		if (r < 0)
			return r;
		hash = text;
	}
	json_object_set_new(d->files, name,
			    json_pack("{s:I, s:s}", "size",
				      (json_int_t)st.st_size, "hash", hash));
	return 0;
}

int snapshot_draft_note(struct snapshot_draft *d, enum snapshot_file f,
			const char *hash, struct err *err)
{
	return note(d, snapshot_names[f], hash, err);
}

int snapshot_draft_add_layer(struct snapshot_draft *d, size_t disk,
			     size_t layer, int fd, const char *hash,
			     struct err *err)
{
	char name[SNAPSHOT_LAYER_NAME_MAX];
	CLEANUP(free_ptr)
	char *to =
	    mem_printf("%s/%s", d->dir, snapshot_layer_name(name, disk, layer));
	int r = link_file(fd, to, false, err);

	return r < 0 ? r : note(d, name, hash, err);
}

/* NULL where one is no UTF-8. */
static json_t *list_args(const struct vm_spec *spec)
{
	json_t *list = json_array();

	for (size_t i = 0; i < spec->n_qemu_args; i++) {
		if (json_array_append_new(list,
					  json_string(spec->qemu_args[i])) == 0)
			continue;
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *snapshot_draft_describe_vm(const struct vm_spec *spec,
					  const char *qemu)
{
	return json_pack(
	    "{s:i, s:s, s:i, s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:b, s:b, s:s, "
	    "s:s, s:s*}",
	    "version", SNAPSHOT_VERSION, "provium", PROVIUM_VERSION, "protocol",
	    (int)PROTO_VERSION, "qemu", qemu, "kernel", spec->kernel,
	    "kernel_id", snapshot_file_id(spec->kernel), "cmdline",
	    spec->cmdline, "memory", (json_int_t)spec->memory, "cpus",
	    (json_int_t)spec->cpus, "initial_time",
	    (json_int_t)spec->initial_time, "may_suspend", spec->may_suspend,
	    "may_panic", spec->may_panic, "accel", accel_name(spec->accel),
	    "transport", transport_name(spec->transport), "net_setup",
	    spec->net_setup);
}

int snapshot_draft_describe(struct snapshot_draft *d,
			    const struct vm_spec *spec, const char *qemu,
			    struct err *err)
{
	json_t *args = list_args(spec);
	json_t *o = args ? snapshot_draft_describe_vm(spec, qemu) : NULL;

	if (!o) {
		json_decref(args);
		return err_set(err, -EINVAL,
			       "its kernel, cmdline or qemu_args have a name "
			       "that is no UTF-8");
	}
	json_object_set_new(o, "qemu_args", args);
	if (spec->has_rng_seed)
		json_object_set_new(o, "rng_seed",
				    json_integer((json_int_t)spec->rng_seed));
	json_object_update(d->json, o);
	json_decref(o);
	return 0;
}

int snapshot_draft_commit(struct snapshot_draft *d, struct err *err)
{
	CLEANUP(free_ptr)
	char *tmp = mem_printf("%s/" SNAPSHOT_INFO_TMP, d->dir);
	CLEANUP(free_ptr)
	char *info = mem_printf("%s/" SNAPSHOT_INFO, d->dir);
	CLEANUP(free_ptr) char *text = NULL;
	int r;

	json_object_set(d->json, "files", d->files);
	text = json_dumps(d->json, JSON_INDENT(1) | JSON_SORT_KEYS);
	if (!text)
		return err_set(err, -EINVAL,
			       "cannot write '%s': a name in it is no UTF-8",
			       info);
	r = snapshot_draft_write_file(tmp, text, strlen(text), err);
	if (r == 0 && rename(tmp, info) < 0)
		r = snapshot_draft_fail(err, info);
	if (r < 0)
		return r;
	json_decref(d->json);
	d->json = NULL;
	return 0;
}
