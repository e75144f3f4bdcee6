/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * Few patterns are searched one after the other, each by a `single`. In the
 * inside of a piece that is memmem(), which is linear and about as fast as
 * memory. A match that crosses a border is followed by the automaton of
 * Knuth, Morris and Pratt: `held` is how much of the pattern the stream ends
 * with so far. At the start of a piece the automaton runs until the candidate
 * it holds lies wholly in this piece (fewer than pattern length steps),
 * memmem() does the rest, and over the last pattern length - 1 bytes the
 * automaton runs again to learn what the piece ends with. So a byte is looked
 * at three times at the most. Pieces shorter than the pattern are left to the
 * automaton alone.
 *
 * With more patterns that would be a pass each; they are joined into one
 * deterministic automaton (Aho and Corasick), whose table is compressed to
 * the byte classes that the patterns distinguish. Where that table would
 * still pass TABLE_MAX the singles are used after all: slower by a constant,
 * with bounded memory.
 *
 * Both find the match that ends first. A single later in the list searches
 * only for what ends before the best so far, which settles ties for the
 * earlier listed; a state of the table names the first listed of the patterns
 * that end there.
 */
#include "streams/match.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"

/* From here on one table is faster than a pass for each (measured: in small
 * frames; in large ones a pass costs a tenth of the table). */
#define TABLE_PATTERNS_MIN 7
/* Entries of 4 bytes. */
#define TABLE_MAX ((size_t)1 << 20)
/* memmem() prepares a table of its own; not worth it for less. */
#define MEMMEM_MIN 48
/* Of a piece that several singles search: how much at a time. */
#define BLOCK_MIN ((size_t)256)
#define BLOCK_MAX ((size_t)32 << 10)

#define HIT	  UINT32_C(0x80000000)

struct single {
	const uint8_t *p;
	size_t n;
	uint32_t *border; /* border[k]: longest proper border of p[0..k) */
	size_t held;	  /* < n */
};

struct table {
	uint8_t class_of[256];
	uint32_t n_classes;
	uint32_t n_states;
	uint32_t *next;	 /* [state + class] -> state, HIT; states count by
			    n_classes, the root is 0 */
	uint32_t *index; /* [state / n_classes] -> pattern that ends here */
	uint32_t state;
};

struct match {
	struct single *singles; /* or the table */
	size_t count;
	struct table *table;
	uint64_t work;
};

static void single_init(struct single *s, const struct stream_pattern *pat)
{
	uint32_t *b = mem_realloc_array(NULL, pat->n + 1, sizeof(*b));
	uint32_t k = 0;

	b[0] = b[1] = 0;
	for (size_t i = 1; i < pat->n; i++) {
		while (k && pat->p[k] != pat->p[i])
			k = b[k];
		if (pat->p[k] == pat->p[i])
			k++;
		b[i + 1] = k;
	}
	*s = (struct single){.p = pat->p, .n = pat->n, .border = b};
}

/* Returns how often it looked. */
static size_t single_step(struct single *s, uint8_t c)
{
	size_t work = 1;

	for (; s->held && s->p[s->held] != c; work++)
		s->held = s->border[s->held];
	if (s->p[s->held] == c)
		s->held++;
	return work;
}

/* Where the first match in p[0..n) ends, or 0. */
static size_t single_feed(struct single *s, const uint8_t *p, size_t n,
			  uint64_t *work)
{
	bool is_long = n >= s->n && n >= MEMMEM_MIN;
	size_t i = 0;

	/* Until the candidate starts in p, or throughout a short piece. */
	while (i < n && (!is_long || s->held > i)) {
		*work += single_step(s, p[i++]);
		if (s->held == s->n)
			return i;
	}
	if (i == n)
		return 0;

	i -= s->held;
	s->held = 0;
	const uint8_t *at = memmem(p + i, n - i, s->p, s->n);
	if (at) {
		*work += (size_t)(at - p) + s->n - i;
		return (size_t)(at - p) + s->n;
	}
	*work += n - i;
	if (n - i > s->n - 1)
		i = n - (s->n - 1);
	while (i < n)
		*work += single_step(s, p[i++]);
	return 0;
}

/* --- the table --------------------------------------------------------- */

static void table_classes(struct table *t, const struct stream_pattern *pats,
			  size_t count)
{
	bool used[256] = {false};
	size_t n_used = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < pats[i].n; k++)
			used[pats[i].p[k]] = true;
	for (size_t c = 0; c < 256; c++)
		n_used += used[c];
	/* Class 0 is every byte that no pattern holds, if there is one. */
	t->n_classes = n_used < 256;
	for (size_t c = 0; c < 256; c++)
		if (used[c])
			t->class_of[c] = (uint8_t)t->n_classes++;
}

/* The trie; a missing child is 0, as nothing leads back to the root yet. */
static void table_insert(struct table *t, const struct stream_pattern *pat,
			 uint32_t index)
{
	uint32_t state = 0;

	for (size_t k = 0; k < pat->n; k++) {
		uint32_t *next = &t->next[state + t->class_of[pat->p[k]]];

		if (!*next)
			*next = t->n_states++ * t->n_classes;
		state = *next;
	}
	if (t->index[state / t->n_classes] > index)
		t->index[state / t->n_classes] = index;
}

