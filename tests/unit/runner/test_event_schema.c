/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "runner/event.h"
#include "runner/event_schema.h"

#define PAGE "docs/events.md"

static char *read_page(void)
{
	FILE *f = fopen(PAGE, "re");
	struct buf b = {0};
	char part[4096];
	size_t n;

	assert_non_null(f);
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		buf_append(&b, part, n);
	fclose(f);
	buf_append(&b, "", 1);
	return (char *)b.mem;
}

static char *row_of(const struct event_field *f)
{
	const char *type = event_type_name(f->type);
	const char *always = f->is_required ? "yes" : "no";

	return f->of ? mem_printf("\n| %s | %s | %s (%s) | %s | ", f->owner,
				  f->name, type, f->of, always)
		     : mem_printf("\n| %s | %s | %s | %s | ", f->owner, f->name,
				  type, always);
}

static void the_page_has_every_member(void **state)
{
	char *page = read_page();

	(void)state;
	for (const struct event_field *f = event_fields; f->owner; f++) {
		char *row = row_of(f);

		if (!strstr(page, row))
			fail_msg("%s lacks '%s'", PAGE, row + 1);
		free(row);
	}
	free(page);
}

static void the_page_has_no_other_member(void **state)
{
	char *page = read_page();
	char *at = strstr(page, "| of | member |");
	size_t rows = 0, known = 0;

	(void)state;
	assert_non_null(at);
	while ((at = strstr(at + 1, "\n| ")))
		rows++;
	for (const struct event_field *f = event_fields; f->owner; f++)
		known++;
	assert_int_equal(rows, known);
	free(page);
}

static void the_page_names_the_version(void **state)
{
	char *page = read_page();
	char *text = mem_printf("This is version %d.", EVENT_VERSION);

	(void)state;
	assert_non_null(strstr(page, text));
	free(text);
	free(page);
}

static int check(const char *json, struct err *err)
{
	json_t *ev = json_loads(json, 0, NULL);
	int r;

	assert_non_null(ev);
	r = event_check(ev, err);
	json_decref(ev);
	return r;
}

static void what_fits_passes(void **state)
{
	static const char *const good[] = {
	    "{\"event\":\"run_start\",\"version\":1}",
	    "{\"event\":\"from_the_future\",\"file\":7}",
	    "{\"event\":\"test_end\",\"file\":\"f\",\"test\":\"t\","
	    "\"status\":\"failed\",\"message\":\"m\",\"more\":[],"
	    "\"location\":{\"file\":\"f\",\"line\":1},"
	    "\"console\":[{\"vm\":\"a\",\"text\":\"\"}],"
	    "\"calls\":[{\"method\":\"vm:run\"}]}",
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(check(good[i], &err), 0);
}

static void what_does_not_fit_is_named(void **state)
{
	static const struct {
		const char *json;
		const char *text;
	} bad[] = {
	    {"{\"event\":\"log\",\"file\":\"f\"}", "no \"text\" in log"},
	    {"{\"event\":\"log\",\"file\":1,\"text\":\"\"}",
	     "\"file\" of log is no string"},
	    {"{\"event\":\"log\",\"time\":-1,\"file\":\"f\",\"text\":\"\"}",
	     "\"time\" of * is no seconds"},
	    {"{\"event\":\"test_end\",\"file\":\"f\",\"test\":\"t\","
	     "\"status\":\"lost\"}",
	     "\"status\" of test_end is no status"},
	    {"{\"event\":\"artifacts\",\"file\":\"f\",\"paths\":[1]}",
	     "\"paths\" of artifacts is no strings"},
	    {"{\"event\":\"plan\",\"file\":\"f\",\"tests\":[1]}",
	     "\"tests\" of plan holds what is no planned"},
	    {"{\"event\":\"plan\",\"file\":\"f\",\"tests\":[{}]}",
	     "no \"name\" in planned"},
	    {"{\"event\":\"test_end\",\"file\":\"f\",\"test\":\"t\","
	     "\"status\":\"failed\",\"location\":{\"file\":\"f\"}}",
	     "no \"line\" in location"},
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(check(bad[i].json, &err), -EBADMSG);
		assert_string_equal(err.text, bad[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_page_has_every_member),
	    cmocka_unit_test(the_page_has_no_other_member),
	    cmocka_unit_test(the_page_names_the_version),
	    cmocka_unit_test(what_fits_passes),
	    cmocka_unit_test(what_does_not_fit_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
