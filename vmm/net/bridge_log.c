/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. Records gather in memory and are written when the last
 * time is some milliseconds ago: a process that crashes loses little, and a
 * flood of packets does not cost a system call each. The log is there to
 * explain failures: that it cannot be written any more fails nothing.
 */
#include "vmm/net/bridge_log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "streams/capture.h"
#include "streams/disk_err.h"
#include "streams/dump.h"
#include "streams/io.h"
#include "streams/sniff.h"
#include "vmm/net/bridge_private.h"

#define WRITE_NS    (10 * NS_PER_MS)
#define WRITE_BYTES (64u << 10)
#define NAMES_MAX   1000
#define NAME_BYTES  64

struct bridge_log {
	struct vtap tap;
	bool has_tap;	     /* it listens to the switch */
	struct sniff *sniff; /* or to a bridge of the kernel's */
	char *stem;	     /* path without ".pcap" */
	struct dump dump;
	struct buf header;  /* of the file */
	struct buf pending; /* not yet written */
	int fd;		    /* -1: it cannot be written any more */
	size_t n_written;
	int64_t written_ns;
};

static char *path_of(const struct bridge_log *l, const char *suffix)
{
	return mem_printf("%s%s.pcap", l->stem, suffix);
}

static void bridge_log_end_file(struct bridge_log *l)
{
	fd_closep(&l->fd);
	l->fd = -1;
}

static void write_out(struct bridge_log *l)
{
	size_t n = l->pending.len;

	if (l->fd >= 0 && n && io_write(l->fd, buf_data(&l->pending), n) < 0)
		bridge_log_end_file(l);
	l->n_written += n;
	buf_reset(&l->pending);
}

static int bridge_log_open_file(struct bridge_log *l)
{
	CLEANUP(free_ptr) char *path = path_of(l, "");

	l->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (l->fd < 0)
		return -errno;
	l->n_written = 0;
	buf_append(&l->pending, buf_data(&l->header), l->header.len);
	return 0;
}

static void begin_anew(struct bridge_log *l)
{
	CLEANUP(free_ptr) char *path = path_of(l, "");
	CLEANUP(free_ptr) char *old = path_of(l, ".old");

	bridge_log_end_file(l);
	if (rename(path, old) == 0)
		bridge_log_open_file(l);
}

static void bridge_log_on_packet(void *ctx, int64_t realtime_ns, const void *p,
				 size_t n)
{
	struct bridge_log *l = ctx;

	if (l->fd < 0)
		return;
	dump_packet(&l->dump, realtime_ns, p, n);
	buf_append(&l->pending, buf_data(&l->dump.out), l->dump.out.len);
	if (l->n_written + l->pending.len >= BRIDGE_LOG_MAX) {
		write_out(l);
		begin_anew(l);
		return;
	}
	int64_t now = clock_now_ns();
	if (now - l->written_ns < WRITE_NS && l->pending.len < WRITE_BYTES)
		return;
	write_out(l);
	l->written_ns = now;
}

static void bridge_log_on_seen(void *ctx, const struct frame *f)
{
	bridge_log_on_packet(ctx, clock_realtime_ns(), f->data, f->len);
}

/* It explains failures: that it has a hole is none. */
static void bridge_log_on_broken(void *ctx, const struct err *err)
{
	struct bridge_log *l = ctx;

	(void)err;
	l->sniff = sniff_close(l->sniff);
}

static const struct sniff_events sniff_events = {bridge_log_on_packet,
						 bridge_log_on_broken};

/* A stem that no other log has; the file is made. */
static int claim_stem(struct bridge_log *l, const char *dir, const char *name,
		      struct err *err)
{
	char safe[NAME_BYTES];
	size_t n = strnlen(name, sizeof(safe) - 1);
	int r = -EEXIST;

	for (size_t i = 0; i < n; i++)
		safe[i] = isalnum((unsigned char)name[i]) ? name[i] : '_';
	safe[n] = '\0';
	for (int i = 1; r == -EEXIST && i <= NAMES_MAX; i++) {
		free(l->stem);
		l->stem = i == 1 ? mem_printf("%s/%s", dir, safe)
				 : mem_printf("%s/%s-%d", dir, safe, i);
		r = bridge_log_open_file(l);
	}
	if (r < 0)
		return disk_err(err, r, l->stem, "cannot create '%s.pcap'",
				l->stem);
	return 0;
}

