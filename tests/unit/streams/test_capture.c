/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pcap/pcap.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "streams/capture.h"
#include "tests/unit/tmp.h"

#define FILE_HEADER_SIZE   24
#define RECORD_HEADER_SIZE 16
/* Some day in 2023, with more digits than a pcap file has. */
#define SOME_TIME_NS INT64_C(1700000000123456789)

struct fixture {
	char dir[TMP_PATH_MAX];
	struct loop *loop;
	struct stream_list list;
	struct stream *stream;
	struct capture *capture; /* NULL: closed */
	int closed;
	struct stream_wait w;
	struct buf got;
	/* What libpcap itself writes for the same packets. */
	char *want;
	size_t want_n;
	FILE *want_file;
	pcap_t *pcap;
	pcap_dumper_t *dumper;
	uint32_t n_packets;
	uint8_t frame[70000];
};

/* --- fixture ------------------------------------------------------------- */

static void on_closed(void *ctx, struct capture *c)
{
	struct fixture *f = ctx;

	assert_ptr_equal(c, f->capture);
	f->capture = NULL;
	f->closed++;
}

static struct stream *try_open(struct fixture *f, const char *filter,
			       uint32_t snaplen, struct err *err)
{
	const struct capture_options o = {.filter = filter, .snaplen = snaplen};
	const struct stream_label label = {.kind = "bridge_capture",
					   .detail = "lan",
					   .file = "a.test.lua",
					   .line = 7,
					   .test = "t"};

	return capture_new(f->loop, &o, f->dir, &label, &f->list, on_closed, f,
			   &f->capture, err);
}

static void open_capture(struct fixture *f, const char *filter,
			 uint32_t snaplen)
{
	struct err err;

	f->stream = try_open(f, filter, snaplen, &err);
	assert_non_null(f->stream);
	stream_wait_init(&f->w, f->stream);
	f->pcap = pcap_open_dead(DLT_EN10MB, (int)(snaplen ? snaplen : 65535));
	f->want_file = open_memstream(&f->want, &f->want_n);
	f->dumper = pcap_dump_fopen(f->pcap, f->want_file);
	assert_non_null(f->dumper);
}

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	struct err err;

	tmp_template(f->dir);
	assert_non_null(mkdtemp(f->dir));
	f->loop = loop_new(&err);
	TAILQ_INIT(&f->list);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->stream) {
		stream_wait_done(&f->w);
		stream_free(f->stream);
		assert_int_equal(f->closed, 1);
		pcap_dump_close(f->dumper);
		pcap_close(f->pcap);
		free(f->want);
	}
	assert_null(f->capture);
	assert_true(TAILQ_EMPTY(&f->list));
	loop_free(f->loop);
	buf_done(&f->got);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

/* --- packets ------------------------------------------------------------- */

static int64_t time_of(uint32_t i)
{
	return SOME_TIME_NS + i * INT64_C(1234567);
}

/* An IPv4 packet of that protocol, from one made-up host to another. */
static void make_frame(struct fixture *f, size_t n, uint8_t protocol)
{
	static const uint8_t head[] = {
	    0x52, 0x54, 0,    0,  1, 11, 0x52, 0x54, 0, 0, 1,  10,
	    8,	  0,	0x45, 0,  0, 0,	 0,    0,    0, 0, 64, 0,
	    0,	  0,	10,   77, 1, 10, 10,   77,   1, 11};

	for (size_t i = sizeof(head); i < n; i++)
		f->frame[i] = (uint8_t)(i + f->n_packets);
	memcpy(f->frame, head, n < sizeof(head) ? n : sizeof(head));
	f->frame[23] = protocol;
}

/* The frame, as packet number i, to the capture alone. */
static void give(struct fixture *f, size_t n)
{
	capture_packet(f->capture, time_of(f->n_packets), f->frame, n);
}

/* The same for libpcap. */
static void expect_packet(struct fixture *f, size_t n, size_t caplen)
{
	const struct pcap_pkthdr h = {
	    .ts.tv_sec = time_of(f->n_packets) / NS_PER_SEC,
	    .ts.tv_usec = time_of(f->n_packets) % NS_PER_SEC / NS_PER_US,
	    .caplen = (bpf_u_int32)caplen,
	    .len = (bpf_u_int32)n,
	};

	pcap_dump((u_char *)f->dumper, &h, f->frame);
}

static void packet(struct fixture *f, size_t n)
{
	make_frame(f, n, 17);
	expect_packet(f, n, n > 65535 ? 65535 : n);
	give(f, n);
	f->n_packets++;
}

