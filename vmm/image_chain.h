/* SPDX-License-Identifier: MIT */
/*
 * The files of the host that an image of a disk consists of: a qcow2 image may
 * name a backing file and an external data file, and the backing file others.
 */
#ifndef VMM_IMAGE_CHAIN_H
#define VMM_IMAGE_CHAIN_H

#include "agent-proto/err.h"
#include "agent-proto/mem.h"

/* Files of one image at the most; a chain may be a loop. */
#define IMAGE_CHAIN_MAX 64

/*
 * Appends the paths of all files of the image at path: path itself first, then
 * each data file and backing file, to any depth. As in QEMU
 * (path_has_protocol() in block.c), relative names count from the folder of the
 * image that holds them, and those behind "file:" from the working directory. A
 * file that cannot be read ends the chain, and is in it.
 *
 * -ENOTSUP where QEMU would open what is no such path: a name with another
 * protocol ("json:", "nbd:"), or a backing file that is neither raw nor qcow2.
 * ret then has the files up to there.
 */
int image_chain(const char *path, struct strvec *ret, struct err *err);

#endif
