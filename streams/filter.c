/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * libpcap looks up each name that it meets, and waits for the answer. So it
 * meets none: the filter is gone through word by word, and the name of a host
 * is replaced by its addresses. Which kind of name a word is, its qualifiers
 * say (`host`, `port`, `ip`, `ether`, ...), or those of the word before, as in
 * `host a or b`. Names of ports and protocols are left to libpcap where the
 * file that it reads first has them.
 *
 * libpcap compiles `inbound` for a live interface, as a load at an offset below
 * zero (linux/filter.h: SKF_AD_OFF). With a frame alone that load always fails,
 * and the frame is rejected. The code is searched for such loads.
 */
#include "streams/filter.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/filter_words.h"

#define SERVICES  "/etc/services"
#define PROTOCOLS "/etc/protocols"

/* The kind of thing that has the name behind a qualifier. */
enum filter_role {
	ROLE_HOST,
	ROLE_NET,
	ROLE_GATEWAY,
	ROLE_PORT,
	ROLE_PROTO,
};

/* The kind of address that the qualifiers ask for. */
enum filter_family { FAMILY_ANY, FAMILY_IPV4, FAMILY_IPV6, FAMILY_ETHER };

struct filter_walk {
	pcap_t *pcap;
	const char *filter; /* all of it */
	const struct filter_scope *scope;
	struct err *err;
	struct buf out;
	enum filter_role role;
	enum filter_family family;
	bool is_qualified;    /* a qualifier was there, now or before */
	bool is_head;	      /* the last word was a qualifier */
	bool is_left;	      /* the last word has names of its own */
	bool is_behind_value; /* the last word was a name or a number */
	const char *metadata; /* the first such word, or NULL */
};

#define AS_IT_IS (-1)

static const struct {
	const char *word;
	int role, family; /* or AS_IT_IS */
} qualifiers[] = {
    {"src", AS_IT_IS, AS_IT_IS},	  {"dst", AS_IT_IS, AS_IT_IS},
    {"host", ROLE_HOST, AS_IT_IS},	  {"net", ROLE_NET, AS_IT_IS},
    {"gateway", ROLE_GATEWAY, AS_IT_IS},  {"port", ROLE_PORT, AS_IT_IS},
    {"portrange", ROLE_PORT, AS_IT_IS},	  {"proto", ROLE_PROTO, AS_IT_IS},
    {"protochain", ROLE_PROTO, AS_IT_IS}, {"ether", AS_IT_IS, FAMILY_ETHER},
    {"link", AS_IT_IS, FAMILY_ETHER},	  {"fddi", AS_IT_IS, FAMILY_ETHER},
    {"tr", AS_IT_IS, FAMILY_ETHER},	  {"wlan", AS_IT_IS, FAMILY_ETHER},
    {"ip", AS_IT_IS, FAMILY_IPV4},	  {"arp", AS_IT_IS, FAMILY_IPV4},
    {"rarp", AS_IT_IS, FAMILY_IPV4},	  {"ip6", AS_IT_IS, FAMILY_IPV6},
};

/* The words behind these name no hosts. libpcap refuses each of them on
 * Ethernet, and gives the reason. */
static const char *const left_alone[] = {
    "type", "subtype", "dir", "direction", "on",   "ifname",	 "reason",
    "rset", "ruleset", "rnr", "rulenum",   "srnr", "subrulenum", "action",
};

/* Metadata of a live interface. */
static const char *const metadata[] = {"inbound", "outbound", "ifindex"};

/* --- files of names --------------------------------------------------------
 */

/* Whether the line has the name as its first word or, behind a number, as an
 * alias. */
static bool line_names(char *line, const char *name)
{
	char *rest, *word;
	bool is_number = false;

	line[strcspn(line, "#\n")] = '\0';
	for (word = strtok_r(line, " \t", &rest); word;
	     word = strtok_r(NULL, " \t", &rest)) {
		if (!is_number && word != line && strpbrk(word, "0123456789"))
			is_number = true;
		else if (!strcmp(word, name))
			return true;
	}
	return false;
}

