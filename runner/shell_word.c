/* SPDX-License-Identifier: MIT */
#include "runner/shell_word.h"

#include <string.h>

/* A word of these alone means itself, wherever it stands in a command. */
static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789_./:@%+,-";

void shell_word_quote(struct buf *out, const char *s)
{
	buf_append(out, "'", 1);
	for (; *s; s++) {
		if (*s == '\'')
			buf_append(out, "'\\''", 4);
		else
			buf_append(out, s, 1);
	}
	buf_append(out, "'", 1);
}

void shell_word_append(struct buf *out, const char *s)
{
	if (*s && !s[strspn(s, plain)])
		buf_append(out, s, strlen(s));
	else
		shell_word_quote(out, s);
}
