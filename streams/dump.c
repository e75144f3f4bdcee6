/* SPDX-License-Identifier: MIT */
#include "streams/dump.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent-proto/clock.h"

static ssize_t on_write(void *cookie, const char *p, size_t n)
{
	struct dump *d = cookie;

	buf_append(&d->out, p, n);
	return (ssize_t)n;
}

static int open_dumper(struct dump *d)
{
	FILE *f = fopencookie(d, "w",
			      (cookie_io_functions_t){
				  .write = on_write,
			      });

	if (!f)
		return -errno;
	/* A record is complete once pcap_dump() has returned. */
	setvbuf(f, NULL, _IONBF, 0);
	/* Writes the header; f is its from here on. */
	d->dumper = pcap_dump_fopen(d->pcap, f);
	return d->dumper ? 0 : -EIO;
}

int dump_init(struct dump *d, const char *filter,
	      const struct filter_scope *scope, uint32_t snaplen,
	      struct err *err)
{
	int code;

	*d = (struct dump){.snaplen = snaplen};
	d->pcap = pcap_open_dead(DLT_EN10MB, (int)snaplen);
	if (!d->pcap)
		return err_set(err, -ENOMEM, "cannot start libpcap");
	if (filter) {
		code = filter_compile(d->pcap, filter, scope, &d->filter, err);
		if (code < 0)
			return code;
		d->has_filter = true;
	}
	code = open_dumper(d);
	if (code < 0)
		return err_set(err, code, "cannot start libpcap: %s",
			       strerror(-code));
	return 0;
}

void dump_done(struct dump *d)
{
	if (d->dumper)
		pcap_dump_close(d->dumper);
	if (d->has_filter)
		pcap_freecode(&d->filter);
	if (d->pcap)
		pcap_close(d->pcap);
	buf_done(&d->out);
	*d = (struct dump){0};
}

bool dump_packet(struct dump *d, int64_t realtime_ns, const void *frame,
		 size_t n)
{
	struct pcap_pkthdr h = {
	    .ts.tv_sec = realtime_ns / NS_PER_SEC,
	    .ts.tv_usec = realtime_ns % NS_PER_SEC / NS_PER_US,
	    .caplen = (bpf_u_int32)n,
	    .len = (bpf_u_int32)n,
	};

	/* It judges the whole packet, whatever is kept of it. */
	if (d->has_filter && !pcap_offline_filter(&d->filter, &h, frame))
		return false;
	if (h.caplen > d->snaplen)
		h.caplen = d->snaplen;
	buf_reset(&d->out);
	pcap_dump((u_char *)d->dumper, &h, frame);
	return true;
}
