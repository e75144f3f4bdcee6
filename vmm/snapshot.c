/* SPDX-License-Identifier: MIT */
/* Reading snapshots. What comes from a folder may be damaged, or another's. */
#include "vmm/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "agent-proto/session.h"
#include "vmm/filehash.h"
#include "vmm/net/packet.h"
#include "vmm/ram.h"
#include "vmm/snapshot_private.h"
#include "vmm/store.h"

#define CPUS_MAX 255
/* What QEMU makes while it is told to stop making it. */
#define REMOVE_TRIES 3

const char *const snapshot_names[SNAPSHOT_FILES] = {
    [SNAPSHOT_RAM] = "ram",	  [SNAPSHOT_DELTA] = "delta",
    [SNAPSHOT_STATE] = "state",	  [SNAPSHOT_BIOS] = "bios",
    [SNAPSHOT_INITRD] = "initrd", [SNAPSHOT_CONSOLE] = "console",
};

/* --- info.json -------------------------------------------------------------
 */

static int snapshot_bad(const struct snapshot *s, struct err *err,
			const char *what)
{
	return err_set(err, -EBADMSG, "the snapshot '%s' is damaged: %s",
		       s->dir, what);
}

static int read_info(struct snapshot *s, struct err *err)
{
	CLEANUP(free_ptr)
	char *path = mem_printf("%s/" SNAPSHOT_INFO, s->dir);
	CLEANUP(buf_done) struct buf text = {0};
	int r = store_read(path, SNAPSHOT_INFO_MAX, &text, err);

	if (r == -ENOENT)
		return err_set(err, r, "there is no snapshot in '%s'", s->dir);
	if (r < 0)
		return r;
	s->json = json_loadb((char *)buf_data(&text), text.len, 0, NULL);
	if (!json_is_object(s->json))
		return snapshot_bad(s, err,
				    "its " SNAPSHOT_INFO " is no JSON object");
	return 0;
}

static int check_versions(const struct snapshot *s, struct err *err)
{
	const char *provium =
	    json_string_value(json_object_get(s->json, "provium"));
	json_int_t version =
	    json_integer_value(json_object_get(s->json, "version"));
	json_int_t protocol =
	    json_integer_value(json_object_get(s->json, "protocol"));

	if (version == SNAPSHOT_VERSION && protocol == PROTO_VERSION &&
	    provium && !strcmp(provium, PROVIUM_VERSION))
		return 0;
	return err_set(err, -ESTALE,
		       "the snapshot '%s' is of provium %s, this is %s%s: take "
		       "it anew",
		       s->dir, provium ? provium : "?", PROVIUM_VERSION,
		       provium && !strcmp(provium, PROVIUM_VERSION)
			   ? " with another format"
			   : "");
}

static const char *snapshot_text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static int read_args(struct snapshot *s, struct err *err)
{
	const json_t *list = json_object_get(s->json, "qemu_args");
	size_t n = json_array_size(list);

	s->qemu_args = mem_zalloc((n + 1) * sizeof(char *));
	for (size_t i = 0; i < n; i++) {
		const char *arg = json_string_value(json_array_get(list, i));

		if (!arg)
			return snapshot_bad(s, err, "qemu_args");
		s->qemu_args[s->n_qemu_args++] = mem_strdup(arg);
	}
	return 0;
}

static int read_nics(struct snapshot *s, struct err *err)
{
	const json_t *list = json_object_get(s->json, "nics");
	size_t n = json_array_size(list);

	if (n > VM_NICS_MAX)
		return snapshot_bad(s, err, "nics");
	for (size_t i = 0; i < n; i++) {
		const json_t *o = json_array_get(list, i);
		const char *mac = snapshot_text_of(o, "mac");

		if (!mac || mac_parse(mac, s->nics[i].mac) < 0)
			return snapshot_bad(s, err, "nics");
		s->nics[i].bridge = snapshot_text_of(o, "bridge");
	}
	s->n_nics = n;
	return 0;
}

static uint64_t number_of(const struct snapshot *s, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(s->json, key));
}

