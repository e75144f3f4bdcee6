/* SPDX-License-Identifier: MIT */
/*
 * The host's own network stack and programs as a guest: a process in user and
 * network namespaces of its own, with a TAP of which we hold the other side.
 */
#ifndef TESTS_LIB_TAP_H
#define TESTS_LIB_TAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/net/addr.h"

struct tap_host {
	pid_t pid;
	int fd;	     /* the TAP: a frame each read and write; non-blocking */
	int control; /* stream socket: what the script prints, then EOF */
};

/* False: this machine does not allow it. The interface is tap0, up, with that
 * address; then script is run by sh, with its output to control. */
bool tap_host_start(struct tap_host *h, const uint8_t mac[MAC_LEN],
		    const char *script);
/* Ends it, if need be by force. Returns its exit status, -1: killed. */
int tap_host_stop(struct tap_host *h);

#endif
