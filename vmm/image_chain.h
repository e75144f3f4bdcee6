/* SPDX-License-Identifier: MIT */
/*
 * The files of the host that an image of a disk consists of: a qcow2 image may
 * name a backing file and an external data file, and the backing file others.
 */
#ifndef VMM_IMAGE_CHAIN_H
#define VMM_IMAGE_CHAIN_H

#include "agent-proto/mem.h"

/* Files of one image at the most; a chain may be a loop. */
#define IMAGE_CHAIN_MAX 64

/*
 * Appends the paths of all files of the image at path: path itself first, then
 * each data file and backing file, to any depth. Relative names count from the
 * folder of the image that holds them. A file that cannot be read ends the
 * chain, and is in it.
 */
void image_chain(const char *path, struct strvec *ret);

#endif
