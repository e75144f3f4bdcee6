/* SPDX-License-Identifier: MIT */
/*
 * The files of the boot options. The kernel unpacks them into FILES_DIR; the
 * agent moves them into their places before anything of the image runs. The
 * kernel could unpack them there, but then it would change owner and mode of
 * each directory above them, and say nothing of a file that it cannot make
 * (Linux, init/initramfs.c, do_name()).
 *
 * FILES_DIR/list has a record for each, "KIND SIZE PATH" and a NUL:
 *	staged	FILES_DIR/0, FILES_DIR/1, ... is to be moved to PATH
 *	placed	the kernel has unpacked it at PATH
 * SIZE is in bytes. The number of a staged file is that of its record.
 */
#ifndef AGENT_FILES_H
#define AGENT_FILES_H

#include <stddef.h>
#include <sys/types.h>

#include "agent-proto/err.h"

#define FILES_DIR "/.provium/files"

struct files {
	const char *root; /* a prefix of every path; "" but for tests */
	size_t n;
	char *list; /* the records, owned; or NULL */
	char *end;  /* of the list; a NUL is there */
	dev_t dev;  /* of the file system that they are on */
};

/*
 * Moves n files into their places and removes FILES_DIR. Missing directories
 * are made; those that exist stay as they are. A file of the image, a symlink
 * that leads to no directory, and an empty directory make way. Any other
 * obstacle is an error that names the path and the reason; what was moved
 * before stays. End f with files_done() in each case.
 */
int files_place(struct files *f, const char *root, size_t n, struct err *err);

/* After mounts: an error names the first file that one of them hides. */
int files_check_visible(const struct files *f, struct err *err);

void files_done(struct files *f);

#endif
