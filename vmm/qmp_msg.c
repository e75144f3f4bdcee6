/* SPDX-License-Identifier: MIT */
#include "vmm/qmp_msg.h"

#include <errno.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/stream.h"

/* So much of a line that makes no sense is shown. */
#define EXCERPT_MAX 80

typedef bool (*decode_fn)(struct qmp_msg *m, json_t *member);

struct shape {
	const char *key; /* the member that tells what it is */
	enum qmp_kind kind;
	decode_fn decode; /* false: the member is not as it must be */
};

static bool decode_greeting(struct qmp_msg *m, json_t *member)
{
	m->data = member;
	return json_is_object(member) &&
	       json_is_object(json_object_get(member, "version"));
}

static bool decode_event(struct qmp_msg *m, json_t *member)
{
	m->name = json_string_value(member);
	m->data = json_object_get(m->root, "data");
	return m->name && (!m->data || json_is_object(m->data));
}

static bool decode_return(struct qmp_msg *m, json_t *member)
{
	m->data = member;
	return true;
}

static bool decode_error(struct qmp_msg *m, json_t *member)
{
	m->name = json_string_value(json_object_get(member, "class"));
	m->text = json_string_value(json_object_get(member, "desc"));
	return m->name && m->text;
}

static const struct shape shapes[] = {
    {"QMP", QMP_GREETING, decode_greeting},
    {"event", QMP_EVENT, decode_event},
    {"return", QMP_RETURN, decode_return},
    {"error", QMP_ERROR, decode_error},
};

static bool decode_root(struct qmp_msg *m)
{
	json_t *id = json_object_get(m->root, "id");

	m->has_id = json_is_integer(id);
	m->id = json_integer_value(id);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		json_t *member = json_object_get(m->root, shapes[i].key);

		if (!member)
			continue;
		m->kind = shapes[i].kind;
		return shapes[i].decode(m, member);
	}
	return false;
}

static int qmp_msg_refuse(const char *line, size_t n, const char *why,
			  struct err *err)
{
	CLEANUP(buf_done) struct buf text = {0};

	stream_escape_tail(&text, line, n < EXCERPT_MAX ? n : EXCERPT_MAX,
			   EXCERPT_MAX);
	buf_append(&text, "", 1);
	return err_set(err, -EPROTO, "%s on the QMP connection: `%s`", why,
		       (const char *)buf_data(&text));
}

int qmp_msg_decode(struct qmp_msg *m, const char *line, size_t n,
		   struct err *err)
{
	json_error_t why;

	*m = (struct qmp_msg){0};
	m->root = json_loadb(line, n, 0, &why);
	if (!m->root)
		return qmp_msg_refuse(line, n, "not JSON", err);
	if (decode_root(m))
		return 0;
	qmp_msg_done(m);
	return qmp_msg_refuse(line, n, "not a QMP message", err);
}

void qmp_msg_done(struct qmp_msg *m)
{
	json_decref(m->root);
	*m = (struct qmp_msg){0};
}
