/* SPDX-License-Identifier: MIT */
#include "tests/unit/runner/lib_say.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/event_schema.h"
#include "runner/report.h"

void page_init(struct page *p)
{
	*p = (struct page){0};
	p->out = open_memstream(&p->text, &p->n);
	assert_non_null(p->out);
}

void page_done(struct page *p)
{
	report_free(p->sink);
	fclose(p->out);
	free(p->text);
}

void page_say(struct page *p, const char *json)
{
	json_error_t je;
	struct err err;
	json_t *ev = json_loads(json, JSON_ALLOW_NUL, &je);

	if (!ev)
		fail_msg("%s: %s", json, je.text);
	if (event_check(ev, &err) < 0)
		fail_msg("%s: %s", json, err.text);
	p->sink->event(p->sink, ev);
	json_decref(ev);
}

void page_shows(struct page *p, const char *want)
{
	fflush(p->out);
	if (!strstr(p->text, want))
		fail_msg("%s\ndoes not contain '%s'", p->text, want);
}

void page_hides(struct page *p, const char *text)
{
	fflush(p->out);
	if (strstr(p->text, text))
		fail_msg("%s\ncontains '%s'", p->text, text);
}
