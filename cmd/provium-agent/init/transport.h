/* SPDX-License-Identifier: MIT */
/* Where the host is: a virtio port, or a socket to listen on. */
#ifndef AGENT_TRANSPORT_H
#define AGENT_TRANSPORT_H

#include <stdint.h>

#include "agent-proto/err.h"
#include "cmd/provium-agent/core/guest.h"

#define TRANSPORT_PORT_NAME "provium.0"

/* Opens the virtio port of that name, waiting until there is one. Returns an
 * fd or -errno. */
int transport_open_serial(const struct guest *g, struct err *err);

/* A listening, non-blocking socket, or -errno. */
int transport_listen_vsock(uint32_t port, struct err *err);
int transport_listen_unix(const char *path, struct err *err);

#endif
