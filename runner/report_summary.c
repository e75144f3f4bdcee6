/* SPDX-License-Identifier: MIT */
#include "runner/report_summary.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/lineup.h"

#define RECAP_TESTS 12 /* shorter reports need none */

static const char *report_summary_get(const json_t *ev, const char *key)
{
	const char *s = json_string_value(json_object_get(ev, key));

	return s ? s : "?";
}

static unsigned report_summary_count(const json_t *ev, const char *key)
{
	return (unsigned)json_integer_value(json_object_get(ev, key));
}

void report_summary_init(struct report_summary *s)
{
	*s = (struct report_summary){.tally = json_object()};
}

void report_summary_done(struct report_summary *s)
{
	strvec_done(&s->failures);
	strvec_done(&s->flaky);
	free(s->attempt);
	json_decref(s->tally);
	*s = (struct report_summary){0};
}

/* --- what happened --------------------------------------------------------*/

static void bump(json_t *pair, size_t at)
{
	json_int_t n = json_integer_value(json_array_get(pair, at));

	json_array_set_new(pair, at, json_integer(n + 1));
}

void report_summary_attempt(struct report_summary *s, const char *line)
{
	if (!s->attempt)
		s->attempt = mem_strdup(line);
}

void report_summary_test(struct report_summary *s, const json_t *ev)
{
	const char *file = report_summary_get(ev, "file");
	const char *status = report_summary_get(ev, "status");
	CLEANUP(free_ptr)
	char *key = mem_printf("%.*s: %s", (int)lineup_name_len(file), file,
			       report_summary_get(ev, "test"));
	json_t *pair = json_object_get(s->tally, key);

	s->n_tests++;
	if (!strcmp(status, "passed") &&
	    report_summary_count(ev, "attempts") > 1) {
		strvec_addf(&s->flaky, "%s: %s", file,
			    report_summary_get(ev, "test"));
		if (s->attempt)
			strvec_addf(&s->flaky, "  %s", s->attempt);
	}
	free(TAKE(s->attempt));
	if (!strcmp(status, "skipped"))
		return;
	if (!pair) {
		pair = json_pack("[i, i]", 0, 0);
		json_object_set_new(s->tally, key, pair);
	}
	if (!strcmp(status, "failed"))
		bump(pair, 0);
	bump(pair, 1);
}

void report_summary_failure(struct report_summary *s, const char *at,
			    const char *name)
{
	strvec_addf(&s->failures, "%s  %s", at, name);
}

/* --- the text -------------------------------------------------------------*/

static void put_list(const struct printer *p, const char *title,
		     const struct strvec *list)
{
	if (!list->n)
		return;
	fputs("\n", p->out);
	print_text(p, PRINT_TITLE, title);
	fputs("\n", p->out);
	for (size_t i = 0; i < list->n; i++) {
		fputs("  ", p->out);
		print_text(p, PRINT_PLAIN, list->v[i]);
		fputs("\n", p->out);
	}
}

/* How often each of those failed that ran more than once. */
static void put_repeated(const struct report_summary *s,
			 const struct printer *p)
{
	struct strvec list = {0};

	for (void *at = json_object_iter(s->tally); at;
	     at = json_object_iter_next(s->tally, at)) {
		json_t *pair = json_object_iter_value(at);
		json_int_t failed = json_integer_value(json_array_get(pair, 0));
		json_int_t ended = json_integer_value(json_array_get(pair, 1));

		if (failed && ended > 1)
			strvec_addf(&list, "%s  failed %lld times of %lld",
				    json_object_iter_key(at), (long long)failed,
				    (long long)ended);
	}
	put_list(p, "repeated:", &list);
	strvec_done(&list);
}

static void report_summary_put_counts(const struct printer *p, const json_t *ev)
{
	unsigned failed = report_summary_count(ev, "failed") +
			  report_summary_count(ev, "errors");
	unsigned left_out = report_summary_count(ev, "left_out");
	struct buf line = {0};

	buf_printf(&line, "%u passed, %u failed",
		   report_summary_count(ev, "passed"), failed);
	if (report_summary_count(ev, "skipped"))
		buf_printf(&line, ", %u skipped",
			   report_summary_count(ev, "skipped"));
	if (left_out)
		buf_printf(&line, ", %u slow left out (--include-slow)",
			   left_out);
	buf_append(&line, "", 1);
	print_text(p, failed ? PRINT_BAD : PRINT_GOOD, (char *)buf_data(&line));
	buf_done(&line);
	fputs(" (", p->out);
	print_duration(p, PRINT_PLAIN,
		       json_number_value(json_object_get(ev, "duration")));
	fputs(")\n", p->out);
}

void report_summary_write(const struct report_summary *s,
			  const struct printer *p, const json_t *ev,
			  bool is_below)
{
	const char *why = json_string_value(json_object_get(ev, "interrupted"));

	if (s->n_tests > RECAP_TESTS)
		put_list(p, "failed:", &s->failures);
	put_list(p, "flaky, passed when tried again:", &s->flaky);
	put_repeated(s, p);
	if (is_below)
		fputs("\n", p->out);
	if (why) {
		CLEANUP(free_ptr)
		char *note =
		    mem_printf("interrupted by %s, not all was run", why);
		print_text(p, PRINT_WARN, note);
		fputs("\n", p->out);
	}
	report_summary_put_counts(p, ev);
}
