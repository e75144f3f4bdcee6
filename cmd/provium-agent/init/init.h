/* SPDX-License-Identifier: MIT */
/* The agent as process 1 of a guest. */
#ifndef AGENT_INIT_H
#define AGENT_INIT_H

/* argv as the kernel gave it; it becomes that of the image's own init. Never
 * returns. */
void init_main(char **argv) __attribute__((noreturn));

/* The listener of a guest, with or without process 1 being ours. Returns an
 * exit status when there is no transport. */
struct guest;
struct config;
int init_serve(struct guest *g, const struct config *c);

#endif
