/* SPDX-License-Identifier: MIT */
#include "agent-proto/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p)
{
	if (!p) {
		fputs("provium: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *mem_alloc(size_t size)
{
	return checked(malloc(size ? size : 1));
}

void *mem_zalloc(size_t size)
{
	return checked(calloc(1, size ? size : 1));
}

void *mem_realloc(void *take_ptr, size_t size)
{
	return checked(realloc(take_ptr, size ? size : 1));
}

void *mem_realloc_array(void *take_ptr, size_t nmemb, size_t size)
{
	if (size && nmemb > SIZE_MAX / size)
		checked(NULL);
	return mem_realloc(take_ptr, nmemb * size);
}

void *mem_dup(const void *src, size_t size)
{
	void *p = mem_alloc(size);

	if (size)
		memcpy(p, src, size);
	return p;
}

char *mem_strdup(const char *s)
{
	return mem_dup(s, strlen(s) + 1);
}

char *mem_strndup(const char *s, size_t max)
{
	size_t n = strnlen(s, max);
	char *p = mem_alloc(n + 1);

	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *mem_vprintf(const char *fmt, va_list ap)
{
	char *p = NULL;

	if (vasprintf(&p, fmt, ap) < 0)
		checked(NULL);
	return p;
}

char *mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	p = mem_vprintf(fmt, ap);
	va_end(ap);
	return p;
}

static void strvec_take(struct strvec *sv, char *take_s)
{
	sv->v = mem_realloc_array(sv->v, sv->n + 2, sizeof(*sv->v));
	sv->v[sv->n++] = take_s;
	sv->v[sv->n] = NULL;
}

bool mem_is_zero(const void *p, size_t n)
{
	const char *c = p;

	return !c[0] && !memcmp(c, c + 1, n - 1);
}

void strvec_add(struct strvec *sv, const char *s)
{
	strvec_take(sv, mem_strdup(s));
}

void strvec_addf(struct strvec *sv, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strvec_take(sv, mem_vprintf(fmt, ap));
	va_end(ap);
}

void strvec_done(struct strvec *sv)
{
	for (size_t i = 0; i < sv->n; i++)
		free(sv->v[i]);
	free(sv->v);
	*sv = (struct strvec){0};
}
