/* SPDX-License-Identifier: MIT */
/*
 * One message that QEMU sends on a QMP connection, decoded (qmp-spec.txt of
 * the QEMU documentation). Pure: no connection is involved.
 */
#ifndef VMM_QMP_MSG_H
#define VMM_QMP_MSG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent-proto/err.h"

enum qmp_kind { QMP_GREETING, QMP_RETURN, QMP_ERROR, QMP_EVENT };

struct qmp_msg {
	enum qmp_kind kind;
	json_t *root;	  /* owned; what follows borrows from it */
	json_t *data;	  /* RETURN: the value; EVENT: its data, or NULL */
	const char *name; /* EVENT: its name; ERROR: its class */
	const char *text; /* ERROR: the description */
	bool has_id;
	json_int_t id; /* RETURN, ERROR: of the command */
};

/* Decodes one line, without its newline: 0 or -EPROTO. Release with
 * qmp_msg_done() after success. */
int qmp_msg_decode(struct qmp_msg *m, const char *line, size_t n,
		   struct err *err);
void qmp_msg_done(struct qmp_msg *m);

#endif
