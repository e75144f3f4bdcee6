/* SPDX-License-Identifier: MIT */
/* Owns the grammar of format strings. Each letter is an entry of a table. */
#include "runner/pack.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "agent-proto/mem.h"

#define NATIVE_ALIGN 8
#define FIXED_MAX    ((size_t)1 << 30)

enum digits { DIGITS_NONE, DIGITS_MAY, DIGITS_MUST };

struct letter {
	char c;
	enum pack_kind kind;
	size_t size; /* without digits */
	enum digits digits;
};

static const struct letter letters[] = {
    {'b', PACK_SIGNED, 1, DIGITS_NONE},	  {'B', PACK_UNSIGNED, 1, DIGITS_NONE},
    {'h', PACK_SIGNED, 2, DIGITS_NONE},	  {'H', PACK_UNSIGNED, 2, DIGITS_NONE},
    {'i', PACK_SIGNED, 4, DIGITS_MAY},	  {'I', PACK_UNSIGNED, 4, DIGITS_MAY},
    {'l', PACK_SIGNED, 8, DIGITS_NONE},	  {'L', PACK_UNSIGNED, 8, DIGITS_NONE},
    {'j', PACK_SIGNED, 8, DIGITS_NONE},	  {'J', PACK_UNSIGNED, 8, DIGITS_NONE},
    {'T', PACK_UNSIGNED, 8, DIGITS_NONE}, {'f', PACK_FLOAT, 4, DIGITS_NONE},
    {'d', PACK_DOUBLE, 8, DIGITS_NONE},	  {'n', PACK_DOUBLE, 8, DIGITS_NONE},
    {'s', PACK_PREFIX, 8, DIGITS_MAY},	  {'z', PACK_ZERO, 0, DIGITS_NONE},
    {'c', PACK_FIXED, 0, DIGITS_MUST},	  {'x', PACK_PAD, 1, DIGITS_NONE},
};

void pack_format_init(struct pack_format *f, const char *text, size_t n)
{
	*f = (struct pack_format){.text = text, .n = n, .max_align = 1};
}

static const struct letter *find_letter(char c)
{
	for (size_t i = 0; i < ARRAY_LEN(letters); i++)
		if (letters[i].c == c)
			return &letters[i];
	return NULL;
}

/* The number at the position, or otherwise when there is none. */
static size_t read_digits(struct pack_format *f, size_t otherwise)
{
	size_t v = 0;

	if (f->at >= f->n || !isdigit((unsigned char)f->text[f->at]))
		return otherwise;
	for (; f->at < f->n && isdigit((unsigned char)f->text[f->at]); f->at++)
		if (v <= FIXED_MAX)
			v = v * 10 + (size_t)(f->text[f->at] - '0');
	return v;
}

static int pack_bad(struct err *err, const struct pack_format *f, size_t at,
		    const char *what)
{
	char c = f->text[at];

	if (isprint((unsigned char)c))
		return err_set(err, -EINVAL, "format option '%c' at %zu: %s", c,
			       at + 1, what);
	return err_set(err, -EINVAL, "format byte 0x%02x at %zu: %s",
		       (unsigned char)c, at + 1, what);
}

static bool is_integer(enum pack_kind k)
{
	return k == PACK_SIGNED || k == PACK_UNSIGNED || k == PACK_PREFIX;
}

/* The option at the position, without padding. */
static int pack_read_option(struct pack_format *f, struct pack_item *ret,
			    struct err *err)
{
	size_t at = f->at++;
	const struct letter *l = find_letter(f->text[at]);

	if (!l)
		return pack_bad(err, f, at, "there is no such option");
	ret->kind = l->kind;
	ret->size = l->size;
	ret->padding = 0;
	if (l->digits != DIGITS_NONE) {
		size_t size = read_digits(f, SIZE_MAX);

		if (size == SIZE_MAX && l->digits == DIGITS_MUST)
			return pack_bad(err, f, at, "needs a size");
		if (size != SIZE_MAX)
			ret->size = size;
	}
	if (is_integer(l->kind) && (!ret->size || ret->size > PACK_INT_MAX))
		return pack_bad(err, f, at, "an integer has 1 to 16 bytes");
	if (ret->size > FIXED_MAX)
		return pack_bad(err, f, at, "the size is too large");
	return 1;
}

/* <, >, =, ! and spaces; whether that is what was there. */
static int read_setting(struct pack_format *f, struct err *err)
{
	size_t at = f->at;

	switch (f->text[at]) {
	case '<':
	case '=': /* the native order of what this runs on */
		f->is_big_endian = false;
		break;
	case '>':
		f->is_big_endian = true;
		break;
	case ' ':
		break;
	case '!':
		f->at++;
		f->max_align = read_digits(f, NATIVE_ALIGN);
		if (!f->max_align || f->max_align > PACK_INT_MAX)
			return pack_bad(err, f, at, "an alignment is 1 to 16");
		return 1;
	default:
		return 0;
	}
	f->at++;
	return 1;
}

static int set_padding(const struct pack_format *f, size_t total, size_t at,
		       struct pack_item *item, struct err *err)
{
	size_t align = item->size;

	if (item->kind == PACK_FIXED || item->kind == PACK_ZERO ||
	    item->kind == PACK_PAD)
		return 0;
	if (align > f->max_align)
		align = f->max_align;
	if (align <= 1)
		return 0;
	if (align & (align - 1))
		return pack_bad(err, f, at, "an alignment is a power of 2");
	item->padding = (align - (total & (align - 1))) & (align - 1);
	return 0;
}

int pack_next(struct pack_format *f, size_t total, struct pack_item *ret,
	      struct err *err)
{
	int rc = 1;

	while (f->at < f->n && (rc = read_setting(f, err)) > 0)
		;
	if (rc < 0)
		return rc;
	if (f->at >= f->n)
		return 0;
	size_t at = f->at;
	bool is_align = f->text[at] == 'X';
	if (is_align)
		f->at++;
	if (is_align && f->at >= f->n)
		return pack_bad(err, f, at, "needs an option to align to");
	rc = pack_read_option(f, ret, err);
	if (rc < 0)
		return rc;
	if (is_align && (ret->kind == PACK_FIXED || ret->kind == PACK_ZERO ||
			 ret->kind == PACK_PAD))
		return pack_bad(err, f, at, "cannot align to that option");
	rc = set_padding(f, total, at, ret, err);
	if (rc < 0)
		return rc;
	if (is_align) {
		ret->kind = PACK_ALIGN;
		ret->size = 0;
	}
	return 1;
}
