/* SPDX-License-Identifier: MIT */
/*
 * Whoever sweeps takes a dead run's tag while it removes what has that tag: so
 * two that sweep at once do not meet, and no new run takes the tag meanwhile.
 */
#include "vmm/net/kernel_sweep.h"

#include <net/if.h>
#include <stdbool.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "vmm/net/kernel_name.h"
#include "vmm/net/kernel_run.h"

static bool kernel_sweep_has(const struct strvec *v, const char *s)
{
	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(v->v[i], s))
			return true;
	return false;
}

static bool is_dead(const char *tag)
{
	CLEANUP(kernel_tag_done) struct kernel_tag t = {.fd = -1};

	return kernel_tag_take_text(&t, tag) == 0;
}

/* Calls fn with each interface of ours that does not go by itself. */
static void each_interface(void (*fn)(void *ctx, const char *name,
				      const char *tag),
			   void *ctx)
{
	struct if_nameindex *all = if_nameindex();
	char tag[KERNEL_TAG_LEN + 1];
	enum kernel_kind kind;

	for (struct if_nameindex *i = all; i && i->if_name; i++)
		if (kernel_name_parse(i->if_name, tag, &kind) &&
		    kind != KERNEL_TAP)
			fn(ctx, i->if_name, tag);
	if (all)
		if_freenameindex(all);
}

static void add_dead(void *ctx, const char *name, const char *tag)
{
	if (is_dead(tag))
		strvec_add(ctx, name);
}

void kernel_sweep_find(struct strvec *ret)
{
	each_interface(add_dead, ret);
}

static void add_tag(void *ctx, const char *name, const char *tag)
{
	(void)name;
	if (!kernel_sweep_has(ctx, tag))
		strvec_add(ctx, tag);
}

struct removal {
	const char *tag;
	struct buf batch;
};

static void add_removal(void *ctx, const char *name, const char *tag)
{
	struct removal *r = ctx;

	if (!strcmp(tag, r->tag))
		buf_printf(&r->batch, "link delete dev %s\n", name);
}

/* "table bridge NAME" of each line, or NULL. */
static char *table_of(char *line, char ret_tag[KERNEL_TAG_LEN + 1])
{
	static const char *const families[] = {"table bridge ",
					       "table netdev "};
	enum kernel_kind kind;

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		size_t n = strlen(families[i]);

		if (!strncmp(line, families[i], n) &&
		    kernel_name_parse(line + n, ret_tag, &kind))
			return line;
	}
	return NULL;
}

/* The lines of all tables; nothing where nft does not work. */
static void list_tables(struct strvec *ret)
{
	static const char *const args[] = {"list", "tables", NULL};
	CLEANUP(buf_done) struct buf out = {0};
	char *save;

	if (kernel_ask(KERNEL_NFT, args, &out, NULL) < 0)
		return;
	buf_append(&out, "", 1);
	for (char *line = strtok_r((char *)buf_data(&out), "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		strvec_add(ret, line);
}

/* A process a table: one that went meanwhile must not keep the others. */
static void remove_tables(const struct strvec *tables, const char *tag)
{
	char its[KERNEL_TAG_LEN + 1];

	for (size_t i = 0; i < tables->n; i++) {
		CLEANUP(buf_done) struct buf batch = {0};

		if (!table_of(tables->v[i], its) || strcmp(its, tag) != 0)
			continue;
		buf_printf(&batch, "delete %s\n", tables->v[i]);
		kernel_run_all(KERNEL_NFT, &batch);
	}
}

static void sweep_tag(const char *tag, const struct strvec *tables)
{
	CLEANUP(kernel_tag_done) struct kernel_tag held = {.fd = -1};
	struct removal r = {.tag = tag};

	if (kernel_tag_take_text(&held, tag) < 0)
		return;
	each_interface(add_removal, &r);
	kernel_run_all(KERNEL_IP, &r.batch);
	buf_done(&r.batch);
	remove_tables(tables, tag);
}

void kernel_sweep(void)
{
	CLEANUP(strvec_done) struct strvec tags = {0}, tables = {0};
	char tag[KERNEL_TAG_LEN + 1];

	list_tables(&tables);
	each_interface(add_tag, &tags);
	for (size_t i = 0; i < tables.n; i++)
		if (table_of(tables.v[i], tag) && !kernel_sweep_has(&tags, tag))
			strvec_add(&tags, tag);
	for (size_t i = 0; i < tags.n; i++)
		sweep_tag(tags.v[i], &tables);
}
