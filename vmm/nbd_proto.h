/* SPDX-License-Identifier: MIT */
/*
 * The server's side of the NBD protocol (doc/proto.md of the NBD project), as
 * much as QEMU needs, without I/O: fixed newstyle handshake, one export under
 * any name, no TLS, simple replies; read, write, flush.
 *
 *	server	NBDMAGIC IHAVEOPT, flags
 *	client	flags; options, each answered, until GO or EXPORT_NAME
 *	client	requests, each answered, in any order
 *
 * Whatever is not that ends the connection.
 */
#ifndef VMM_NBD_PROTO_H
#define VMM_NBD_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"

/* Of one request; the client is told. */
#define NBD_LENGTH_MAX (4u << 20)
/* Of an option's data. */
#define NBD_OPTION_MAX 8192

enum nbd_type { NBD_READ = 0, NBD_WRITE = 1, NBD_DISC = 2, NBD_FLUSH = 3 };

struct nbd_request {
	enum nbd_type type;
	bool is_fua; /* a write that is to be flushed, too */
	uint64_t handle;
	uint64_t offset; /* offset + length is within the export */
	uint32_t length;
	const uint8_t *data; /* of a write; borrowed from the input */
};

enum nbd_stage { NBD_HELLO, NBD_OPTIONS, NBD_REQUESTS };

struct nbd_session {
	uint64_t size;
	bool is_readonly;
	enum nbd_stage stage;
	bool no_zeroes;
	size_t taken; /* of the input, by the request that was returned */
};

/* What the server says first goes to out. */
void nbd_begin(struct nbd_session *s, uint64_t size, bool is_readonly,
	       struct buf *out);
/*
 * Takes from in, and answers handshakes and requests that are wrong to out. 1:
 * a request, good until the next call; 0: more is needed; -EPROTO: the client
 * does not speak NBD; -ECONNRESET: it said good-bye.
 */
int nbd_next(struct nbd_session *s, struct buf *in, struct buf *out,
	     struct nbd_request *ret, struct err *err);
/* The answer to a request: code 0 or a negative errno. The data of a read,
 * which was good, are put behind it by the caller. */
void nbd_answer(struct buf *out, uint64_t handle, int code);

#endif