static size_t size_of(uint32_t i)
{
	return 34 + i * 7919 % 1481;
}

static void many_packets(struct fixture *f, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		packet(f, size_of(f->n_packets));
}

/* --- reading ------------------------------------------------------------- */

static bool next(struct fixture *f)
{
	stream_next(&f->w, 0);
	if (op_wait(&f->w.op) <= 0)
		return false;
	buf_append(&f->got, buf_data(&f->w.bytes), f->w.bytes.len);
	return true;
}

static void read_all(struct fixture *f)
{
	while (next(f))
		;
	assert_int_equal(f->w.op.result, 0);
}

static void take_frames(struct fixture *f)
{
	for (size_t i = 0; i < f->w.n_frames; i++)
		buf_append(&f->got, buf_data(&f->w.frames[i]),
			   f->w.frames[i].len);
}

static void check_got(struct fixture *f)
{
	pcap_dump_flush(f->dumper);
	assert_int_equal(f->got.len, f->want_n);
	/* Not assert_memory_equal(), which would print every difference. */
	assert_int_equal(memcmp(buf_data(&f->got), f->want, f->want_n), 0);
}

/* What was got is the first of what libpcap writes, and whole records. */
static size_t check_got_begins(struct fixture *f)
{
	size_t at = FILE_HEADER_SIZE, n = 0;
	uint32_t caplen;

	pcap_dump_flush(f->dumper);
	assert_true(f->got.len < f->want_n);
	assert_int_equal(memcmp(buf_data(&f->got), f->want, f->got.len), 0);
	for (; at < f->got.len; n++) {
		memcpy(&caplen, buf_data(&f->got) + at + 8, sizeof(caplen));
		at += RECORD_HEADER_SIZE + caplen;
	}
	assert_int_equal(at, f->got.len);
	return n;
}

/* --- the format ---------------------------------------------------------- */

static void an_empty_capture_is_a_valid_file(void **state)
{
	struct fixture *f = *state;
	char errbuf[PCAP_ERRBUF_SIZE];
	const u_char *data;
	struct pcap_pkthdr *h;

	open_capture(f, NULL, 0);
	read_all(f);
	assert_int_equal(f->got.len, FILE_HEADER_SIZE);
	check_got(f);
	FILE *file = fmemopen(buf_data(&f->got), f->got.len, "r");
	pcap_t *p = pcap_fopen_offline(file, errbuf);
	assert_non_null(p);
	assert_int_equal(pcap_snapshot(p), 65535);
	assert_int_equal(pcap_datalink(p), DLT_EN10MB);
	assert_int_equal(pcap_next_ex(p, &h, &data), PCAP_ERROR_BREAK);
	pcap_close(p);
}

static void bytes_are_those_that_libpcap_writes(void **state)
{
	static const size_t sizes[] = {34,    60,    1514,  9014, 65534,
				       65535, 65536, 70000, 42};
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		packet(f, sizes[i]);
		read_all(f);
	}
	check_got(f);
}

static void a_frame_is_one_packet(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	many_packets(f, 5);
	stream_drain(&f->w, 0);
	assert_int_equal(op_wait(&f->w.op), 6);
	assert_int_equal(f->w.frames[0].len, FILE_HEADER_SIZE);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(f->w.frames[i + 1].len,
				 RECORD_HEADER_SIZE + size_of(i));
	take_frames(f);
	check_got(f);
}

static void libpcap_reads_it_back(void **state)
{
	struct fixture *f = *state;
	char errbuf[PCAP_ERRBUF_SIZE];
	const u_char *data;
	struct pcap_pkthdr *h;
	uint32_t n = 0;

	open_capture(f, NULL, 0);
	many_packets(f, 50);
	read_all(f);
	FILE *file = fmemopen(buf_data(&f->got), f->got.len, "r");
	pcap_t *p = pcap_fopen_offline(file, errbuf);
	assert_non_null(p);
	while (pcap_next_ex(p, &h, &data) == 1) {
		assert_int_equal(h->len, size_of(n));
		assert_int_equal(h->caplen, size_of(n));
		assert_int_equal(h->ts.tv_sec, time_of(n) / NS_PER_SEC);
		assert_int_equal(h->ts.tv_usec,
				 time_of(n) % NS_PER_SEC / NS_PER_US);
		assert_int_equal(data[12], 8);
		n++;
	}
	assert_int_equal(n, 50);
	pcap_close(p);
}

