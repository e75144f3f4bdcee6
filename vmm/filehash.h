/* SPDX-License-Identifier: MIT */
/*
 * A number for what a file holds, the same whether pages of zeros are written
 * or holes: XXH3, 64 bits, over the pages that are not zero, each with its
 * place, and the file's size. It finds damage, not forgery.
 */
#ifndef VMM_FILEHASH_H
#define VMM_FILEHASH_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/err.h"

#define FILEHASH_TEXT_MAX 17 /* 16 hexadecimal digits */

struct filehash;

/* fd: a regular file, borrowed. */
struct filehash *filehash_new(int fd);
/* Reads max bytes, roughly. 1: done; 0: call again; or -errno. */
int filehash_step(struct filehash *h, size_t max, struct err *err);
/* When done. */
void filehash_text(const struct filehash *h, char ret[FILEHASH_TEXT_MAX]);
struct filehash *filehash_free(struct filehash *h);

/* All at once. 0 or -errno. */
int filehash_of(int fd, char ret[FILEHASH_TEXT_MAX], struct err *err);

#endif
