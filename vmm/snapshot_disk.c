/* SPDX-License-Identifier: MIT */
/* The disks of a snapshot: what info.json says of them, and their files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/filehash.h"
#include "vmm/image_chain.h"
#include "vmm/snapshot.h"
#include "vmm/snapshot_private.h"

static const char *const source_names[] = {
    [DISK_SCRATCH] = "scratch",
    [DISK_TEMPLATE] = "template",
    [DISK_IN_PLACE] = "path",
};

const char *snapshot_layer_name(char ret[SNAPSHOT_LAYER_NAME_MAX], size_t disk,
				size_t layer)
{
	snprintf(ret, SNAPSHOT_LAYER_NAME_MAX, "disk%zu.%zu", disk, layer);
	return ret;
}

bool snapshot_is_layer_name(const char *name)
{
	char good[SNAPSHOT_LAYER_NAME_MAX];

	for (size_t i = 0; i < VM_DISKS_MAX; i++)
		for (size_t k = 0; k < DISK_LAYERS_MAX; k++)
			if (!strcmp(name, snapshot_layer_name(good, i, k)))
				return true;
	return false;
}

/* --- info.json -------------------------------------------------------------
 */

json_t *snapshot_image_id(const char *path)
{
	CLEANUP(strvec_done) struct strvec files = {0};
	json_t *all;

	/* One that cannot be followed is refused at the boot. */
	image_chain(path, &files, NULL);
	all = snapshot_file_id(path);
	for (size_t i = 1; i < files.n; i++) {
		json_t *id = snapshot_file_id(files.v[i]);

		/* A name without UTF-8 has no JSON: NULL, and not kept. */
		json_array_append_new(all, json_string(files.v[i]));
		json_array_append_new(all, id);
	}
	return all;
}

json_t *snapshot_describe_disk(const struct disk_spec *spec, uint64_t size,
			       size_t n_layers)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:b, s:b, s:I}", "id", spec->id,
			      "source", source_names[spec->source], "size",
			      (json_int_t)size, "readonly", spec->is_readonly,
			      "mediated", spec->is_mediated, "layers",
			      (json_int_t)n_layers);

	if (!spec->path)
		return o;
	json_object_set_new(o, "path", json_string(spec->path));
	json_object_set_new(o, "image_id", snapshot_image_id(spec->path));
	return o;
}

static int find_source(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_LEN(source_names); i++)
		if (!strcmp(name, source_names[i]))
			return (int)i;
	return -1;
}

static bool read_disk(const json_t *o, struct snapshot_disk *ret)
{
	const char *id = json_string_value(json_object_get(o, "id"));
	int source =
	    find_source(json_string_value(json_object_get(o, "source")));
	json_int_t n = json_integer_value(json_object_get(o, "layers"));
	json_int_t size = json_integer_value(json_object_get(o, "size"));
	struct err err;

	if (!id || !disk_id_is_good(id) || source < 0 || n < 0 ||
	    n > DISK_LAYERS_MAX - 1 || size < 0 ||
	    disk_check_size((uint64_t)size, &err) < 0)
		return false;
	ret->n_layers = (size_t)n;
	ret->image_id = json_object_get(o, "image_id");
	ret->spec = (struct disk_spec){
	    .id = id,
	    .source = (enum disk_source)source,
	    .path = json_string_value(json_object_get(o, "path")),
	    .size = (uint64_t)size,
	    .is_readonly = json_is_true(json_object_get(o, "readonly")),
	    .is_mediated = json_is_true(json_object_get(o, "mediated")),
	};
	return !ret->spec.path == (source == DISK_SCRATCH);
}

/* The image may have been written since: then what lies on it is void. */
static int check_image(const struct snapshot *s, const struct snapshot_disk *d,
		       struct err *err)
{
	json_t *now;
	bool same;

