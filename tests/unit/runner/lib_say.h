/* SPDX-License-Identifier: MIT */
/* Events as text, told to a reporter that writes into memory. */
#ifndef TESTS_RUNNER_LIB_SAY_H
#define TESTS_RUNNER_LIB_SAY_H

#include <stdio.h>

#include "runner/event.h"

struct page {
	FILE *out;
	char *text; /* what was written; valid after page_says() */
	size_t n;
	struct event_sink *sink;
};

void page_init(struct page *p);
void page_done(struct page *p);
/* Fails the test where that is no event of the schema. */
void page_say(struct page *p, const char *json);
/* Fails the test unless the text has that, or has it not. */
void page_shows(struct page *p, const char *want);
void page_hides(struct page *p, const char *text);

#define SAY_START "{\"event\":\"run_start\",\"version\":1,\"files\":1}"
#define SAY_END                                                                \
	"{\"event\":\"run_end\",\"passed\":1,\"failed\":1,\"skipped\":0,"      \
	"\"errors\":0,\"duration\":1.5}"
#define SAY_TEST(name, status, more)                                           \
	"{\"event\":\"test_end\",\"file\":\"x.test.lua\",\"test\":\"" name     \
	"\",\"line\":7,\"duration\":0.25,\"status\":\"" status "\"" more "}"
#define SAY_ATTEMPT(name, n, message)                                          \
	"{\"event\":\"test_attempt\",\"file\":\"x.test.lua\",\"test\":\"" name \
	"\",\"attempt\":" #n ",\"message\":\"" message "\"}"
#define SAY_BEGIN(name)                                                        \
	"{\"event\":\"test_start\",\"file\":\"x.test.lua\",\"test\":\"" name   \
	"\"}"
#define SAY_LOG(text)                                                          \
	"{\"event\":\"log\",\"file\":\"x.test.lua\",\"test\":\"a\","           \
	"\"text\":\"" text "\"}"

#endif