static void snaplen_cuts_the_bytes_and_keeps_the_length(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 96);
	for (size_t n = 94; n < 99; n++) {
		make_frame(f, n, 1);
		expect_packet(f, n, n < 96 ? n : 96);
		give(f, n);
		f->n_packets++;
	}
	read_all(f);
	check_got(f);
}

static void snaplen_above_the_limit_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_null(try_open(f, NULL, 65536, &err));
	assert_int_equal(err.code, -EINVAL);
	assert_non_null(strstr(err.text, "65536"));
	assert_non_null(strstr(err.text, "65535"));
}

/* --- filters ------------------------------------------------------------- */

static void a_filter_lets_only_its_packets_through(void **state)
{
	static const uint8_t protocols[] = {1, 17, 6, 1, 17, 1};
	struct fixture *f = *state;

	open_capture(f, "icmp and host 10.77.1.11", 0);
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		make_frame(f, 98, protocols[i]);
		if (protocols[i] == 1)
			expect_packet(f, 98, 98);
		give(f, 98);
		f->n_packets++;
	}
	read_all(f);
	check_got(f);
	assert_int_equal(f->got.len,
			 FILE_HEADER_SIZE + 3 * (RECORD_HEADER_SIZE + 98));
}

static void a_filter_sees_what_snaplen_cuts_off(void **state)
{
	struct fixture *f = *state;

	open_capture(f, "ether[1000] = 0x77", 60);
	make_frame(f, 1200, 17);
	f->frame[1000] = 0x76;
	give(f, 1200);
	f->frame[1000] = 0x77;
	expect_packet(f, 1200, 60);
	give(f, 1200);
	read_all(f);
	check_got(f);
}

static void a_bad_filter_is_told_in_libpcaps_words(void **state)
{
	static const char *const bad[] = {"icmpp", "host", "port 99999",
					  "tcp and", "vlan 70000 foo"};
	struct fixture *f = *state;
	struct bpf_program prog;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		pcap_t *p = pcap_open_dead(DLT_EN10MB, 65535);

		assert_int_equal(
		    pcap_compile(p, &prog, bad[i], 1, PCAP_NETMASK_UNKNOWN),
		    -1);
		assert_null(try_open(f, bad[i], 0, &err));
		assert_int_equal(err.code, -EINVAL);
		assert_non_null(strstr(err.text, bad[i]));
		assert_non_null(strstr(err.text, pcap_geterr(p)));
		pcap_close(p);
	}
}

/* --- slow readers -------------------------------------------------------- */

#define MANY 100000

static void a_slow_reader_gets_every_byte(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	many_packets(f, MANY);
	/* In memory is only what fits there. */
	assert_true(stream_bytes(f->stream) <= CAPTURE_MEMORY);
	read_all(f);
	check_got(f);
}

static void a_reader_may_come_and_go(void **state)
{
	struct fixture *f = *state;
	uint32_t rnd = 1;

	open_capture(f, NULL, 0);
	while (f->n_packets < 30000) {
		rnd = rnd * 1664525 + 1013904223;
		many_packets(f, rnd >> 16 & 1023);
		for (uint32_t k = rnd >> 22; k && next(f); k--)
			;
		assert_true(stream_bytes(f->stream) - stream_taken(f->stream) <=
			    CAPTURE_MEMORY);
	}
	read_all(f);
	check_got(f);
}

static void a_drain_gets_what_waits_on_disk(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	many_packets(f, 10000);
	stream_drain(&f->w, 0);
	assert_int_equal(op_wait(&f->w.op), 10001);
	take_frames(f);
	check_got(f);
}

/* More than one turn brings back. */
static void a_long_backlog_is_brought_in_turns(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	for (int i = 0; i < 1400; i++)
		packet(f, 65535);
	capture_end(f->capture);
	stream_drain(&f->w, CLOCK_NEVER);
	assert_false(op_is_done(&f->w.op));
	assert_int_equal(op_wait(&f->w.op), 1401);
	take_frames(f);
	check_got(f);
	assert_true(stream_eof(f->stream));
}

/* What comes while older packets are still on disk goes behind them. */
static void order_is_kept_while_the_backlog_is_read(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	for (int i = 0; i < 1400; i++)
		packet(f, 65535);
	stream_drain(&f->w, CLOCK_NEVER);
	while (!op_is_done(&f->w.op)) {
		if (f->n_packets < 1500)
			packet(f, 60);
		else if (f->n_packets == 1500)
			capture_end(f->capture);
		loop_poll(f->loop);
	}
	take_frames(f);
	check_got(f);
}

