/* SPDX-License-Identifier: MIT */
/*
 * The words of a filter, as the lexer of libpcap takes them (scanner.l of
 * libpcap 1.10): each is the longest that is there.
 */
#ifndef STREAMS_FILTER_WORDS_H
#define STREAMS_FILTER_WORDS_H

#include <pcap/pcap.h>
#include <stdbool.h>
#include <stddef.h>

enum filter_kind {
	FILTER_END,
	FILTER_MARK,	   /* white space, or a sign of an operator */
	FILTER_LITERAL,	   /* a number or an address */
	FILTER_NO_ADDRESS, /* libpcap would look it up as an IPv6 address */
	FILTER_KEYWORD,
	FILTER_NAME, /* to be found, or looked up */
};

struct filter_word {
	enum filter_kind kind;
	const char *at;
	size_t len;
	bool is_escaped; /* a name behind a backslash, which len counts */
};

/* The word at p. pcap tells keywords from names: libpcap knows which it has. */
struct filter_word filter_word(pcap_t *pcap, const char *p);
bool filter_word_is(const struct filter_word *w, const char *text);

#endif
