/* SPDX-License-Identifier: MIT */
/* Directories with everything below them, to and from the host. */
#ifndef AGENT_TREE_H
#define AGENT_TREE_H

#include <sys/types.h>

#include "cmd/provium-agent/core/task.h"

/* Answers r with DONE mode and the directory as a tree. path is copied. */
void tree_send(const struct req *r, int take_fd, mode_t mode, const char *path);
/* Makes the directory path of the tree that follows r. Answers DONE bytes. A
 * request that is given up leaves nothing. */
void tree_receive(const struct req *r, const char *path);

#endif