static void a_search_goes_on_to_the_disk(void **state)
{
	static const uint8_t mark[] = "the last packet of all";
	struct stream_pattern pattern = {mark, sizeof(mark) - 1};
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	many_packets(f, 10000);
	make_frame(f, 100, 17);
	memcpy(f->frame + 40, mark, sizeof(mark) - 1);
	expect_packet(f, 100, 100);
	give(f, 100);
	stream_match(&f->w, "read_until", &pattern, 1, true, CLOCK_NEVER);
	assert_int_equal(op_wait(&f->w.op), 0);
	buf_append(&f->got, buf_data(&f->w.bytes), f->w.bytes.len);
	assert_true(stream_is_cut(f->stream));
	assert_true(next(f));
	assert_false(stream_is_cut(f->stream));
	check_got(f);
}

/* --- the end ------------------------------------------------------------- */

static void the_end_comes_behind_everything(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	many_packets(f, 3000);
	capture_end(f->capture);
	/* It is over: nothing more is taken. */
	make_frame(f, 60, 17);
	give(f, 60);
	assert_false(stream_eof(f->stream));
	read_all(f);
	check_got(f);
	assert_true(stream_eof(f->stream));
	assert_int_equal(f->closed, 0);
}

static void the_end_wakes_a_reader(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	read_all(f);
	stream_next(&f->w, CLOCK_NEVER);
	assert_false(op_is_done(&f->w.op));
	capture_end(f->capture);
	assert_true(op_is_done(&f->w.op));
	assert_int_equal(f->w.op.result, 0);
	assert_true(stream_eof(f->stream));
}

static void a_reason_comes_behind_everything(void **state)
{
	struct fixture *f = *state;
	struct err why;

	open_capture(f, NULL, 0);
	many_packets(f, 3000);
	err_set(&why, -ENOBUFS, "a hole");
	capture_break(f->capture, &why);
	capture_break(f->capture, &why);
	capture_end(f->capture);
	while (next(f))
		;
	assert_int_equal(-ENOBUFS, f->w.op.result);
	assert_string_equal("a hole", f->w.op.err.text);
	check_got(f);
}

static void on_look(void *ctx)
{
	packet(ctx, 60);
}

/* What is there, but was not read yet. */
static void a_reader_that_comes_makes_its_owner_look(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	capture_on_look(f->capture, on_look);
	stream_drain(&f->w, clock_now_ns());
	op_wait(&f->w.op);
	take_frames(f);
	check_got(f);
	assert_int_equal(1, f->n_packets);
	capture_end(f->capture);
	stream_drain(&f->w, clock_now_ns());
	op_wait(&f->w.op);
	assert_int_equal(1, f->n_packets);
}

/* Everything before it is read, then the reason is told, and told again. */
static void check_broken(struct fixture *f, int code, const char *text)
{
	many_packets(f, 10);
	while (next(f))
		;
	assert_int_equal(f->w.op.result, code);
	assert_non_null(strstr(f->w.op.err.text, text));
	assert_true(check_got_begins(f) > 1000);
	assert_false(next(f));
	assert_int_equal(f->w.op.result, code);
	assert_true(stream_eof(f->stream));
}

