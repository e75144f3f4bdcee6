/* SPDX-License-Identifier: MIT */
/*
 * Allocation that cannot fail, and the two small macros that every file
 * wants. Running out of memory is not an outcome that a caller can do
 * anything about: these print one line and abort.
 *
 * Never pass a length that came from outside without comparing it with a
 * named limit first.
 */
#ifndef AGENT_PROTO_MEM_H
#define AGENT_PROTO_MEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define CONTAINER_OF(ptr, type, member)                                        \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* All return owned memory; the caller frees it with free(). */
void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_realloc(void *take_ptr, size_t size);
/* nmemb * size, checked for overflow; the new part is not cleared. */
void *mem_realloc_array(void *take_ptr, size_t nmemb, size_t size);
void *mem_dup(const void *src, size_t size);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t max);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *mem_vprintf(const char *fmt, va_list ap)
    __attribute__((format(printf, 1, 0)));

/* Whether n bytes, one at least, are all zero. */
bool mem_is_zero(const void *p, size_t n);

/* A NULL-terminated vector of owned strings: argv, environment. */
struct strvec {
	char **v; /* v[n] is NULL whenever v is not */
	size_t n;
};

void strvec_add(struct strvec *sv, const char *s);
void strvec_addf(struct strvec *sv, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void strvec_done(struct strvec *sv);

#endif
