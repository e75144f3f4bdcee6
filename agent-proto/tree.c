/* SPDX-License-Identifier: MIT */
#include "agent-proto/tree.h"

#include <errno.h>
#include <string.h>

#include "agent-proto/le.h"

void tree_encode(const struct tree_entry *e, struct buf *out)
{
	size_t name_n = strlen(e->name), target_n = strlen(e->target);
	uint8_t *p = buf_room(out, TREE_HEADER + name_n + target_n);

	p[0] = (uint8_t)e->kind;
	le_put32(p + 1, e->mode);
	le_put16(p + 5, (uint16_t)name_n);
	le_put16(p + 7, (uint16_t)target_n);
	memcpy(p + TREE_HEADER, e->name, name_n);
	memcpy(p + TREE_HEADER + name_n, e->target, target_n);
	buf_commit(out, TREE_HEADER + name_n + target_n);
}

/* --- one entry ------------------------------------------------------------ */

/* Whether the n bytes are a name that a file of a directory can have. */
static bool tree_is_name(const uint8_t *p, size_t n)
{
	bool is_dots = n <= 2 && !memcmp(p, "..", n);

	return n && !is_dots && !memchr(p, '/', n) && !memchr(p, '\0', n);
}

/* The first entry, or one of a directory that is open. */
static bool is_in_place(const struct tree_parser *t, unsigned kind)
{
	return t->depth ? kind >= TREE_DIR && kind <= TREE_UP
			: kind == TREE_DIR;
}

/* Takes what the header needs, so far as p has it. Returns how many bytes. */
static size_t fill_to(struct tree_parser *t, size_t want, const uint8_t *p,
		      size_t n)
{
	size_t used = want - t->entry_n;

	if (used > n)
		used = n;
	memcpy(t->entry + t->entry_n, p, used);
	t->entry_n += (uint32_t)used;
	return used;
}

static int check_header(const struct tree_parser *t, struct err *err)
{
	unsigned kind = t->entry[0], mode = le_get32(t->entry + 1);
	unsigned name_n = le_get16(t->entry + 5);
	unsigned target_n = le_get16(t->entry + 7);
	bool has_name = t->depth && kind != TREE_UP;

	if (!is_in_place(t, kind))
		return err_set(err, -EPROTO,
			       "an entry of kind %u at depth %u of a tree",
			       kind, t->depth);
	if (mode > TREE_PERM_MAX || name_n > TREE_NAME_MAX ||
	    target_n > TREE_TARGET_MAX || !name_n == has_name ||
	    !target_n == (kind == TREE_LINK))
		return err_set(err, -EPROTO,
			       "an entry of kind %u of a tree has mode %#o, %u "
			       "bytes of name and %u bytes of target",
			       kind, mode, name_n, target_n);
	return 0;
}

static int count_entry(struct tree_parser *t, enum tree_kind kind,
		       struct err *err)
{
	if (kind == TREE_UP) {
		t->has_ended = !--t->depth;
		return 0;
	}
	if (kind == TREE_DIR && t->depth == TREE_DEPTH_MAX)
		return err_set(err, -EFBIG, "directories are more than %u deep",
			       TREE_DEPTH_MAX);
	if (t->entries == TREE_ENTRIES_MAX)
		return err_set(err, -EFBIG, "there are more than %u entries",
			       TREE_ENTRIES_MAX);
	t->depth += kind == TREE_DIR;
	t->entries++;
	t->in_file = kind == TREE_FILE;
	return 0;
}

/* The entry is complete. */
static int tree_take_entry(struct tree_parser *t, struct tree_token *ret,
			   struct err *err)
{
	const uint8_t *name = t->entry + TREE_HEADER;
	size_t name_n = le_get16(t->entry + 5);
	size_t target_n = le_get16(t->entry + 7);

	t->entry_n = 0;
	memcpy(t->name, name, name_n);
	t->name[name_n] = '\0';
	memcpy(t->target, name + name_n, target_n);
	t->target[target_n] = '\0';
	if ((name_n && !tree_is_name(name, name_n)) ||
	    strlen(t->target) != target_n)
		return err_set(
		    err, -EPROTO,
		    "'%s' of a tree has a name or a link's text that "
		    "no file system can hold",
		    t->name);
	ret->event = TREE_ENTRY;
	ret->entry = (struct tree_entry){.kind = t->entry[0],
					 .mode = le_get32(t->entry + 1),
					 .name = t->name,
					 .target = t->target};
	return count_entry(t, ret->entry.kind, err);
}

static ssize_t parse_entry(struct tree_parser *t, const uint8_t *p, size_t n,
			   struct tree_token *ret, struct err *err)
{
	size_t used = 0, want = TREE_HEADER;

	ret->event = TREE_MORE;
	if (t->entry_n < want) {
		used = fill_to(t, want, p, n);
		if (t->entry_n < want)
			return (ssize_t)used;
		if (check_header(t, err) < 0)
			return err->code;
	}
	want += le_get16(t->entry + 5) + (size_t)le_get16(t->entry + 7);
	used += fill_to(t, want, p + used, n - used);
	if (t->entry_n == want && tree_take_entry(t, ret, err) < 0)
		return err->code;
	return (ssize_t)used;
}

/* --- the data of a file --------------------------------------------------- */

static size_t parse_file(struct tree_parser *t, const uint8_t *p, size_t n,
			 struct tree_token *ret)
{
	size_t used = sparse_data(&t->records, n);

	if (used) {
		sparse_used(&t->records, used);
		ret->event = TREE_DATA;
		return used;
	}
	used = sparse_take_header(&t->records, p, n, &ret->hole);
	ret->event = t->records.header_n ? TREE_MORE : TREE_RECORD;
	ret->is_last =
	    ret->event == TREE_RECORD && sparse_is_whole(&t->records);
	t->in_file = !ret->is_last;
	return used;
}

ssize_t tree_parse(struct tree_parser *t, const uint8_t *p, size_t n,
		   struct tree_token *ret, struct err *err)
{
	*ret = (struct tree_token){0};
	if (t->has_ended)
		return err_set(err, -EPROTO,
			       "there are bytes behind the end of a tree");
	if (t->in_file)
		return (ssize_t)parse_file(t, p, n, ret);
	return parse_entry(t, p, n, ret, err);
}
