/* SPDX-License-Identifier: MIT */
#include "vmm/alarm_rules.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "streams/stream.h"

void alarm_rules_done(struct alarm_rules *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].text);
		strvec_done(&r->v[i].except);
	}
	free(r->v);
	*r = (struct alarm_rules){0};
}

void alarm_rules_add(struct alarm_rules *r, const char *text)
{
	r->v = mem_realloc_array(r->v, r->n + 1, sizeof(*r->v));
	r->v[r->n++] = (struct alarm_rule){.text = mem_strdup(text)};
}

void alarm_rules_except(struct alarm_rules *r, const char *text)
{
	assert(r->n);
	strvec_add(&r->v[r->n - 1].except, text);
}

void alarm_rules_copy(struct alarm_rules *to, const struct alarm_rules *from)
{
	assert(!to->n);
	for (size_t i = 0; i < from->n; i++) {
		alarm_rules_add(to, from->v[i].text);
		for (size_t k = 0; k < from->v[i].except.n; k++)
			alarm_rules_except(to, from->v[i].except.v[k]);
	}
}

static bool excuses(const struct alarm_rule *rule, const char *line)
{
	for (size_t i = 0; i < rule->except.n; i++) {
		const char *text = rule->except.v[i];
		CLEANUP(buf_done) struct buf escaped = {0};

		stream_escape_tail(&escaped, text, strlen(text), strlen(text));
		buf_append(&escaped, "", 1);
		if (strstr(line, (const char *)buf_data(&escaped)))
			return true;
	}
	return false;
}

bool alarm_rules_hold(const struct alarm_rules *r, const char *text,
		      const char *line)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->v[i].text, text) == 0 && !excuses(&r->v[i], line))
			return true;
	return false;
}
