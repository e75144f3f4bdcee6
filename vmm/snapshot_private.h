/* SPDX-License-Identifier: MIT */
/* What reading and writing snapshots share. */
#ifndef VMM_SNAPSHOT_PRIVATE_H
#define VMM_SNAPSHOT_PRIVATE_H

#include "vmm/snapshot.h"

#define SNAPSHOT_INFO	  "info.json"
#define SNAPSHOT_INFO_TMP "info.tmp"

extern const char *const snapshot_names[SNAPSHOT_FILES];

/* What tells whether a file of the user is still the same; owned by the caller.
 * */
json_t *snapshot_file_id(const char *path);

/* snapshot_remove() but for the folder itself. */
int snapshot_empty(const char *dir, struct err *err);

#endif
