/* SPDX-License-Identifier: MIT */
/*
 * The memory and vCPUs that the files of a run share: a state machine without
 * I/O or clock. Asks go in, answers come out of pool_next(), which is to be
 * called until it has none after each change.
 *
 * Asks are answered in the order in which they came, whoever they are from: a
 * large one at the head waits for room, and nobody passes it. Three kinds
 * pass all the same: what a client's claim covers takes nothing; a client that
 * was let in may go on when otherwise nobody could (see pool.c); and what can
 * never be is refused.
 *
 * A client is a file that runs. It is parked while all that it does is to wait
 * for its asks; only parked clients can be in a deadlock.
 */
#ifndef RUNNER_POOL_H
#define RUNNER_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/err.h"

struct pool_amount {
	uint64_t memory; /* bytes */
	uint64_t cpus;
};

/* What there is. The notes are put behind the numbers of a refusal: where
 * the number comes from, and the flag that changes it. */
struct pool_budget {
	struct pool_amount amount;
	char memory_note[96]; /* " of 24G: --mem" */
	char cpus_note[96];   /* " (2 CPUs x 8): --cpus" */
};

enum pool_kind {
	POOL_VMS,
	/* Reserves; what the client asks for then comes out of it. One a
	 * client. */
	POOL_CLAIM,
};

struct pool_request {
	uint64_t id; /* the client's own; comes back with the answer */
	enum pool_kind kind;
	struct pool_amount amount;
	const char *what;  /* "VM 'a'", "3 VMs" */
	const char *place; /* "a.test.lua:12" */
};

struct pool_answer {
	unsigned client;
	uint64_t id;
	char *refusal; /* owned by the receiver; NULL: granted */
};

struct pool;

struct pool *pool_new(const struct pool_budget *budget);
struct pool *pool_free(struct pool *p);

/* A file begins: the number of its client, which is free again after
 * pool_leave(), when all that it had is back and its asks are forgotten. */
unsigned pool_enter(struct pool *p, const char *name);
void pool_leave(struct pool *p, unsigned client);

/* The strings are copied. Answered by pool_next(), later or at once. Negative:
 * the client breaks the rules (a second claim, an id twice). */
int pool_ask(struct pool *p, unsigned client, const struct pool_request *r,
	     struct err *err);
/* The client no longer waits for it; no effect once it is answered. */
void pool_withdraw(struct pool *p, unsigned client, uint64_t id);
/* A part of what was granted is back. Negative: it has not so much. */
int pool_give_back(struct pool *p, unsigned client,
		   const struct pool_amount *amount, struct err *err);
/* The client says that it only waits for its n asks; 0: it runs. Without
 * effect if it has another number of them by now. */
void pool_park(struct pool *p, unsigned client, unsigned n);

/* Looks at the host, under pressure and with a queue, after which an ask is
 * granted all the same. */
#define POOL_PRESSED_MAX 10

/* One look at the host. Under pressure nothing is given out while another
 * client that has something runs, for POOL_PRESSED_MAX looks. */
void pool_set_pressure(struct pool *p, bool is_high);

/* The next answer; false: nothing to answer now. */
bool pool_next(struct pool *p, struct pool_answer *ret);

/* Whether that ask waits for its answer. */
bool pool_has(const struct pool *p, unsigned client, uint64_t id);
bool pool_is_parked(const struct pool *p, unsigned client);
/* Asks that wait, of all clients. */
unsigned pool_waiting(const struct pool *p);
/* What is given out, claims included. */
struct pool_amount pool_used(const struct pool *p);

/* "19.2G", "512M", "1000": as the Lua API takes them. */
#define POOL_SIZE_TEXT 32
const char *pool_size_text(uint64_t bytes, char out[POOL_SIZE_TEXT]);

#endif