static int read_machine(struct snapshot *s, struct err *err)
{
	const char *accel = snapshot_text_of(s->json, "accel");
	const char *transport = snapshot_text_of(s->json, "transport");
	uint64_t cpus = number_of(s, "cpus");

	s->qemu = snapshot_text_of(s->json, "qemu");
	s->kernel = snapshot_text_of(s->json, "kernel");
	s->cmdline = snapshot_text_of(s->json, "cmdline");
	s->net_setup = snapshot_text_of(s->json, "net_setup");
	s->memory = number_of(s, "memory");
	s->cpus = (unsigned)cpus;
	s->initial_time = (int64_t)number_of(s, "initial_time");
	s->may_suspend = json_is_true(json_object_get(s->json, "may_suspend"));
	s->may_panic = json_is_true(json_object_get(s->json, "may_panic"));
	s->has_rng_seed = json_object_get(s->json, "rng_seed");
	s->rng_seed = number_of(s, "rng_seed");
	s->next_handle = number_of(s, "next_handle");
	s->console_mark = number_of(s, "console_mark");
	s->bios_addr = number_of(s, "bios_addr");
	s->note = json_object_get(s->json, "note");
	if (!s->qemu || !s->kernel || !s->cmdline || !s->memory ||
	    s->memory % RAM_PAGE || !cpus || cpus > CPUS_MAX || !accel ||
	    accel_parse(accel, &s->accel) < 0 || s->accel == ACCEL_AUTO ||
	    !transport || transport_parse(transport, &s->transport) < 0 ||
	    s->transport == TRANSPORT_AUTO)
		return snapshot_bad(
		    s, err, "its " SNAPSHOT_INFO " describes no machine");
	return 0;
}

json_t *snapshot_file_id(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return json_null();
	return json_pack("[I,I,I]", (json_int_t)st.st_size,
			 (json_int_t)st.st_mtim.tv_sec,
			 (json_int_t)st.st_mtim.tv_nsec);
}

/* A guest that resets itself later must not start another kernel. */
static int check_kernel(const struct snapshot *s, struct err *err)
{
	json_t *now = snapshot_file_id(s->kernel);
	bool same = json_equal(now, json_object_get(s->json, "kernel_id"));

	json_decref(now);
	if (same)
		return 0;
	return err_set(err, -ESTALE,
		       "the kernel '%s' is not what it was when the snapshot "
		       "'%s' was taken: take it anew",
		       s->kernel, s->dir);
}

/* --- files -----------------------------------------------------------------
 */

static const json_t *snapshot_entry_of(const struct snapshot *s,
				       enum snapshot_file f)
{
	return json_object_get(json_object_get(s->json, "files"),
			       snapshot_names[f]);
}

static int check_size(struct snapshot *s, enum snapshot_file f, struct err *err)
{
	const json_t *entry = snapshot_entry_of(s, f);
	CLEANUP(free_ptr)
	char *path = mem_printf("%s/%s", s->dir, snapshot_names[f]);
	struct stat st;

	if (!entry && f == SNAPSHOT_DELTA)
		return 0;
	s->has[f] = true;
	if (!entry)
		return snapshot_bad(s, err, "a file is not in its list");
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size != json_integer_value(json_object_get(entry, "size")) ||
	    (f == SNAPSHOT_RAM && (uint64_t)st.st_size != s->memory))
		return err_set(err, -EBADMSG,
			       "the snapshot '%s' is damaged: its file '%s' is "
			       "missing or cut",
			       s->dir, snapshot_names[f]);
	return 0;
}

/* QEMU's memory is written to where this says. */
static int check_bios(const struct snapshot *s, struct err *err)
{
	const json_t *entry = snapshot_entry_of(s, SNAPSHOT_BIOS);
	uint64_t size =
	    (uint64_t)json_integer_value(json_object_get(entry, "size"));

	if (size && size <= SNAPSHOT_BIOS_MAX &&
	    s->bios_addr == SNAPSHOT_BIOS_END - size)
		return 0;
	return snapshot_bad(s, err, "its BIOS has another place");
}

int snapshot_open(struct snapshot *s, const char *dir, struct err *err)
{
	int r;

	*s = (struct snapshot){.dir = mem_strdup(dir)};
	if ((r = read_info(s, err)) == 0 && (r = check_versions(s, err)) == 0 &&
	    (r = read_machine(s, err)) == 0 && (r = read_args(s, err)) == 0 &&
	    (r = read_nics(s, err)) == 0)
		r = check_kernel(s, err);
	if (r == 0)
		r = snapshot_read_disks(s, err);
	for (int f = 0; r == 0 && f < SNAPSHOT_FILES; f++)
		r = check_size(s, (enum snapshot_file)f, err);
	if (r == 0)
		r = check_bios(s, err);
	if (r < 0)
		snapshot_done(s);
	return r;
}

void snapshot_done(struct snapshot *s)
{
	for (size_t i = 0; i < s->n_qemu_args; i++)
		free(s->qemu_args[i]);
	free(s->qemu_args);
	json_decref(s->json);
	free(s->dir);
	*s = (struct snapshot){0};
}

int snapshot_open_file(const struct snapshot *s, enum snapshot_file f,
		       struct err *err)
{
	CLEANUP(free_ptr)
	char *path = mem_printf("%s/%s", s->dir, snapshot_names[f]);
	/* QEMU opens what it is to map privately for writing, too. */
	int fd =
	    open(path, (f == SNAPSHOT_RAM ? O_RDWR : O_RDONLY) | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "cannot open '%s': %s", path,
			       strerror(errno));
	return fd;
}

