/* SPDX-License-Identifier: MIT */
/*
 * The console as a unix socket for other programs: what
 * `socat - UNIX-CONNECT:path` talks to.
 *
 * A client gets the console's bytes from its connection on; what it sends is
 * written to the console in order, and what arrives together (up to 4 KiB)
 * is not torn apart by what others write. It gets an end of file when no
 * chardev is attached, at once or when that ends (then after the last byte); a
 * reset is none.
 *
 * Private to the console.
 */
#ifndef STREAMS_CONSOLE_SERVE_H
#define STREAMS_CONSOLE_SERVE_H

#include "agent-proto/err.h"

/* Connections at a time; one more is closed at once. */
#define CONSOLE_CLIENTS_MAX 256

struct console;
struct console_server;

/* Makes the socket, with mode 0600. */
struct console_server *console_server_new(struct console *c, const char *path,
					  struct err *err);
/* Each client gets what it takes at once of what it has not got, then EOF. */
struct console_server *console_server_free(struct console_server *s);

/* Whoever has connected by now gets what comes from now on. */
void console_server_accept(struct console_server *s);
/* The log has grown. */
void console_server_wake(struct console_server *s);
/* The chardev is gone: clients end where the log ends now. */
void console_server_end(struct console_server *s);

#endif