/* Breadth first: what a state lacks it has from the state of its longest
 * proper suffix, which is complete by then. */
static void table_complete(struct table *t)
{
	uint32_t *queue = mem_realloc_array(NULL, t->n_states, sizeof(*queue));
	uint32_t *suffix =
	    mem_realloc_array(NULL, t->n_states, sizeof(*suffix));
	uint32_t k = t->n_classes, tail = 0;

	suffix[0] = 0;
	queue[tail++] = 0;
	for (uint32_t head = 0; head < tail; head++) {
		uint32_t state = queue[head], from = suffix[state / k];

		if (t->index[state / k] > t->index[from / k])
			t->index[state / k] = t->index[from / k];
		for (uint32_t c = 0; c < k; c++) {
			uint32_t *next = &t->next[state + c];

			if (!*next) {
				*next = t->next[from + c];
				continue;
			}
			suffix[*next / k] = state ? t->next[from + c] : 0;
			queue[tail++] = *next;
		}
	}
	free(queue);
	free(suffix);
}

static void table_mark_hits(struct table *t)
{
	size_t n = (size_t)t->n_states * t->n_classes;

	for (size_t i = 0; i < n; i++)
		if (t->index[t->next[i] / t->n_classes] != UINT32_MAX)
			t->next[i] |= HIT;
}

/* NULL when it would grow past TABLE_MAX. */
static struct table *table_new(const struct stream_pattern *pats, size_t count)
{
	struct table *t = mem_zalloc(sizeof(*t));
	size_t states = 1;

	table_classes(t, pats, count);
	for (size_t i = 0; i < count && states <= TABLE_MAX; i++)
		states += pats[i].n;
	if (states > TABLE_MAX / t->n_classes) {
		free(t);
		return NULL;
	}
	t->next = mem_zalloc(states * t->n_classes * sizeof(*t->next));
	t->index = mem_alloc(states * sizeof(*t->index));
	memset(t->index, 0xff, states * sizeof(*t->index));
	t->n_states = 1;
	for (size_t i = 0; i < count; i++)
		table_insert(t, &pats[i], (uint32_t)i);
	table_complete(t);
	table_mark_hits(t);
	return t;
}

static void table_free(struct table *t)
{
	if (!t)
		return;
	free(t->next);
	free(t->index);
	free(t);
}

static bool table_feed(struct table *t, const uint8_t *p, size_t n,
		       uint64_t *work, struct match_hit *ret_hit)
{
	uint32_t state = t->state;

	for (size_t i = 0; i < n; i++) {
		state = t->next[state + t->class_of[p[i]]];
		if (state & HIT) {
			t->state = state & ~HIT;
			*work += i + 1;
			ret_hit->end = i + 1;
			ret_hit->index = t->index[t->state / t->n_classes];
			return true;
		}
	}
	t->state = state;
	*work += n;
	return false;
}

/* --- what others see --------------------------------------------------- */

struct match *match_new(const struct stream_pattern *patterns, size_t count)
{
	struct match *m = mem_zalloc(sizeof(*m));

	m->count = count;
	if (count >= TABLE_PATTERNS_MIN)
		m->table = table_new(patterns, count);
	if (m->table)
		return m;
	m->singles = mem_realloc_array(NULL, count, sizeof(*m->singles));
	for (size_t i = 0; i < count; i++)
		single_init(&m->singles[i], &patterns[i]);
	return m;
}

struct match *match_free(struct match *m)
{
	if (!m)
		return NULL;
	table_free(m->table);
	for (size_t i = 0; m->singles && i < m->count; i++)
		free(m->singles[i].border);
	free(m->singles);
	free(m);
	return NULL;
}

void match_reset(struct match *m)
{
	if (m->table) {
		m->table->state = 0;
		return;
	}
	for (size_t i = 0; i < m->count; i++)
		m->singles[i].held = 0;
}

static size_t grown(size_t block)
{
	return block < BLOCK_MAX ? block * 2 : block;
}

static bool singles_feed(struct match *m, const uint8_t *p, size_t n,
			 struct match_hit *ret_hit)
{
	bool is_hit = false;

	for (size_t i = 0; i < m->count; i++) {
		size_t end = single_feed(&m->singles[i], p, n, &m->work);

		if (!end)
			continue;
		is_hit = true;
		*ret_hit = (struct match_hit){.end = end, .index = i};
		n = end - 1;
	}
	return is_hit;
}

bool match_feed(struct match *m, const uint8_t *p, size_t n,
		struct match_hit *ret_hit)
{
	size_t block = m->count > 1 ? BLOCK_MIN : n, at = 0;

	if (m->table)
		return table_feed(m->table, p, n, &m->work, ret_hit);
	/* All have a look at a block before any looks at the next: else the
	 * first would search a long piece to its end each time that the
	 * second matches near its beginning. */
	for (; at < n; at += block, block = grown(block)) {
		if (block > n - at)
			block = n - at;
		if (singles_feed(m, p + at, block, ret_hit)) {
			ret_hit->end += at;
			return true;
		}
	}
	return false;
}

uint64_t match_work(const struct match *m)
{
	return m->work;
}
