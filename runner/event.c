/* SPDX-License-Identifier: MIT */
#include "runner/event.h"

#include <errno.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/json_text.h"
#include "runner/text.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* What is kept of an event that is too large to send. */
static const char *const essential[] = {
    "event", "time", "file", "test", "line", "status", "duration", "location"};

json_t *event_begin(const char *event)
{
	json_t *ev = json_object();

	json_object_set_new(ev, "event", event_string(event, strlen(event)));
	json_object_set_new(
	    ev, "time",
	    json_real((double)clock_realtime_ns() / (double)NS_PER_SEC));
	return ev;
}

json_t *event_string(const char *s, size_t n)
{
	struct buf b = {0};
	size_t kept = n < EVENT_STRING_MAX ? n : EVENT_STRING_MAX;

	for (size_t i = 0, len; i < kept; i += len) {
		len = text_utf8(s + i, kept - i, NULL);
		if (len)
			buf_append(&b, s + i, len);
		else
			buf_append(&b, REPLACEMENT, strlen(REPLACEMENT));
		if (!len)
			len = 1;
	}
	if (kept < n)
		buf_printf(&b, "\n[%zu more bytes]", n - kept);
	json_t *js = json_stringn(b.len ? (char *)buf_data(&b) : "", b.len);
	buf_done(&b);
	return js;
}

/* The same event with nothing but what places it, and a word on the rest. */
static char *dump_essence(const json_t *ev, size_t size)
{
	json_t *small = json_object();
	CLEANUP(free_ptr)
	char *text = mem_printf("[left out: an event of %zu bytes]", size);

	for (size_t i = 0; i < ARRAY_LEN(essential); i++) {
		json_t *v = json_object_get(ev, essential[i]);
		const char *s = json_string_value(v);
		if (v && json_string_length(v) > EVENT_NAME_MAX)
			json_object_set_new(small, essential[i],
					    event_string(s, EVENT_NAME_MAX));
		else if (v)
			json_object_set(small, essential[i], v);
	}
	json_object_set_new(small, "message", json_string(text));
	char *line = json_text(small, JSON_COMPACT);
	json_decref(small);
	return line;
}

void event_encode(const json_t *ev, struct buf *out)
{
	char *line = json_text(ev, JSON_COMPACT);

	if (line && strlen(line) >= EVENT_LINE_MAX) {
		size_t size = strlen(line);
		free(line);
		line = dump_essence(ev, size);
	}
	if (!line) /* only for want of memory: strings are valid UTF-8 */
		line = mem_strdup("{}");
	buf_append(out, line, strlen(line));
	buf_append(out, "\n", 1);
	free(line);
}

json_t *event_decode(const char *line, size_t n, struct err *err)
{
	json_error_t je;
	json_t *ev;

	if (n > EVENT_LINE_MAX) {
		err_set(err, -EMSGSIZE, "event of %zu bytes, %u at most", n,
			EVENT_LINE_MAX);
		return NULL;
	}
	ev = json_loadb(line, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &je);
	if (!ev) {
		err_set(err, -EBADMSG, "not an event: %s", je.text);
		return NULL;
	}
	if (!json_is_object(ev) ||
	    !json_is_string(json_object_get(ev, "event"))) {
		json_decref(ev);
		err_set(err, -EBADMSG, "not an event: no \"event\" in it");
		return NULL;
	}
	return ev;
}
