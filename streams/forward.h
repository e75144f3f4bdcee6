/* SPDX-License-Identifier: MIT */
/*
 * A port of the host's loopback whose connections are carried to a TCP port of
 * the guest's: over the agent, so the guest needs no network, and nothing else
 * of it can be reached. Bytes flow both ways with back-pressure, and each
 * direction ends on its own; a connection that the guest refuses is reset.
 */
#ifndef STREAMS_FORWARD_H
#define STREAMS_FORWARD_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "streams/client.h"
#include "streams/loop.h"

/* Connections of one forward at a time; more are reset. */
#define FORWARD_CONNECTIONS_MAX 256u

struct forward;

/* The client of the guest that runs now; NULL: there is none, and the
 * connection is reset. */
typedef struct client *(*forward_client_cb)(void *ctx);

/* Listens. NULL with err. */
struct forward *forward_new(struct loop *l, uint16_t guest_port,
			    forward_client_cb client, void *ctx,
			    struct err *err);
/* Its connections are reset. Before the clients they are over. */
struct forward *forward_free(struct forward *f);
/* Of 127.0.0.1. */
uint16_t forward_port(const struct forward *f);
uint16_t forward_guest_port(const struct forward *f);
/* How many connections there are, and the bytes of them that wait for one of
 * the ends. */
size_t forward_connections(const struct forward *f);
size_t forward_pending(const struct forward *f);

#endif