	if (!d->spec.path)
		return 0;
	now = snapshot_image_id(d->spec.path);
	same = json_equal(now, d->image_id);
	json_decref(now);
	if (same)
		return 0;
	return err_set(err, -ESTALE,
		       "the image '%s' of disk '%s' is not what it was when "
		       "the snapshot '%s' was taken: take it anew",
		       d->spec.path, d->spec.id, s->dir);
}

static const json_t *snapshot_disk_entry_of(const struct snapshot *s,
					    const char *name)
{
	return json_object_get(json_object_get(s->json, "files"), name);
}

static int check_layer(const struct snapshot *s, const char *name,
		       struct err *err)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", s->dir, name);
	const json_t *entry = snapshot_disk_entry_of(s, name);
	struct stat st;

	if (entry && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_size == json_integer_value(json_object_get(entry, "size")))
		return 0;
	return err_set(err, -EBADMSG,
		       "the snapshot '%s' is damaged: its file '%s' is missing "
		       "or cut",
		       s->dir, name);
}

int snapshot_read_disks(struct snapshot *s, struct err *err)
{
	const json_t *list = json_object_get(s->json, "disks");
	char name[SNAPSHOT_LAYER_NAME_MAX];
	int r = 0;

	s->n_disks = json_array_size(list);
	if (s->n_disks > VM_DISKS_MAX)
		r = -EBADMSG;
	for (size_t i = 0; r == 0 && i < s->n_disks; i++)
		if (!read_disk(json_array_get(list, i), &s->disks[i]))
			r = -EBADMSG;
	if (r < 0)
		return err_set(err, r, "the snapshot '%s' is damaged: disks",
			       s->dir);
	for (size_t i = 0; r == 0 && i < s->n_disks; i++) {
		r = check_image(s, &s->disks[i], err);
		for (size_t k = 0; r == 0 && k < s->disks[i].n_layers; k++)
			r = check_layer(s, snapshot_layer_name(name, i, k),
					err);
		s->specs[i] = s->disks[i].spec;
	}
	return r;
}

/* --- files -----------------------------------------------------------------
 */

const char *snapshot_layer_hash(const struct snapshot *s, size_t disk,
				size_t layer)
{
	char name[SNAPSHOT_LAYER_NAME_MAX];
	const json_t *entry =
	    snapshot_disk_entry_of(s, snapshot_layer_name(name, disk, layer));
	const char *hash = json_string_value(json_object_get(entry, "hash"));

	return hash && strlen(hash) < FILEHASH_TEXT_MAX ? hash : "";
}

int snapshot_open_layer(const struct snapshot *s, size_t disk, size_t layer,
			struct err *err)
{
	char name[SNAPSHOT_LAYER_NAME_MAX];
	CLEANUP(free_ptr)
	char *path =
	    mem_printf("%s/%s", s->dir, snapshot_layer_name(name, disk, layer));
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? err_set(err, -errno, "cannot open '%s': %s", path,
				strerror(errno))
		      : fd;
}

static int verify_layer(const struct snapshot *s, size_t disk, size_t layer,
			struct err *err)
{
	CLEANUP(fd_closep) int fd = snapshot_open_layer(s, disk, layer, err);
	char name[SNAPSHOT_LAYER_NAME_MAX], hash[FILEHASH_TEXT_MAX];
	int r = fd < 0 ? fd : filehash_of(fd, hash, err);

	if (r < 0)
		return err_wrap(err, "the snapshot '%s'", s->dir);
	if (!strcmp(hash, snapshot_layer_hash(s, disk, layer)))
		return 0;
	return err_set(err, -EBADMSG,
		       "the snapshot '%s' is damaged: its file '%s' is not "
		       "what was written",
		       s->dir, snapshot_layer_name(name, disk, layer));
}

int snapshot_verify_disks(const struct snapshot *s, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < s->n_disks; i++)
		for (size_t k = 0; r == 0 && k < s->disks[i].n_layers; k++)
			r = verify_layer(s, i, k, err);
	return r;
}
