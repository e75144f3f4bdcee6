/* SPDX-License-Identifier: MIT */
#include "vmm/stamp.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "vmm/store.h"

/*
 *	provium stamp 1
 *	SIZE MTIME_NS INODE PATH	a line each file
 *	= RESULT
 */
#define HEAD	  "provium stamp 1\n"
#define STAMP_MAX (1 << 20)

/* File systems stamp changes with the clock of the last tick (10 ms at worst;
 * FAT 2 s): a file younger than this could change and look the same. */
#define YOUNG_NS (20 * NS_PER_MS)

static int64_t ns_of(const struct timespec *t)
{
	return t->tv_sec * NS_PER_SEC + t->tv_nsec;
}

/* The line of path without the path; st is zeroed where there is none. */
static char *stamp_describe(const char *path, struct stat *st)
{
	if (stat(path, st) < 0)
		*st = (struct stat){0};
	return mem_printf("%" PRIu64 " %" PRId64 " %" PRIu64 " ",
			  (uint64_t)st->st_size, ns_of(&st->st_mtim),
			  (uint64_t)st->st_ino);
}

static void stamp_add_path(struct stamp *s, const char *path, bool may_be_young)
{
	CLEANUP(free_ptr) char *line = NULL;
	struct timespec now;
	struct stat st;

	line = stamp_describe(path, &st);
	buf_printf(&s->text, "%s%s\n", line, path);
	clock_gettime(CLOCK_REALTIME, &now);
	if (strchr(path, '\n') || (!may_be_young && st.st_ino &&
				   ns_of(&now) - ns_of(&st.st_mtim) < YOUNG_NS))
		s->is_unsafe = true;
}

void stamp_add(struct stamp *s, const char *path)
{
	stamp_add_path(s, path, false);
}

void stamp_add_made(struct stamp *s, const char *path)
{
	stamp_add_path(s, path, true);
}

void stamp_append(struct stamp *s, const struct stamp *other)
{
	buf_append(&s->text, buf_data(&other->text), other->text.len);
	s->is_unsafe |= other->is_unsafe;
}

void stamp_save(struct stamp *s, const char *path, const char *result)
{
	CLEANUP(free_ptr) char *aside = NULL;
	CLEANUP(buf_done) struct buf b = {0};

	if (s->is_unsafe || s->text.len > STAMP_MAX / 2)
		return;
	buf_printf(&b, HEAD);
	buf_append(&b, buf_data(&s->text), s->text.len);
	buf_printf(&b, "= %s\n", result);
	aside = mem_printf("%s.%d", path, (int)getpid());
	unlink(aside);
	if (store_write(aside, buf_data(&b), b.len, NULL) < 0 ||
	    rename(aside, path) < 0)
		unlink(aside);
}

void stamp_done(struct stamp *s)
{
	buf_done(&s->text);
}

/* Whether a line "SIZE MTIME_NS INODE PATH" still tells the truth. */
static bool still_holds(const char *line)
{
	CLEANUP(free_ptr) char *now = NULL;
	const char *path = line;
	struct stat st;

	for (int i = 0; i < 3 && path; i++) {
		path = strchr(path, ' ');
		path = path ? path + 1 : NULL;
	}
	if (!path)
		return false;
	now = stamp_describe(path, &st);
	return !strncmp(now, line, (size_t)(path - line)) &&
	       strlen(now) == (size_t)(path - line);
}

char *stamp_find(const char *path)
{
	CLEANUP(buf_done) struct buf b = {0};
	char *save, *line;

	if (store_read(path, STAMP_MAX, &b, NULL) < 0)
		return NULL;
	buf_append(&b, "", 1);
	if (strncmp((char *)buf_data(&b), HEAD, strlen(HEAD)) != 0)
		return NULL;
	buf_consume(&b, strlen(HEAD));
	for (line = strtok_r((char *)buf_data(&b), "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, "= ", 2))
			return mem_strdup(line + 2);
		if (!still_holds(line))
			return NULL;
	}
	return NULL;
}
