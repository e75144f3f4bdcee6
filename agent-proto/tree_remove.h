/* SPDX-License-Identifier: MIT */
/* Removes a directory of ours with everything in it. */
#ifndef AGENT_PROTO_TREE_REMOVE_H
#define AGENT_PROTO_TREE_REMOVE_H

/* Directories in one another that are removed; what is deeper stays. Above
 * TREE_DEPTH_MAX, as a copied tree lies below directories of its own. */
#define TREE_REMOVE_DEPTH_MAX 256

/*
 * Removes name in the directory dir_fd (AT_FDCWD: name is a path) and
 * everything below it. Follows no link. Takes missing rights of the owner's
 * directories back first. What cannot be removed stays.
 */
void tree_remove(int dir_fd, const char *name);

#endif
