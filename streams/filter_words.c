/* SPDX-License-Identifier: MIT */
#include "streams/filter_words.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"

#define NAME_CHARS                                                             \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
#define HEX_CHARS     "0123456789abcdefABCDEF"
#define ADDRESS_CHARS HEX_CHARS ":."
/* The longest that inet_pton(3) is asked about. */
#define ADDRESS_MAX 64u
#define MAC_BYTES   6u
#define IPV4_PARTS  4u

/* --- literals --------------------------------------------------------------
 */

/* The end of a decimal or hexadecimal number at p; NULL: there is none. */
static const char *filter_words_skip_number(const char *p, const char *end)
{
	bool is_hex = end - p > 2 && p[0] == '0' && (p[1] | 32) == 'x';
	const char *digits = is_hex ? HEX_CHARS : "0123456789";
	const char *from = is_hex ? p + 2 : p;
	const char *q = from;

	while (q < end && strchr(digits, *q))
		q++;
	return q > from ? q : NULL;
}

/* One number, or up to four of them with dots between. */
static bool is_number(const char *p, const char *end)
{
	for (unsigned n = 1; n <= IPV4_PARTS; n++) {
		p = filter_words_skip_number(p, end);
		if (!p)
			return false;
		if (p == end)
			return true;
		if (*p++ != '.')
			return false;
	}
	return false;
}

static size_t skip_hex(const char *p, const char *end, size_t max)
{
	size_t n = 0;

	while (n < max && p + n < end && isxdigit((unsigned char)p[n]))
		n++;
	return n;
}

/* Whether these are that many groups of hexadecimal digits, with the sign
 * between them. */
static bool is_groups(const char *p, const char *end, unsigned groups,
		      size_t digits, char sign)
{
	for (unsigned i = 0; i < groups; i++) {
		size_t n = skip_hex(p, end, digits);

		if (!n || (i && n != digits && digits > 2))
			return false;
		p += n;
		if (i + 1 < groups && (p == end || *p++ != sign))
			return false;
	}
	return p == end;
}

static bool is_mac(const char *p, const char *end)
{
	return is_groups(p, end, MAC_BYTES, 2, ':') ||
	       is_groups(p, end, MAC_BYTES, 2, '-') ||
	       is_groups(p, end, MAC_BYTES, 2, '.') ||
	       is_groups(p, end, MAC_BYTES / 2, 4, '.') ||
	       ((size_t)(end - p) == MAC_BYTES * 2 &&
		skip_hex(p, end, MAC_BYTES * 2) == MAC_BYTES * 2);
}

static bool is_ipv6(const char *p, const char *end)
{
	char text[ADDRESS_MAX];
	struct in6_addr ip;

	if ((size_t)(end - p) >= sizeof(text) || !memchr(p, ':', end - p))
		return false;
	memcpy(text, p, end - p);
	text[end - p] = '\0';
	return inet_pton(AF_INET6, text, &ip) == 1;
}

/* --- keywords --------------------------------------------------------------
 */

/* Returns libpcap's error for the filter `before word`; "": it has none.
 * Neither filter makes it look a name up: the names of `ether proto` are a
 * table. */
static const char *try_word(pcap_t *pcap, const char *before, const char *word)
{
	CLEANUP(free_ptr) char *text = mem_printf("%s%s", before, word);
	struct bpf_program code;

	if (pcap_compile(pcap, &code, text, 0, PCAP_NETMASK_UNKNOWN) < 0)
		return pcap_geterr(pcap);
	pcap_freecode(&code);
	return "";
}

static enum filter_kind kind_of(pcap_t *pcap, const char *p, size_t len)
{
	CLEANUP(free_ptr) char *word = mem_strndup(p, len);

	/* `tcp-syn` and its like are numbers. */
	if (is_number(p, p + len) || is_mac(p, p + len) ||
	    !*try_word(pcap, "len = ", word))
		return FILTER_LITERAL;
	return strstr(try_word(pcap, "ether proto ", word), "syntax error")
		   ? FILTER_KEYWORD
		   : FILTER_NAME;
}

/* --- words -----------------------------------------------------------------
 */

static size_t count_colons(const char *p, size_t n)
{
	size_t sum = 0;

	while (n--)
		sum += *p++ == ':';
	return sum;
}

struct filter_word filter_word(pcap_t *pcap, const char *p)
{
	size_t address = strspn(p, ADDRESS_CHARS), n;

	if (!*p)
		return (struct filter_word){FILTER_END, p, 0, false};
	if (*p == '\\') {
		n = 1 + strcspn(p + 1, " !()\n\t");
		return (struct filter_word){FILTER_NAME, p, n, true};
	}
	n = strspn(p, NAME_CHARS);
	if (address >= n && address &&
	    (is_ipv6(p, p + address) || is_mac(p, p + address)))
		return (struct filter_word){FILTER_LITERAL, p, address, false};
	/* With one of them it may be `ip[0:4]`. */
	if (count_colons(p, address) > 1)
		return (struct filter_word){FILTER_NO_ADDRESS, p, address,
					    false};
	if (!n || !isalnum((unsigned char)*p))
		return (struct filter_word){FILTER_MARK, p, 1, false};
	/* No word ends with these two. */
	while (p[n - 1] == '-' || p[n - 1] == '_')
		n--;
	return (struct filter_word){kind_of(pcap, p, n), p, n, false};
}

bool filter_word_is(const struct filter_word *w, const char *text)
{
	return w->len == strlen(text) && !memcmp(w->at, text, w->len);
}