static void a_full_disk_breaks_it_behind_what_was_captured(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, tight;

	open_capture(f, NULL, 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = old;
	tight.rlim_cur = 1000000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	many_packets(f, 5000);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	check_broken(f, -EFBIG, strerror(EFBIG));
}

static void a_missing_spool_breaks_it_behind_what_was_captured(void **state)
{
	struct fixture *f = *state;
	char dir[TMP_PATH_MAX];

	memcpy(dir, f->dir, sizeof(dir));
	snprintf(f->dir, sizeof(f->dir), "/nonexistent/spool");
	open_capture(f, NULL, 0);
	memcpy(f->dir, dir, sizeof(dir));
	many_packets(f, 5000);
	check_broken(f, -ENOENT, "/nonexistent/spool");
}

/* --- closing ------------------------------------------------------------- */

static void check_closed(struct fixture *f)
{
	assert_int_equal(f->closed, 1);
	assert_true(TAILQ_EMPTY(&f->list));
	assert_true(stream_eof(f->stream));
	assert_false(next(f));
	assert_int_equal(f->w.op.result, 0);
	loop_poll(f->loop);
}

static void closing_drops_what_is_pending_and_on_disk(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	many_packets(f, 3000);
	assert_true(next(f));
	stream_close(f->stream);
	check_closed(f);
}

static void closing_before_any_packet(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	stream_close(f->stream);
	check_closed(f);
}

static void closing_after_the_end_is_told_too(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	many_packets(f, 3000);
	capture_end(f->capture);
	assert_int_equal(f->closed, 0);
	stream_close(f->stream);
	check_closed(f);
}

static void closing_while_the_backlog_is_brought(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	for (int i = 0; i < 1400; i++)
		packet(f, 65535);
	stream_drain(&f->w, CLOCK_NEVER);
	loop_poll(f->loop);
	stream_close(f->stream);
	assert_true(op_is_done(&f->w.op));
	check_closed(f);
}

static void close_when_done(struct op *op, void *ctx)
{
	struct fixture *f = ctx;

	(void)op;
	stream_close(f->stream);
}

static void closing_from_inside_a_packet(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	assert_true(next(f));
	f->w.op.on_done = close_when_done;
	f->w.op.done_ctx = f;
	stream_next(&f->w, CLOCK_NEVER);
	packet(f, 60);
	assert_null(f->capture);
	f->w.op.on_done = NULL;
	check_closed(f);
}

static void closing_from_inside_the_end(void **state)
{
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	f->w.op.on_done = close_when_done;
	f->w.op.done_ctx = f;
	stream_drain(&f->w, CLOCK_NEVER);
	capture_end(f->capture);
	f->w.op.on_done = NULL;
	check_closed(f);
}

static void closing_from_inside_a_delivery_of_the_backlog(void **state)
{
	static const uint8_t mark[] = "here";
	struct stream_pattern pattern = {mark, sizeof(mark) - 1};
	struct fixture *f = *state;

	open_capture(f, NULL, 0);
	for (int i = 0; i < 1300; i++)
		packet(f, 65535);
	make_frame(f, 100, 17);
	memcpy(f->frame + 40, mark, sizeof(mark) - 1);
	give(f, 100);
	many_packets(f, 1000);
	f->w.op.on_done = close_when_done;
	f->w.op.done_ctx = f;
	stream_match(&f->w, "expect", &pattern, 1, false, CLOCK_NEVER);
	assert_false(op_is_done(&f->w.op));
	assert_int_equal(op_wait(&f->w.op), 0);
	assert_null(f->capture);
	f->w.op.on_done = NULL;
	check_closed(f);
}

static void it_is_in_the_list_with_its_label_while_open(void **state)
{
	struct fixture *f = *state;
	const struct stream_label *label;

	open_capture(f, NULL, 0);
	assert_ptr_equal(TAILQ_FIRST(&f->list), f->stream);
	assert_int_equal(stream_type(f->stream), STREAM_CAPTURE);
	label = stream_label(f->stream);
	assert_string_equal(label->kind, "bridge_capture");
	assert_string_equal(label->detail, "lan");
	assert_string_equal(label->file, "a.test.lua");
	assert_int_equal(label->line, 7);
	capture_end(f->capture);
	assert_ptr_equal(TAILQ_FIRST(&f->list), f->stream);
	stream_close(f->stream);
	assert_null(TAILQ_FIRST(&f->list));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(an_empty_capture_is_a_valid_file),
	    T(bytes_are_those_that_libpcap_writes),
	    T(a_frame_is_one_packet),
	    T(libpcap_reads_it_back),
	    T(snaplen_cuts_the_bytes_and_keeps_the_length),
	    T(snaplen_above_the_limit_is_refused),
	    T(a_filter_lets_only_its_packets_through),
	    T(a_filter_sees_what_snaplen_cuts_off),
	    T(a_bad_filter_is_told_in_libpcaps_words),
	    T(a_slow_reader_gets_every_byte),
	    T(a_reader_may_come_and_go),
	    T(a_drain_gets_what_waits_on_disk),
	    T(a_long_backlog_is_brought_in_turns),
	    T(order_is_kept_while_the_backlog_is_read),
	    T(a_search_goes_on_to_the_disk),
	    T(the_end_comes_behind_everything),
	    T(the_end_wakes_a_reader),
	    T(a_reason_comes_behind_everything),
	    T(a_reader_that_comes_makes_its_owner_look),
	    T(a_full_disk_breaks_it_behind_what_was_captured),
	    T(a_missing_spool_breaks_it_behind_what_was_captured),
	    T(closing_drops_what_is_pending_and_on_disk),
	    T(closing_before_any_packet),
	    T(closing_after_the_end_is_told_too),
	    T(closing_while_the_backlog_is_brought),
	    T(closing_from_inside_a_packet),
	    T(closing_from_inside_the_end),
	    T(closing_from_inside_a_delivery_of_the_backlog),
	    T(it_is_in_the_list_with_its_label_while_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