int snapshot_read_file(const struct snapshot *s, enum snapshot_file f,
		       struct buf *out, struct err *err)
{
	CLEANUP(free_ptr)
	char *path = mem_printf("%s/%s", s->dir, snapshot_names[f]);
	json_int_t size = json_integer_value(
	    json_object_get(snapshot_entry_of(s, f), "size"));

	return store_read(path, (size_t)size, out, err);
}

static int verify_file(const struct snapshot *s, enum snapshot_file f,
		       struct err *err)
{
	const char *want = snapshot_text_of(snapshot_entry_of(s, f), "hash");
	CLEANUP(fd_closep) int fd = snapshot_open_file(s, f, err);
	char hash[FILEHASH_TEXT_MAX];
	int r = fd < 0 ? fd : filehash_of(fd, hash, err);

	if (r < 0)
		return err_wrap(err, "the snapshot '%s'", s->dir);
	if (want && !strcmp(hash, want))
		return 0;
	return err_set(err, -EBADMSG,
		       "the snapshot '%s' is damaged: its file '%s' is not "
		       "what was written",
		       s->dir, snapshot_names[f]);
}

int snapshot_verify(const struct snapshot *s, bool all, struct err *err)
{
	int r = 0;

	for (int f = 0; r == 0 && f < SNAPSHOT_FILES; f++)
		if (s->has[f] && (all || f != SNAPSHOT_RAM))
			r = verify_file(s, (enum snapshot_file)f, err);
	if (r == 0 && all)
		r = snapshot_verify_disks(s, err);
	return r;
}

/* --- folders ---------------------------------------------------------------
 */

static bool is_info(const char *name)
{
	return !strcmp(name, SNAPSHOT_INFO) || !strcmp(name, SNAPSHOT_INFO_TMP);
}

static bool snapshot_is_ours(DIR *d, const char *name)
{
	bool is_known = is_info(name);
	struct stat st;

	for (int f = 0; f < SNAPSHOT_FILES; f++)
		is_known |= !strcmp(name, snapshot_names[f]);
	is_known |= snapshot_is_layer_name(name);
	return is_known &&
	       fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

uint64_t snapshot_disk_size(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	uint64_t sum = 0;
	struct stat st;

	while (d && (e = readdir(d)))
		if (snapshot_is_ours(d, e->d_name) &&
		    fstatat(dirfd(d), e->d_name, &st, 0) == 0 &&
		    st.st_nlink == 1)
			sum += (uint64_t)st.st_blocks * 512;
	if (d)
		closedir(d);
	return sum;
}

/* The first thing in it that is no snapshot's; owned. Files of these names are
 * one's only where there is, or was to be, a description of it. */
static char *find_foreign(DIR *d)
{
	CLEANUP(free_ptr) char *other = NULL;
	bool has_info = false;
	const struct dirent *e;

	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (!snapshot_is_ours(d, e->d_name))
			return mem_strdup(e->d_name);
		has_info |= is_info(e->d_name);
		free(other);
		other = mem_strdup(e->d_name);
	}
	return has_info ? NULL : TAKE(other);
}

static int check_ours(const char *dir, struct err *err)
{
	DIR *d = opendir(dir);
	CLEANUP(free_ptr) char *other = NULL;

	if (!d)
		return err_set(err, -errno, "cannot read folder '%s': %s", dir,
			       strerror(errno));
	other = find_foreign(d);
	closedir(d);
	return other ? err_set(err, -EEXIST,
			       "'%s' is no snapshot's folder: it holds '%s'",
			       dir, other)
		     : 0;
}

/* The description last: what is left by one that was killed is known by it. */
static void empty(const char *dir)
{
	CLEANUP(free_ptr) char *info = mem_printf("%s/" SNAPSHOT_INFO, dir);
	CLEANUP(free_ptr) char *tmp = mem_printf("%s/" SNAPSHOT_INFO_TMP, dir);

	DIR *d = opendir(dir);
	const struct dirent *e;

	rename(info, tmp);
	while (d && (e = readdir(d)))
		if (!is_info(e->d_name) && snapshot_is_ours(d, e->d_name))
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	unlink(tmp);
}

int snapshot_empty(const char *dir, struct err *err)
{
	int r = check_ours(dir, err);

	if (r == 0)
		empty(dir);
	return r == -ENOENT ? 0 : r;
}

int snapshot_remove(const char *dir, struct err *err)
{
	int r = check_ours(dir, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (int i = 0; i < REMOVE_TRIES; i++) {
		empty(dir);
		if (rmdir(dir) == 0)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST)
			break;
	}
	return err_set(err, -errno, "cannot remove '%s': %s", dir,
		       strerror(errno));
}
