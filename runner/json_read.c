/* SPDX-License-Identifier: MIT */
#include "runner/json_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/text.h"

enum state {
	WANT_VALUE,
	WANT_FIRST_VALUE, /* or the array's end */
	WANT_FIRST_KEY,	  /* or the object's end */
	WANT_MORE,	  /* a comma, the end of what is open, or of the text */
};

void json_read_init(struct json_reader *r, const char *text, size_t n,
		    struct buf *string)
{
	r->text = text;
	r->n = n;
	r->at = 0;
	r->string = string;
	r->problem = NULL;
	r->state = WANT_VALUE;
	r->depth = 0;
}

static enum json_token json_read_fail(struct json_reader *r,
				      const char *problem)
{
	r->problem = problem;
	return JSON_TOKEN_ERROR;
}

/* The next byte, or -1 at the end. */
static int peek(const struct json_reader *r)
{
	return r->at < r->n ? (unsigned char)r->text[r->at] : -1;
}

/* Whether the next byte is c, which is then read. */
static bool json_read_take(struct json_reader *r, char c)
{
	if (peek(r) != (unsigned char)c)
		return false;
	r->at++;
	return true;
}

static bool json_read_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct json_reader *r)
{
	while (r->at < r->n && json_read_is_space((char)r->text[r->at]))
		r->at++;
}

/* --- strings --------------------------------------------------------------*/

/* Four hexadecimal digits; negative: they are not. */
static int32_t read_hex(struct json_reader *r)
{
	int32_t code = 0;

	for (int i = 0; i < 4; i++) {
		int c = peek(r);

		if (c >= '0' && c <= '9')
			code = code * 16 + c - '0';
		else if (c >= 'a' && c <= 'f')
			code = code * 16 + c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			code = code * 16 + c - 'A' + 10;
		else
			return -1;
		r->at++;
	}
	return code;
}

static void append_utf8(struct buf *out, uint32_t code)
{
	uint8_t bytes[4];
	size_t n = 0;

	if (code < 0x80) {
		bytes[n++] = (uint8_t)code;
	} else if (code < 0x800) {
		bytes[n++] = (uint8_t)(0xc0 | code >> 6);
	} else if (code < 0x10000) {
		bytes[n++] = (uint8_t)(0xe0 | code >> 12);
		bytes[n++] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
	} else {
		bytes[n++] = (uint8_t)(0xf0 | code >> 18);
		bytes[n++] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
		bytes[n++] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
	}
	if (code >= 0x80)
		bytes[n++] = (uint8_t)(0x80 | (code & 0x3f));
	buf_append(out, bytes, n);
}

/* Behind "\u". False, with the problem, for half a character. */
static bool read_unicode(struct json_reader *r)
{
	size_t from = r->at;
	int32_t low = 0, code = read_hex(r);

	if (code < 0) {
		json_read_fail(r, "\\u needs four hexadecimal digits");
		return false;
	}
	if (code >= 0xd800 && code <= 0xdbff) {
		if (json_read_take(r, '\\') && json_read_take(r, 'u'))
			low = read_hex(r);
		if (low >= 0xdc00 && low <= 0xdfff)
			code = 0x10000 + ((code - 0xd800) << 10) + low - 0xdc00;
	}
	if (code >= 0xd800 && code <= 0xdfff) {
		r->at = from;
		json_read_fail(r, "\\u names half of a character");
		return false;
	}
	append_utf8(r->string, (uint32_t)code);
	return true;
}