static bool file_names(const char *path, const char *name)
{
	CLEANUP(file_closep) FILE *f = fopen(path, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (line_names(line, name))
			return true;
	return false;
}

/* Whether the name is a port, or two ports with a dash between. */
static bool is_port(const char *name)
{
	CLEANUP(free_ptr) char *first = mem_strdup(name);
	char *dash = strchr(first, '-');

	if (file_names(SERVICES, name))
		return true;
	if (!dash)
		return *name && !name[strspn(name, "0123456789")];
	*dash = '\0';
	return !strchr(dash + 1, '-') && is_port(first) && is_port(dash + 1);
}

/* --- hosts -----------------------------------------------------------------
 */

static int filter_refuse(struct filter_walk *w, const char *name,
			 const char *why)
{
	return err_set(w->err, -EINVAL, "filter '%s': '%s' %s", w->filter, name,
		       why);
}

static int filter_put_mac(struct filter_walk *w, const char *name,
			  const struct filter_host *h)
{
	if (!h->has_mac)
		return filter_refuse(w, name,
				     "has no MAC address on this network");
	for (size_t i = 0; i < sizeof(h->mac); i++)
		buf_printf(&w->out, "%s%02x", i ? ":" : "", h->mac[i]);
	return 0;
}

static int put_addresses(struct filter_walk *w, const char *name,
			 const struct filter_host *h)
{
	bool has4 = h->ip && w->family != FAMILY_IPV6;
	bool has6 = h->has_ip6 && w->family != FAMILY_IPV4;
	struct in_addr ip = {.s_addr = htonl(h->ip)};
	char four[INET_ADDRSTRLEN], six[INET6_ADDRSTRLEN];

	if (!has4 && !has6)
		return filter_refuse(w, name,
				     "has no such address on this network");
	inet_ntop(AF_INET, &ip, four, sizeof(four));
	inet_ntop(AF_INET6, h->ip6, six, sizeof(six));
	if (has4 && has6)
		buf_printf(&w->out, "(%s or %s)", four, six);
	else
		buf_printf(&w->out, "%s", has4 ? four : six);
	return 0;
}

static int put_host(struct filter_walk *w, const char *name)
{
	struct filter_host h = {0};

	if (!w->scope || !w->scope->find ||
	    !w->scope->find(w->scope->ctx, name, &h))
		return filter_refuse(
		    w, name,
		    "is the name of nobody on this network, and no "
		    "name is looked up elsewhere: give an address");
	return w->family == FAMILY_ETHER ? filter_put_mac(w, name, &h)
					 : put_addresses(w, name, &h);
}

/* --- words -----------------------------------------------------------------
 */

static int put_as_is(struct filter_walk *w, const struct filter_word *word)
{
	buf_append(&w->out, word->at, word->len);
	return 0;
}

/* Copies a name that libpcap looks for in a file of the host first. */
static int put_known(struct filter_walk *w, const struct filter_word *word,
		     const char *name)
{
	if (w->role == ROLE_PORT && !is_port(name))
		return filter_refuse(
		    w, name, "is no port of " SERVICES ": give its number");
	/* `ether proto` has a table in libpcap. */
	if (w->role == ROLE_PROTO && w->family != FAMILY_ETHER &&
	    !file_names(PROTOCOLS, name))
		return filter_refuse(w, name,
				     "is no protocol of " PROTOCOLS
				     ": give its number");
	return put_as_is(w, word);
}

static int filter_put_name(struct filter_walk *w,
			   const struct filter_word *word)
{
	CLEANUP(free_ptr)
	char *name = mem_strndup(word->at + word->is_escaped,
				 word->len - word->is_escaped);

	/* Without a qualifier, or behind a number, it is a syntax error. */
	if (w->is_left || !w->is_qualified || w->is_behind_value)
		return put_as_is(w, word);
	switch (w->role) {
	case ROLE_HOST:
		return put_host(w, name);
	case ROLE_NET:
		return filter_refuse(
		    w, name,
		    "would be looked up as the name of a network: "
		    "give its address, as in net 10.77.1.0/24");
	case ROLE_GATEWAY:
		return filter_refuse(
		    w, name,
		    "would be looked up as a gateway: say ether host "
		    "MAC and not host ADDRESS");
	case ROLE_PORT:
	case ROLE_PROTO:
		return put_known(w, word, name);
	}
	return -EINVAL;
}

/* A qualifier that follows no other begins a primitive. Other keywords do not
 * change the role of the names that follow. */
static void note_qualifier(struct filter_walk *w, int role, int family)
{
	if (!w->is_head) {
		w->role = ROLE_HOST;
		w->family = FAMILY_ANY;
	}
	if (role != AS_IT_IS)
		w->role = (enum filter_role)role;
	if (family != AS_IT_IS)
		w->family = (enum filter_family)family;
	w->is_head = true;
}

static void note_keyword(struct filter_walk *w, const struct filter_word *word)
{
	bool is_qualifier = false;

	w->is_qualified = true;
	w->is_left = false;
	for (size_t i = 0; i < ARRAY_LEN(qualifiers); i++)
		if (filter_word_is(word, qualifiers[i].word)) {
			note_qualifier(w, qualifiers[i].role,
				       qualifiers[i].family);
			is_qualifier = true;
		}
	w->is_head = is_qualifier;
	for (size_t i = 0; i < ARRAY_LEN(left_alone); i++)
		if (filter_word_is(word, left_alone[i]))
			w->is_left = true;
	for (size_t i = 0; i < ARRAY_LEN(metadata); i++)
		if (!w->metadata && filter_word_is(word, metadata[i]))
			w->metadata = metadata[i];
}

static int take_word(struct filter_walk *w, const struct filter_word *word)
{
	if (word->kind == FILTER_NAME) {
		int r = filter_put_name(w, word);

		w->is_head = w->is_left = false;
		w->is_behind_value = true;
		return r;
	}
	if (word->kind == FILTER_NO_ADDRESS)
		return filter_refuse(w, word->at, "begins with no address");
	if (word->kind == FILTER_KEYWORD)
		note_keyword(w, word);
	else if (!isspace((unsigned char)*word->at))
		w->is_head = w->is_left = false;
	if (!isspace((unsigned char)*word->at))
		w->is_behind_value = word->kind == FILTER_LITERAL;
	return put_as_is(w, word);
}

static int replace_names(struct filter_walk *w)
{
	struct filter_word word = filter_word(w->pcap, w->filter);
	int r = 0;

	while (r == 0 && word.kind != FILTER_END) {
		r = take_word(w, &word);
		word = filter_word(w->pcap, word.at + word.len);
	}
	buf_append(&w->out, "", 1);
	return r;
}

/* --- the code --------------------------------------------------------------
 */

static bool loads_metadata(const struct bpf_program *code)
{
	for (u_int i = 0; i < code->bf_len; i++) {
		const struct bpf_insn *in = &code->bf_insns[i];

		if (BPF_CLASS(in->code) == BPF_LD &&
		    BPF_MODE(in->code) == BPF_ABS && in->k > INT32_MAX)
			return true;
	}
	return false;
}

static int compile(struct filter_walk *w, struct bpf_program *ret)
{
	bpf_u_int32 netmask = w->scope && w->scope->netmask
				  ? w->scope->netmask
				  : PCAP_NETMASK_UNKNOWN;

	if (pcap_compile(w->pcap, ret, (const char *)buf_data(&w->out), 1,
			 netmask) < 0)
		return err_set(w->err, -EINVAL, "filter '%s': %s", w->filter,
			       pcap_geterr(w->pcap));
	if (!loads_metadata(ret))
		return 0;
	pcap_freecode(ret);
	return filter_refuse(
	    w, w->metadata ? w->metadata : "an offset below zero",
	    "is known only of a live interface, so no frame can "
	    "match: filter by addresses, as in ether src MAC");
}

int filter_compile(pcap_t *pcap, const char *text,
		   const struct filter_scope *scope, struct bpf_program *ret,
		   struct err *err)
{
	struct filter_walk w = {
	    .pcap = pcap, .filter = text, .scope = scope, .err = err};
	int r = replace_names(&w);

	if (r == 0)
		r = compile(&w, ret);
	buf_done(&w.out);
	return r;
}