int bridge_log(struct bridge *b, const char *dir, struct err *err)
{
	struct bridge_log *l = mem_zalloc(sizeof(*l));
	int r;

	l->fd = -1;
	l->tap = (struct vtap){.seen = bridge_log_on_seen, .ctx = l};
	r = dump_init(&l->dump, NULL, NULL, CAPTURE_SNAPLEN, err);
	if (r == 0) {
		buf_append(&l->header, buf_data(&l->dump.out), l->dump.out.len);
		r = claim_stem(l, dir, b->name, err);
	}
	if (r == 0 && b->kernel) {
		l->sniff = sniff_open(b->loop, kernel_bridge_interface(b), true,
				      &sniff_events, l, err);
		r = l->sniff ? 0 : err->code;
	}
	if (r < 0) {
		bridge_log_free(l, NULL);
		return r;
	}
	if (!l->sniff)
		vswitch_tap(b->sw, &l->tap);
	l->has_tap = !l->sniff;
	b->log = l;
	return 0;
}

void bridge_log_paths(const struct bridge *b, struct strvec *paths)
{
	static const char *const suffixes[] = {".old", ""};

	for (size_t i = 0; b->log && i < ARRAY_LEN(suffixes); i++) {
		CLEANUP(free_ptr) char *path = path_of(b->log, suffixes[i]);

		if (access(path, F_OK) == 0)
			strvec_add(paths, path);
	}
}

/* Goes on in one file: skips *skip packets, tells the others, or counts them
 * where tell is NULL. A file that cannot be read holds no packet. */
static uint64_t bridge_log_read_file(const char *path, int64_t since_ns,
				     uint64_t *skip, bridge_log_cb tell,
				     void *ctx)
{
	char why[PCAP_ERRBUF_SIZE];
	pcap_t *p = pcap_open_offline(path, why);
	struct pcap_pkthdr *head;
	const u_char *data;
	uint64_t n = 0;

	while (p && pcap_next_ex(p, &head, &data) == 1) {
		int64_t at_ns = (int64_t)head->ts.tv_sec * NS_PER_SEC +
				(int64_t)head->ts.tv_usec * NS_PER_US;

		if (at_ns < since_ns)
			continue;
		n++;
		if (*skip)
			--*skip;
		else if (tell)
			tell(ctx, at_ns, data, head->caplen);
	}
	if (p)
		pcap_close(p);
	return n;
}

static uint64_t bridge_log_read_files(const struct bridge_log *l,
				      int64_t since_ns, uint64_t skip,
				      bridge_log_cb tell, void *ctx)
{
	CLEANUP(free_ptr) char *old = path_of(l, ".old");
	CLEANUP(free_ptr) char *path = path_of(l, "");
	uint64_t n = bridge_log_read_file(old, since_ns, &skip, tell, ctx);

	return n + bridge_log_read_file(path, since_ns, &skip, tell, ctx);
}

uint64_t bridge_log_last(struct bridge *b, int64_t since_ns, uint64_t max,
			 bridge_log_cb tell, void *ctx)
{
	struct bridge_log *l = b->log;
	uint64_t n, skip;

	if (!l)
		return 0;
	if (l->sniff)
		sniff_poll(l->sniff);
	write_out(l);
	/* A record has microseconds. */
	since_ns -= since_ns % NS_PER_US;
	n = bridge_log_read_files(l, since_ns, 0, NULL, NULL);
	skip = n > max ? n - max : 0;
	bridge_log_read_files(l, since_ns, skip, tell, ctx);
	return skip;
}

struct bridge_log *bridge_log_free(struct bridge_log *l, struct vswitch *sw)
{
	if (!l)
		return NULL;
	if (l->sniff)
		sniff_poll(l->sniff);
	l->sniff = sniff_close(l->sniff);
	if (sw && l->has_tap)
		vswitch_untap(sw, &l->tap);
	write_out(l);
	fd_closep(&l->fd);
	dump_done(&l->dump);
	buf_done(&l->header);
	buf_done(&l->pending);
	free(l->stem);
	free(l);
	return NULL;
}