/* Behind a backslash. */
static bool read_escape(struct json_reader *r)
{
	static const char names[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	int c = peek(r);
	const char *name = c > 0 ? strchr(names, c) : NULL;

	if (json_read_take(r, 'u'))
		return read_unicode(r);
	if (!name) {
		json_read_fail(r, "there is no such escape");
		return false;
	}
	r->at++;
	buf_append(r->string, values + (name - names), 1);
	return true;
}

/* Behind the quote that opens it. */
static bool json_read_read_string(struct json_reader *r)
{
	buf_reset(r->string);
	for (;;) {
		int c = peek(r);
		size_t len;

		if (c < 0) {
			json_read_fail(r, "the text ends in a string");
			return false;
		}
		if (json_read_take(r, '"'))
			return true;
		if (c < 0x20) {
			json_read_fail(r, "a string holds a control character");
			return false;
		}
		if (json_read_take(r, '\\')) {
			if (!read_escape(r))
				return false;
			continue;
		}
		len = text_utf8(r->text + r->at, r->n - r->at, NULL);
		if (!len) {
			json_read_fail(r, "a string is not UTF-8");
			return false;
		}
		buf_append(r->string, r->text + r->at, len);
		r->at += len;
	}
}

/* --- numbers --------------------------------------------------------------*/

/* The length of the digits at offset at. */
static size_t digits_at(const struct json_reader *r, size_t at)
{
	size_t n = 0;

	while (at + n < r->n && r->text[at + n] >= '0' &&
	       r->text[at + n] <= '9')
		n++;
	return n;
}

/* The length of the number here, 0: it is none. */
static size_t number_length(const struct json_reader *r, bool *ret_is_integer)
{
	size_t at = r->at + (r->text[r->at] == '-');
	size_t whole = digits_at(r, at), more;

	*ret_is_integer = true;
	if (!whole || (whole > 1 && r->text[at] == '0'))
		return 0;
	at += whole;
	if (at < r->n && r->text[at] == '.') {
		more = digits_at(r, at + 1);
		if (!more)
			return 0;
		at += 1 + more;
		*ret_is_integer = false;
	}
	if (at < r->n && (r->text[at] == 'e' || r->text[at] == 'E')) {
		at++;
		at += at < r->n && (r->text[at] == '+' || r->text[at] == '-');
		more = digits_at(r, at);
		if (!more)
			return 0;
		at += more;
		*ret_is_integer = false;
	}
	return at - r->at;
}

static enum json_token json_read_read_number(struct json_reader *r)
{
	bool is_integer;
	size_t n = number_length(r, &is_integer);

	if (!n)
		return json_read_fail(r, "this is no number of JSON");
	CLEANUP(free_ptr) char *text = mem_strndup(r->text + r->at, n);
	r->at += n;
	errno = 0;
	if (is_integer) {
		r->integer = strtoll(text, NULL, 10);
		if (!errno)
			return JSON_TOKEN_INTEGER;
	}
	errno = 0;
	if (is_integer && *text != '-') {
		r->large = strtoull(text, NULL, 10);
		if (!errno)
			return JSON_TOKEN_UNSIGNED;
	}
	r->real = strtod(text, NULL);
	return JSON_TOKEN_REAL;
}

/* --- values ---------------------------------------------------------------*/

static enum json_token open_level(struct json_reader *r, bool is_object)
{
	if (r->depth == JSON_DEPTH_MAX)
		return json_read_fail(r,
				      "arrays and objects are nested too deep");
	r->at++;
	r->is_object[r->depth++] = is_object;
	r->state = is_object ? WANT_FIRST_KEY : WANT_FIRST_VALUE;
	return is_object ? JSON_TOKEN_OBJECT : JSON_TOKEN_ARRAY;
}

static enum json_token close_level(struct json_reader *r)
{
	bool is_object = r->is_object[--r->depth];

	r->state = WANT_MORE;
	return is_object ? JSON_TOKEN_OBJECT_END : JSON_TOKEN_ARRAY_END;
}

static enum json_token read_word(struct json_reader *r)
{
	static const struct {
		const char *word;
		enum json_token token;
	} words[] = {
	    {"null", JSON_TOKEN_NULL},
	    {"false", JSON_TOKEN_FALSE},
	    {"true", JSON_TOKEN_TRUE},
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i].word);

		if (r->n - r->at >= n &&
		    !memcmp(r->text + r->at, words[i].word, n)) {
			r->at += n;
			return words[i].token;
		}
	}
	return json_read_fail(r, r->at == r->n
				     ? "the text ends where a value must be"
				     : "a value must be here");
}

static enum json_token read_value(struct json_reader *r)
{
	int c = peek(r);

	r->state = WANT_MORE;
	if (c == '{' || c == '[')
		return open_level(r, c == '{');
	if (c == '-' || (c >= '0' && c <= '9'))
		return json_read_read_number(r);
	if (json_read_take(r, '"'))
		return json_read_read_string(r) ? JSON_TOKEN_STRING
						: JSON_TOKEN_ERROR;
	return read_word(r);
}

static enum json_token json_read_read_key(struct json_reader *r)
{
	if (!json_read_take(r, '"'))
		return json_read_fail(r, "a key in quotes must be here");
	if (!json_read_read_string(r))
		return JSON_TOKEN_ERROR;
	skip_space(r);
	if (!json_read_take(r, ':'))
		return json_read_fail(r, "a ':' must be here");
	r->state = WANT_VALUE;
	return JSON_TOKEN_KEY;
}

/* Behind a value. */
static enum json_token read_more(struct json_reader *r)
{
	bool is_object = r->depth && r->is_object[r->depth - 1];

	if (!r->depth)
		return r->at == r->n ? JSON_TOKEN_END
				     : json_read_fail(
					   r, "there is more behind the value");
	if (json_read_take(r, is_object ? '}' : ']'))
		return close_level(r);
	if (!json_read_take(r, ','))
		return json_read_fail(r, is_object
					     ? "a ',' or '}' must be here"
					     : "a ',' or ']' must be here");
	skip_space(r);
	return is_object ? json_read_read_key(r) : read_value(r);
}

enum json_token json_read_next(struct json_reader *r)
{
	if (r->problem)
		return JSON_TOKEN_ERROR;
	skip_space(r);
	switch ((enum state)r->state) {
	case WANT_FIRST_VALUE:
		if (json_read_take(r, ']'))
			return close_level(r);
		return read_value(r);
	case WANT_FIRST_KEY:
		if (json_read_take(r, '}'))
			return close_level(r);
		return json_read_read_key(r);
	case WANT_MORE:
		return read_more(r);
	case WANT_VALUE:
		break;
	}
	return read_value(r);
}

void json_read_error(const struct json_reader *r, struct err *err)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < r->at; i++) {
		bool is_inside = ((unsigned char)r->text[i] & 0xc0) == 0x80;

		column += !is_inside;
		if (r->text[i] == '\n') {
			line++;
			column = 1;
		}
	}
	err_set(err, -EBADMSG, "line %zu, column %zu: %s", line, column,
		r->problem ? r->problem : "no problem");
}
