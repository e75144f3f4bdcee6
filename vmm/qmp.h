/* SPDX-License-Identifier: MIT */
/*
 * The QMP connection to one QEMU: commands as operations, events through a
 * table. See qmp-spec.txt and the QMP reference manual of QEMU.
 */
#ifndef VMM_QMP_H
#define VMM_QMP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "agent-proto/err.h"
#include "streams/loop.h"
#include "streams/op.h"

/* The longest line that is accepted; query-qmp-schema gives some 200 KiB. */
#define QMP_LINE_MAX	(4u << 20)
#define QMP_VERSION_MAX 128
/* So much of the conversation goes into the log. */
#define QMP_LOG_MAX (256u << 10)

struct qmp;

struct qmp_event {
	const char *name;
	/* data: the event's, an object or NULL; borrowed. */
	void (*fn)(void *ctx, const json_t *data);
};

/* The connection ended, or what came was not QMP: the commands in flight were
 * failed with err. Called once, from the loop. */
typedef void (*qmp_lost_cb)(void *ctx, const struct err *err);

/*
 * take_fd: a connected stream socket. events (borrowed) ends with a NULL name;
 * others are ignored. The first command must be "qmp_capabilities"; nothing is
 * sent before QEMU's greeting has come and is right.
 */
struct qmp *qmp_new(struct loop *l, int take_fd, const struct qmp_event *events,
		    qmp_lost_cb on_lost, void *ctx);
/* Commands in flight finish with -ECANCELED. May be called from a callback. */
struct qmp *qmp_free(struct qmp *q);

/* QEMU's, as it greeted: "7.2.22 Debian 1:7.2+dfsg-7+deb12u18"; "" before. */
const char *qmp_version(const struct qmp *q);

/* The process that wrote last, which is QEMU itself, also where a wrapper has
 * started it; 0 before (SCM_CREDENTIALS, unix(7)). */
pid_t qmp_peer(const struct qmp *q);

/* Handles what has come so far: QEMU ended, and may have said why. */
void qmp_drain(struct qmp *q);

/* Copies the conversation to take_fd, up to QMP_LOG_MAX bytes. */
void qmp_set_log(struct qmp *q, int take_fd);

/*
 * One command. The op finishes with 0 and ret, the command's return value; or
 * with -EREMOTEIO when QEMU refused it, its reason in op.err. A command whose
 * deadline passes, or that is given up, may still be carried out by QEMU.
 */
struct qmp_call {
	struct op op;
	struct qmp *qmp; /* NULL when no longer waited for */
	json_int_t id;
	char *command;
	json_t *ret; /* owned */
	TAILQ_ENTRY(qmp_call) link;
};

/* arguments: taken, NULL for none. */
void qmp_call_start(struct qmp_call *call, struct qmp *q, const char *command,
		    json_t *take_arguments, int64_t deadline_ns);
/* Nobody is there to be asked: finishes at once, with 0. */
void qmp_call_skip(struct qmp_call *call, struct loop *l);
/* Cancels when in flight; for any call that was started, once. */
void qmp_call_done(struct qmp_call *call);

#endif
