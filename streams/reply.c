/* SPDX-License-Identifier: MIT */
/* What an agent's answer may look like. The guest is not to be trusted: what
 * passes here is of the type that the request is answered by. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "streams/client_impl.h"
#include "streams/stream.h"

/* Linux's MAX_ERRNO: what a system call may return. */
#define ERRNUM_MAX     4095
#define ERROR_TEXT_MAX 1024

struct answer {
	enum msg_type request;
	enum msg_type reply;
};

/* All others are answered by DONE. */
#define ANSWERS 3
static const struct answer answers[ANSWERS];

static enum msg_type reply_type(enum msg_type request)
{
	for (size_t i = 0; i < ANSWERS; i++)
		if (answers[i].request == request)
			return answers[i].reply;
	return MSG_DONE;
}

void reply_broken(struct err *err, enum msg_type request, const char *what)
{
	err_set(err, -EPROTO, "the agent broke the protocol: %s %s",
		msg_name(request), what);
}

static void take_error(const struct msg_error *m, struct err *err)
{
	struct buf text = {0};
	bool valid = m->errnum > 0 && m->errnum <= ERRNUM_MAX;
	size_t n = strnlen(m->text, ERROR_TEXT_MAX);

	stream_escape_tail(&text, m->text, n, n);
	if (!n)
		buf_printf(&text, "%s",
			   valid ? strerror(m->errnum) : "unknown error");
	err_set(err, valid ? -m->errnum : -EPROTO, "%.*s", (int)text.len,
		(const char *)buf_data(&text));
	buf_done(&text);
}

int reply_decode(enum msg_type request, const uint8_t *p, size_t n,
		 struct msg *ret, struct err *err)
{
	char what[64];

	if (msg_decode(ret, p, n) < 0) {
		reply_broken(err, request, "was answered by garbage");
		return -EPROTO;
	}
	if (ret->type == MSG_ERROR) {
		take_error(&ret->error, err);
		return 0;
	}
	if (ret->type == reply_type(request))
		return 0;
	snprintf(what, sizeof(what), "was answered by %s", msg_name(ret->type));
	reply_broken(err, request, what);
	return -EPROTO;
}

static const struct answer answers[ANSWERS] = {
    {MSG_PROC_WAIT, MSG_EXITED},
    {MSG_STAT, MSG_FILE_STATUS},
    {MSG_SYSCALL, MSG_SYSCALL_DONE},
};
