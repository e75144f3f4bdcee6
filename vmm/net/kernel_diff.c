/* SPDX-License-Identifier: MIT */
/*
 * From one plan to the next. An item is the same thing in both when it is in
 * the same place and of the same kind (the first word of what it is): it is
 * then changed where it stands, with the frames that it holds. Filters are made
 * anew. What goes, goes in the reverse order of how it was made.
 */
#include <string.h>

#include "vmm/net/kernel_plan.h"

static bool is_same_kind(const char *a, const char *b)
{
	size_t n = strcspn(a, " ");

	return n == strcspn(b, " ") && !memcmp(a, b, n);
}

static bool is_filter(const struct kernel_item *i)
{
	return !strcmp(i->object, "filter");
}

static bool is_same_thing(const struct kernel_item *a,
			  const struct kernel_item *b)
{
	return !strcmp(a->dev, b->dev) && !strcmp(a->place, b->place) &&
	       !strcmp(a->object, b->object) &&
	       is_same_kind(a->what, b->what) &&
	       (!is_filter(a) || !strcmp(a->what, b->what));
}

/* Its counterpart in p, or NULL. Looked for from *at on, where the next one of
 * the same order most often is. */
static const struct kernel_item *kernel_diff_find(const struct kernel_plan *p,
						  const struct kernel_item *i,
						  size_t *at)
{
	for (size_t n = 0; n < p->n_items; n++) {
		size_t k = (*at + n) % p->n_items;

		if (is_same_thing(&p->items[k], i)) {
			*at = k;
			return &p->items[k];
		}
	}
	return NULL;
}

static bool is_root(const struct kernel_item *i)
{
	return !strcmp(i->object, "qdisc") &&
	       strncmp(i->place, "parent ", 7) != 0;
}

/* The qdisc that it hangs on goes, and takes it along. */
static bool goes_with_root(const struct kernel_plan *from,
			   const struct kernel_plan *to,
			   const struct kernel_item *i)
{
	bool is_ingress = strstr(i->place, "ffff:");
	size_t at = 0;

	for (size_t k = 0; k < from->n_items; k++) {
		const struct kernel_item *r = &from->items[k];

		if (r != i && is_root(r) && !strcmp(r->dev, i->dev) &&
		    !strstr(r->place, "ffff:") == !is_ingress &&
		    !kernel_diff_find(to, r, &at))
			return true;
	}
	return false;
}

static void kernel_diff_say(struct buf *out, const char *verb,
			    const struct kernel_item *i, const char *what)
{
	buf_printf(out, "%s %s dev %s %s%s%s\n", i->object, verb, i->dev,
		   i->place, *what ? " " : "", what);
}

void kernel_plan_diff(const struct kernel_plan *from,
		      const struct kernel_plan *to, struct buf *ret_tc)
{
	size_t at = 0;

	for (size_t k = from->n_items; k-- > 0;) {
		const struct kernel_item *i = &from->items[k];

		if (!kernel_diff_find(to, i, &at) &&
		    (is_root(i) || !goes_with_root(from, to, i)))
			kernel_diff_say(ret_tc, "delete", i, "");
	}
	at = 0;
	for (size_t k = 0; k < to->n_items; k++) {
		const struct kernel_item *i = &to->items[k];
		const struct kernel_item *old = kernel_diff_find(from, i, &at);

		if (!old)
			kernel_diff_say(ret_tc, "add", i, i->what);
		else if (strcmp(old->what, i->what) != 0)
			kernel_diff_say(ret_tc, "change", i, i->what);
	}
}
