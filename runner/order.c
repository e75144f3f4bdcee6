/* SPDX-License-Identifier: MIT */
#include "runner/order.h"

#include <stdlib.h>

#include "agent-proto/mem.h"

struct entry {
	struct test_file file;
	struct order_hint hint;
	size_t at; /* where it stood */
};

static int order_compare(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;
	int64_t slow_x = x->hint.duration_ns ? x->hint.duration_ns : INT64_MAX;
	int64_t slow_y = y->hint.duration_ns ? y->hint.duration_ns : INT64_MAX;

	if (x->hint.has_failed != y->hint.has_failed)
		return x->hint.has_failed ? -1 : 1;
	if (slow_x != slow_y)
		return slow_x > slow_y ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

void order_files(struct test_files *files,
		 struct order_hint (*hint_of)(void *ctx,
					      const struct test_file *file),
		 void *ctx)
{
	struct entry *all = mem_zalloc((files->n + 1) * sizeof(*all));

	for (size_t i = 0; i < files->n; i++)
		all[i] =
		    (struct entry){files->v[i], hint_of(ctx, &files->v[i]), i};
	qsort(all, files->n, sizeof(*all), order_compare);
	for (size_t i = 0; i < files->n; i++) {
		files->v[i] = all[i].file;
		files->v[i].is_serial = all[i].hint.is_serial;
	}
	free(all);
}
