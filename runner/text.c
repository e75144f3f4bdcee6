/* SPDX-License-Identifier: MIT */
#include "runner/text.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"

#define TAB_WIDTH   8
#define NEAREST_MAX 32 /* longer words are not compared */
#define SHORT_WORD  4  /* letters; one that differs makes another word */

/* The length that a first byte announces, and its bits; 0 for none. */
static size_t utf8_start(uint8_t c, uint32_t *ret_bits)
{
	if (c < 0x80) {
		*ret_bits = c;
		return 1;
	}
	if (c >= 0xc2 && c <= 0xdf) {
		*ret_bits = c & 0x1f;
		return 2;
	}
	if ((c & 0xf0) == 0xe0) {
		*ret_bits = c & 0x0f;
		return 3;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		*ret_bits = c & 0x07;
		return 4;
	}
	return 0;
}

/* Unicode 15, table 3-7: no overlong form, no surrogate, at most 10FFFF. */
size_t text_utf8(const char *s, size_t n, uint32_t *ret_code)
{
	uint32_t code;
	size_t len = utf8_start((uint8_t)s[0], &code);

	if (!len || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		uint8_t c = (uint8_t)s[i];
		if ((c & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (c & 0x3f);
	}
	if (len == 3 && (code < 0x800 || (code >= 0xd800 && code <= 0xdfff)))
		return 0;
	if (len == 4 && (code < 0x10000 || code > 0x10ffff))
		return 0;
	if (ret_code)
		*ret_code = code;
	return len;
}

/* Line and paragraph separators, and what turns the direction of text. */
static bool is_unfit(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e ||
	       code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

/* Length of a "set colour" sequence (ECMA-48 8.3.117 SGR) at s, or 0. */
static size_t colour_sequence(const char *s, size_t n)
{
	size_t i = 2;

	if (n < 3 || s[0] != '\033' || s[1] != '[')
		return 0;
	while (i < n && ((s[i] >= '0' && s[i] <= '9') || s[i] == ';'))
		i++;
	return i < n && s[i] == 'm' ? i + 1 : 0;
}

void text_escape(struct buf *out, const char *s, size_t n)
{
	size_t column = 0;

	for (size_t i = 0, len; i < n; i += len) {
		uint32_t code = 0;

		len = colour_sequence(s + i, n - i);
		if (len)
			continue;
		len = text_utf8(s + i, n - i, &code);
		if (len && code == '\t') {
			size_t pad = TAB_WIDTH - column % TAB_WIDTH;
			buf_printf(out, "%*s", (int)pad, "");
			column += pad;
		} else if (len && !is_unfit(code)) {
			buf_append(out, s + i, len);
			column++;
		} else if (len > 1) {
			buf_printf(out, "\\u{%x}", (unsigned)code);
			column += 6;
		} else {
			buf_printf(out, "\\x%02x", (uint8_t)s[i]);
			column += 4;
			len = 1;
		}
	}
}

char *text_c_string(const char *s, size_t n)
{
	CLEANUP(buf_done) struct buf b = {0};

	for (size_t i = 0; i < n; i++) {
		if (s[i])
			buf_append(&b, s + i, 1);
		else
			buf_printf(&b, "\\x00");
	}
	return mem_strndup(b.len ? (char *)buf_data(&b) : "", b.len);
}

/* Edits that turn a into b: insert, delete, replace, swap neighbours. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t d[NEAREST_MAX + 1][NEAREST_MAX + 1];
	size_t n = strlen(a);
	size_t m = strlen(b);

	for (size_t i = 0; i <= n; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[n][m];
}

const char *text_nearest(const char *s, const char *const *candidates)
{
	const char *best = NULL;
	size_t best_edits = 4;

	if (strlen(s) > NEAREST_MAX)
		return NULL;
	for (; *candidates; candidates++) {
		if (strlen(*candidates) > NEAREST_MAX)
			continue;
		size_t edits = edit_distance(s, *candidates);
		if (edits < best_edits && 2 * edits < strlen(*candidates) + 1) {
			best = *candidates;
			best_edits = edits;
		}
	}
	return best;
}

/* Lower case, without underscores; as much as fits. */
static void fold(const char *s, char out[NEAREST_MAX + 1])
{
	size_t n = 0;

	for (; *s && n < NEAREST_MAX; s++)
		if (*s != '_')
			out[n++] = (char)tolower((unsigned char)*s);
	out[n] = '\0';
}

/* Of two words of one length that are one edit apart: whether two neighbours
 * changed places. */
static bool is_swapped(const char *a, const char *b)
{
	size_t i = 0;

	while (a[i] == b[i])
		i++;
	return a[i] == b[i + 1] && a[i + 1] == b[i];
}

const char *text_misspelt(const char *s, const char *const *candidates)
{
	char a[NEAREST_MAX + 1] = "", b[NEAREST_MAX + 1] = "";

	fold(s, a);
	if (strlen(s) > NEAREST_MAX)
		return NULL;
	for (; *candidates; candidates++) {
		if (strlen(*candidates) > NEAREST_MAX)
			continue;
		fold(*candidates, b);
		size_t n = strlen(b), edits = edit_distance(a, b);

		if (!edits)
			return *candidates;
		if (edits == 1 &&
		    (n > SHORT_WORD || strlen(a) != n || is_swapped(a, b)))
			return *candidates;
	}
	return NULL;
}
