/* SPDX-License-Identifier: MIT */
/* Names of the DNS, on the wire and as text (RFC 1035, 3.1). */
#ifndef VMM_NET_DNS_NAME_H
#define VMM_NET_DNS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a whole name on the wire; as text, with its NUL, it is no longer. */
#define DNS_NAME_MAX  255u
#define DNS_LABEL_MAX 63u

/* Text without a final dot to the wire; returns the length, or 0: a label is
 * empty or too long, or the whole is. The root is "". */
size_t dns_name_encode(const char *text, uint8_t ret[DNS_NAME_MAX]);

/*
 * The name at *at in the message p[0..n), which moves behind it. False when it
 * is cut off, too long or uses a pointer. A byte that would make the text
 * ambiguous (a dot or NUL inside a label) becomes '?', which no name of ours
 * has.
 */
bool dns_name_decode(const uint8_t *p, size_t n, size_t *at,
		     char ret[DNS_NAME_MAX]);

/* The same without the text, and pointers are fine: they end a name, and
 * nobody follows them. */
bool dns_name_skip(const uint8_t *p, size_t n, size_t *at);

/* Without regard to the case of ASCII letters. */
bool dns_name_equal(const char *a, const char *b);

/* One label of letters, digits, '-' and '_'. */
bool dns_label_is_host(const char *s);

#endif
