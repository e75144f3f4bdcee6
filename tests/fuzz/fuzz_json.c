/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as JSON: runner/json_read.h takes what jansson takes, and refuses
 * what jansson refuses for another reason than its own limits.
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <jansson.h>

#include "runner/json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What jansson knows no value for. */
static bool is_limit(const json_error_t *why)
{
	switch (json_error_code(why)) {
	case json_error_numeric_overflow:
	case json_error_null_byte_in_key:
	case json_error_stack_overflow:
		return true;
	default:
		return false;
	}
}

/* Whether it is read to its end, with as many ends as beginnings. */
static bool is_read(const uint8_t *p, size_t n)
{
	struct json_reader r;
	struct buf string = {0};
	struct err err = {0};
	enum json_token token;
	size_t depth = 0, tokens = 0;

	json_read_init(&r, (const char *)p, n, &string);
	while ((token = json_read_next(&r)) > JSON_TOKEN_ERROR) {
		assert(++tokens <= n);
		depth +=
		    token == JSON_TOKEN_ARRAY || token == JSON_TOKEN_OBJECT;
		depth -= token == JSON_TOKEN_ARRAY_END ||
			 token == JSON_TOKEN_OBJECT_END;
	}
	assert(json_read_next(&r) == token);
	if (token == JSON_TOKEN_ERROR)
		json_read_error(&r, &err);
	else
		assert(depth == 0 && r.at == n);
	assert((token == JSON_TOKEN_ERROR) == (err.code < 0));
	buf_done(&string);
	return token == JSON_TOKEN_END;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	json_error_t why = {0};
	json_t *v = json_loadb((const char *)p, n,
			       JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
	bool is_taken = is_read(p, n);

	/* To jansson 2.14 a NUL byte behind the value is the end. */
	if (v && !memchr(p, 0, n))
		assert(is_taken);
	if (!v && !is_limit(&why))
		assert(!is_taken);
	json_decref(v);
	return 0;
}
