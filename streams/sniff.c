/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: the ring is the kernel's promise, so it is large, is
 * read in bounded steps from the loop, and its count of lost packets is looked
 * at after each step that found much: a capture that has a hole says so and
 * ends, for it would otherwise look like a network that loses packets.
 */
#include "streams/sniff.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"

/* Asked for the losses at the latest after so many packets: it is a system
 * call, and counts what was lost since it was asked for before. */
#define STATS_EVERY 16u

struct sniff {
	struct loop *loop;
	const struct sniff_events *events;
	void *ctx;
	pcap_t *pcap;
	char *interface;
	struct watch *watch;
	bool is_busy;	/* handing over: its memory stays */
	bool is_closed; /* meanwhile */
};

static int sniff_fail(const struct sniff *s, int code, struct err *err)
{
	const char *why = pcap_geterr(s->pcap);

	if (code == PCAP_ERROR_PERM_DENIED)
		return err_set(err, -EPERM,
			       "cannot capture on '%s': no CAP_NET_RAW in this "
			       "network namespace",
			       s->interface);
	return err_set(err, -EIO, "cannot capture on '%s': %s", s->interface,
		       why && *why ? why : pcap_statustostr(code));
}

static int sniff_set_up(struct sniff *s, bool is_promiscuous, struct err *err)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	int r;

	s->pcap = pcap_create(s->interface, why);
	if (!s->pcap)
		return err_set(err, -EIO, "cannot capture on '%s': %s",
			       s->interface, why);
	pcap_set_snaplen(s->pcap, SNIFF_SNAPLEN);
	pcap_set_promisc(s->pcap, is_promiscuous);
	pcap_set_immediate_mode(s->pcap, 1);
	pcap_set_buffer_size(s->pcap, SNIFF_RING_BYTES);
	pcap_set_tstamp_precision(s->pcap, PCAP_TSTAMP_PRECISION_NANO);
	r = pcap_activate(s->pcap);
	if (r < 0)
		return sniff_fail(s, r, err);
	if (pcap_setnonblock(s->pcap, 1, why) < 0 ||
	    pcap_get_selectable_fd(s->pcap) < 0)
		return err_set(err, -EIO, "cannot capture on '%s': %s",
			       s->interface, why);
	return 0;
}

static void tell_losses(struct sniff *s)
{
	struct pcap_stat st = {0};
	struct err err;

	if (pcap_stats(s->pcap, &st) < 0 || !st.ps_drop)
		return;
	err_set(&err, -ENOBUFS,
		"the capture of '%s' has a hole: %u packets came faster than "
		"they were read",
		s->interface, st.ps_drop);
	s->watch = watch_free(s->watch);
	s->events->broken(s->ctx, &err);
}

/* One packet; 1, 0: there is none, or an error that was told. */
static int sniff_hand_over(struct sniff *s)
{
	struct pcap_pkthdr *head;
	const u_char *p;
	struct err err;
	int r = pcap_next_ex(s->pcap, &head, &p);

	if (r == 0)
		return 0;
	if (r < 0) {
		sniff_fail(s, r, &err);
		s->watch = watch_free(s->watch);
		s->events->broken(s->ctx, &err);
		return -1;
	}
	/* With that precision tv_usec has nanoseconds. */
	s->events->packet(
	    s->ctx, (int64_t)head->ts.tv_sec * NS_PER_SEC + head->ts.tv_usec, p,
	    head->caplen);
	return 1;
}

static void sniff_destroy(struct sniff *s)
{
	if (s->pcap)
		pcap_close(s->pcap);
	free(s->interface);
	free(s);
}

static void hand_over_some(struct sniff *s, unsigned max)
{
	unsigned n = 0;
	int r = 1;

	if (s->is_busy || !s->watch)
		return;
	s->is_busy = true;
	while (n < max && !s->is_closed && (r = sniff_hand_over(s)) > 0)
		n++;
	if (!s->is_closed && r >= 0 && n >= STATS_EVERY)
		tell_losses(s);
	s->is_busy = false;
	if (s->is_closed)
		sniff_destroy(s);
}

static void sniff_on_ready(void *ctx, int fd, unsigned ready)
{
	(void)fd;
	(void)ready;
	hand_over_some(ctx, SNIFF_BATCH);
}

void sniff_poll(struct sniff *s)
{
	hand_over_some(s, SNIFF_RING_BYTES / 64);
}

struct sniff *sniff_open(struct loop *l, const char *interface,
			 bool is_promiscuous, const struct sniff_events *events,
			 void *ctx, struct err *err)
{
	struct sniff *s = mem_zalloc(sizeof(*s));

	s->loop = l;
	s->events = events;
	s->ctx = ctx;
	s->interface = mem_strdup(interface);
	if (sniff_set_up(s, is_promiscuous, err) < 0)
		return sniff_close(s);
	s->watch =
	    watch_new(l, pcap_get_selectable_fd(s->pcap), sniff_on_ready, s);
	watch_set(s->watch, LOOP_READ);
	return s;
}

struct sniff *sniff_close(struct sniff *s)
{
	if (!s)
		return NULL;
	s->watch = watch_free(s->watch);
	/* A packet that is being handed over is in its ring. */
	if (s->is_busy)
		s->is_closed = true;
	else
		sniff_destroy(s);
	return NULL;
}
