/* SPDX-License-Identifier: MIT */
#include "vmm/net/dns_name.h"

#include <string.h>

/* The top two bits of a length: 00 a label, 11 a pointer, else reserved. */
#define KIND_MASK    0xc0u
#define KIND_POINTER 0xc0u

size_t dns_name_encode(const char *text, uint8_t ret[DNS_NAME_MAX])
{
	size_t at = 0;

	while (*text) {
		size_t n = strcspn(text, ".");

		/* The length byte, the label, and the root's zero. */
		if (!n || n > DNS_LABEL_MAX || at + 1 + n + 1 > DNS_NAME_MAX)
			return 0;
		ret[at++] = (uint8_t)n;
		memcpy(ret + at, text, n);
		at += n;
		text += n;
		if (*text == '.' && !*++text)
			return 0;
	}
	ret[at++] = 0;
	return at;
}

bool dns_name_decode(const uint8_t *p, size_t n, size_t *at,
		     char ret[DNS_NAME_MAX])
{
	size_t out = 0;

	while (*at < n) {
		size_t len = p[(*at)++];

		if (!len) {
			ret[out ? out - 1 : 0] = '\0';
			return true;
		}
		/* As on the wire, where the zero takes the last byte. */
		if (len > DNS_LABEL_MAX || len > n - *at ||
		    out + len + 1 > DNS_NAME_MAX - 1)
			return false;
		for (size_t i = 0; i < len; i++) {
			char c = (char)p[(*at)++];

			ret[out++] = c == '.' || !c ? '?' : c;
		}
		ret[out++] = '.';
	}
	return false;
}

bool dns_name_skip(const uint8_t *p, size_t n, size_t *at)
{
	while (*at < n) {
		size_t len = p[(*at)++];

		if (!len)
			return true;
		if ((len & KIND_MASK) == KIND_POINTER)
			return (*at)++ < n;
		if (len > DNS_LABEL_MAX || len > n - *at)
			return false;
		*at += len;
	}
	return false;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool dns_name_equal(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return lower(*a) == lower(*b);
}

bool dns_label_is_host(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz"
			     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

	return n && n <= DNS_LABEL_MAX && !s[n];
}
