/* SPDX-License-Identifier: MIT */
#include "tests/unit/vmm/lib_image.h"
#include "tests/unit/tmp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *tmp_new(void)
{
	char *dir = mem_alloc(TMP_PATH_MAX);

	tmp_template(dir);
	assert_non_null(mkdtemp(dir));
	return dir;
}

void tmp_remove(char *take_dir)
{
	char *roots[] = {take_dir, NULL};
	FTS *fts = take_dir ? fts_open(roots, FTS_PHYSICAL, NULL) : NULL;
	FTSENT *e;

	while (fts && (e = fts_read(fts))) {
		if (e->fts_info == FTS_D)
			chmod(e->fts_accpath, 0700);
		else
			remove(e->fts_accpath);
	}
	if (fts)
		fts_close(fts);
	free(take_dir);
}

char *tmp_write(const char *dir, const char *name, const void *p, size_t n)
{
	char *path = mem_printf("%s/%s", dir, name);
	FILE *f;

	for (char *s = path + 1; (s = strchr(s, '/')); s++) {
		*s = '\0';
		mkdir(path, 0755);
		*s = '/';
	}
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	return path;
}

char *tmp_write_str(const char *dir, const char *name, const char *text)
{
	return tmp_write(dir, name, text, strlen(text));
}

struct buf tmp_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct buf b = {0};
	ssize_t n;

	assert_true(fd >= 0);
	while ((n = read(fd, buf_room(&b, 65536), 65536)) > 0)
		buf_commit(&b, (size_t)n);
	assert_int_equal(n, 0);
	close(fd);
	return b;
}

static uint32_t hex(const uint8_t *p, int i)
{
	char s[9] = {0};

	memcpy(s, p + 6 + 8 * i, 8);
	return (uint32_t)strtoul(s, NULL, 16);
}

static size_t align4(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

struct archive archive_read(const struct buf *b)
{
	const uint8_t *p = buf_data(b);
	struct archive a = {0};
	size_t at = 0;

	while (at < b->len) {
		struct entry e = {.at = at};
		uint32_t name_n;

		if (!p[at]) { /* between archives zeros are skipped, by 4 */
			at++;
			continue;
		}
		assert_int_equal(at % 4, 0);
		assert_true(at + 110 <= b->len);
		assert_memory_equal(p + at, "070701", 6);
		e.mode = hex(p + at, 1);
		e.nlink = hex(p + at, 4);
		e.n = hex(p + at, 6);
		e.rdev_major = hex(p + at, 9);
		e.rdev_minor = hex(p + at, 10);
		name_n = hex(p + at, 11);
		at += 110;
		assert_true(name_n > 1 && at + name_n <= b->len);
		assert_int_equal(p[at + name_n - 1], 0);
		e.name = mem_strdup((const char *)p + at);
		at = align4(at + name_n);
		assert_true(at + e.n <= b->len);
		e.content = mem_strndup("", 0);
		e.content = mem_realloc(e.content, e.n + 1);
		memcpy(e.content, p + at, e.n);
		e.content[e.n] = '\0';
		at = align4(at + e.n);
		a.n_trailers += !strcmp(e.name, "TRAILER!!!");
		a.e = mem_realloc_array(a.e, a.n + 1, sizeof(*a.e));
		a.e[a.n++] = e;
	}
	return a;
}

void archive_done(struct archive *a)
{
	for (size_t i = 0; i < a->n; i++) {
		free(a->e[i].name);
		free(a->e[i].content);
	}
	free(a->e);
}

const struct entry *archive_find(const struct archive *a, const char *name)
{
	for (size_t i = a->n; i-- > 0;)
		if (!strcmp(a->e[i].name, name))
			return &a->e[i];
	return NULL;
}
