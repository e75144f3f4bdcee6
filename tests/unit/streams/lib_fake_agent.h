/* SPDX-License-Identifier: MIT */
/*
 * A scripted agent at the other end of a socketpair: the agent's role of a
 * session, in the same loop or in a child process. The script is a function
 * that is given each request; what it does not answer stays unanswered.
 */
#ifndef LIB_FAKE_AGENT_H
#define LIB_FAKE_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent-proto/buf.h"
#include "agent-proto/msg.h"
#include "agent-proto/session.h"
#include "streams/loop.h"

struct fake_agent;

struct fake_script {
	void (*request)(struct fake_agent *a, struct chan *ch,
			const struct msg *m);
	/* May be NULL: data is consumed and counted. */
	void (*data)(struct fake_agent *a, struct chan *ch, const uint8_t *p,
		     size_t n);
	void (*finished)(struct fake_agent *a, struct chan *ch);
	void (*writable)(struct fake_agent *a, struct chan *ch);
	void (*closed)(struct fake_agent *a, struct chan *ch, int reason);
};

struct fake_agent {
	struct loop *loop;
	struct watch *watch;
	int fd;
	struct session *session;
	struct buf out;
	const struct fake_script *script;
	void *ctx; /* the test's */
	bool is_reading;
	bool is_mute; /* writes nothing: for an agent that never answers */
	/* What has happened. */
	unsigned requests;
	unsigned reads; /* that brought bytes */
	unsigned resets;
	unsigned hellos;
	uint64_t data_bytes;
	uint64_t raw_bytes;
	enum msg_type last;
};

#define FAKE_INSTANCE 0x1234

/* The host's end goes to *ret_fd, non-blocking and owned by the caller. */
struct fake_agent *fake_agent_new(struct loop *l,
				  const struct fake_script *script, void *ctx,
				  int *ret_fd);
struct fake_agent *fake_agent_free(struct fake_agent *a);
/* The same in a child, which ends with the connection. Returns its pid. */
pid_t fake_agent_fork(const struct fake_script *script, void *ctx, int *ret_fd);

void fake_reply(struct fake_agent *a, struct chan *ch, const struct msg *m,
		bool fin);
void fake_done(struct fake_agent *a, struct chan *ch, int64_t value, bool fin);
void fake_error(struct fake_agent *a, struct chan *ch, int errnum,
		const char *text);
/* Returns how much was taken. */
size_t fake_data(struct fake_agent *a, struct chan *ch, const void *p, size_t n,
		 bool fin);
/* Gives back credit for data that script->data() did not consume. */
void fake_consumed(struct fake_agent *a, struct chan *ch, size_t n);
/* Bytes past the session, as a broken agent would send them. */
void fake_raw(struct fake_agent *a, const void *p, size_t n);
/* Sends what there is, then closes the connection. */
void fake_hang_up(struct fake_agent *a);

#endif
