/* SPDX-License-Identifier: MIT */
/* Any bytes are a tree, or refused: in the same way whatever the pieces in
 * which they come, without a name that leads elsewhere, and within the limits.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was seen, in a form that pieces do not change. */
struct seen {
	uint64_t sum;
	uint64_t data;
	int code;
	bool has_ended;
};

static void add(struct seen *s, uint64_t n)
{
	s->sum = (s->sum ^ n) * UINT64_C(0x100000001b3);
}

static void check_name(const char *name, bool is_first)
{
	if (strlen(name) > TREE_NAME_MAX || strchr(name, '/') ||
	    !strcmp(name, ".") || !strcmp(name, "..") || !*name != is_first)
		abort();
}

static void look_at_entry(struct seen *s, const struct tree_entry *e)
{
	if (e->kind < TREE_DIR || e->kind > TREE_UP || e->mode > TREE_PERM_MAX)
		abort();
	check_name(e->name, e->kind == TREE_UP || !s->sum);
	if (strlen(e->target) > TREE_TARGET_MAX ||
	    !*e->target != (e->kind != TREE_LINK))
		abort();
	add(s, e->kind);
	add(s, e->mode);
	for (const char *c = e->name; *c; c++)
		add(s, (uint8_t)*c);
	for (const char *c = e->target; *c; c++)
		add(s, (uint8_t)*c);
}

static void look_at(struct seen *s, const struct tree_token *token, size_t used)
{
	if (token->event == TREE_ENTRY)
		look_at_entry(s, &token->entry);
	else if (token->event == TREE_DATA)
		s->data += used;
	else if (token->event == TREE_RECORD)
		add(s, token->hole + token->is_last);
}

static struct seen read_in_pieces(const uint8_t *p, size_t size, size_t piece)
{
	struct tree_parser t = {0};
	struct seen s = {0};

	for (size_t at = 0; at < size;) {
		size_t n = size - at < piece ? size - at : piece;
		struct tree_token token;
		struct err err = {0};
		ssize_t used = tree_parse(&t, p + at, n, &token, &err);

		if (used < 0) {
			if (used != err.code || !*err.text)
				abort();
			s.code = err.code;
			break;
		}
		if (!used || (size_t)used > n || t.depth > TREE_DEPTH_MAX)
			abort();
		look_at(&s, &token, (size_t)used);
		at += (size_t)used;
	}
	s.has_ended = t.has_ended;
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole = read_in_pieces(data, size, size + 1);
	struct seen pieces = read_in_pieces(data, size, 1 + size % 7);

	if (whole.sum != pieces.sum || whole.data != pieces.data ||
	    whole.code != pieces.code || whole.has_ended != pieces.has_ended)
		abort();
	return 0;
}
