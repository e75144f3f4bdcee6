/* SPDX-License-Identifier: MIT */
/* What reading and writing snapshots share. */
#ifndef VMM_SNAPSHOT_PRIVATE_H
#define VMM_SNAPSHOT_PRIVATE_H

#include "vmm/snapshot.h"

#define SNAPSHOT_INFO		"info.json"
#define SNAPSHOT_INFO_TMP	"info.tmp"

#define SNAPSHOT_LAYER_NAME_MAX 48

extern const char *const snapshot_names[SNAPSHOT_FILES];

/* What tells whether a file of the user is still the same; owned by the caller.
 * */
json_t *snapshot_file_id(const char *path);
/* The same for an image of a disk, with all files that belong to it
 * (image_chain.h). */
json_t *snapshot_image_id(const char *path);

/* snapshot_remove() but for the folder itself. */
int snapshot_empty(const char *dir, struct err *err);
/* snapshot_disk.c: the names of a disk's files, bottom first. */
const char *snapshot_layer_name(char ret[SNAPSHOT_LAYER_NAME_MAX], size_t disk,
				size_t layer);
bool snapshot_is_layer_name(const char *name);
/* Fills s->disks, and checks them as snapshot_open() says. */
int snapshot_read_disks(struct snapshot *s, struct err *err);
int snapshot_verify_disks(const struct snapshot *s, struct err *err);

#endif
