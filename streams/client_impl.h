/* SPDX-License-Identifier: MIT */
/*
 * Private to client.c, call.c and feed.c: a port is one channel and what its
 * user wants to hear of it.
 */
#ifndef STREAMS_CLIENT_IMPL_H
#define STREAMS_CLIENT_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "streams/client.h"

/* Each may close or free the port; nobody looks at it afterwards. */
struct port_ops {
	void (*message)(struct port *p, const uint8_t *msg, size_t n);
	void (*data)(struct port *p, const uint8_t *bytes, size_t n, bool more);
	void (*writable)(struct port *p);
	/* The agent ended its direction. */
	void (*finished)(struct port *p);
	/* The channel is gone before that; the port is closed already. */
	void (*lost)(struct port *p, const struct err *err);
};

/*
 * Opens a channel with req; fin: nothing follows. Returns 0; 0 too when the
 * connection is lost and its owner is about to say why (then lost() comes).
 * Negative with err: nothing will be heard of p.
 */
int port_open(struct port *p, struct client *c, const struct port_ops *ops,
	      const struct msg *req, bool fin, struct err *err);
/* Resets the channel if it is open; nothing more is heard of p. */
void port_close(struct port *p);
/* Nothing more is heard of p, whose channel ends by itself. */
void port_forget(struct port *p);
/* Something was queued on a channel: write it before the loop waits. */
void client_kick(struct client *c);

/* Decodes an answer from bytes, which m borrows. 0; -errnum with the agent's
 * text for ERROR; -EPROTO for what is no answer. */
int client_decode_reply(struct msg *m, const uint8_t *bytes, size_t n,
			struct err *err);

#endif
