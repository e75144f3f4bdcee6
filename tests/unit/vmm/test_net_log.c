/* SPDX-License-Identifier: MIT */
#include "vmm/net/bridge_log.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "tests/unit/tmp.h"
#include "tests/unit/vmm/lib_frames.h"
#include "tests/unit/vmm/lib_peer.h"
#include "vmm/net/wire.h"
#include "vmm/store.h"

struct fix {
	char dir[TMP_PATH_MAX];
	struct loop *loop;
	struct net *net;
	struct bridge *b;
	struct port *p;
	int fd;
};

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));
	struct err err;

	tmp_template(f->dir);
	assert_non_null(mkdtemp(f->dir));
	f->loop = loop_new(&err);
	f->net = net_new(f->loop, "/tmp");
	f->b = bridge_new(f->net, "my lan", &err);
	f->p = bridge_attach(f->b, "a", &err);
	assert_int_equal(0, port_plug(f->p, &f->fd, &err));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	bridge_free(f->b);
	net_free(f->net);
	loop_free(f->loop);
	close(f->fd);
	store_remove(f->dir);
	free(f);
	return 0;
}

static void say(struct fix *f, uint8_t id, size_t n_payload)
{
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
	uint8_t frame[2048];
	size_t n = frame_plain(frame, all, port_mac(f->p), id, n_payload);

	assert_int_equal(n, peer_send(f->fd, frame, n));
	loop_poll(f->loop);
}

/* The packets in a file, by libpcap; -1: it is none. */
static long packets_in(struct fix *f, const char *name)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", f->dir, name);
	char why[PCAP_ERRBUF_SIZE];
	pcap_t *p = pcap_open_offline(path, why);
	struct pcap_pkthdr *head;
	const u_char *data;
	long n = 0;
	int r;

	if (!p)
		return -1;
	while ((r = pcap_next_ex(p, &head, &data)) == 1)
		n++;
	pcap_close(p);
	return r == PCAP_ERROR_BREAK ? n : -1;
}

static void what_passes_is_kept_until_the_end(void **state)
{
	struct fix *f = *state;
	struct err err;

	say(f, 1, 46);
	assert_int_equal(bridge_log(f->b, f->dir, &err), 0);
	say(f, 2, 46);
	say(f, 3, 46);
	f->b = bridge_free(f->b);
	assert_int_equal(packets_in(f, "my_lan.pcap"), 2);
	assert_int_equal(packets_in(f, "my_lan.old.pcap"), -1);
}

static void bridges_of_a_name_have_files_of_their_own(void **state)
{
	struct fix *f = *state;
	struct err err;
	struct bridge *twin = bridge_new(f->net, "my.lan", &err);

	assert_int_equal(bridge_log(f->b, f->dir, &err), 0);
	assert_int_equal(bridge_log(twin, f->dir, &err), 0);
	say(f, 1, 46);
	bridge_free(twin);
	f->b = bridge_free(f->b);
	assert_int_equal(packets_in(f, "my_lan.pcap"), 1);
	assert_int_equal(packets_in(f, "my_lan-2.pcap"), 0);
}

struct told {
	uint64_t n;
	uint8_t first; /* id of the first packet */
	uint8_t last;
	int64_t at_ns; /* of the last one */
};

static void on_told(void *ctx, int64_t realtime_ns, const uint8_t *frame,
		    size_t n)
{
	struct told *t = ctx;
	uint8_t id = frame[n - 1];

	if (!t->n++)
		t->first = id;
	t->last = id;
	t->at_ns = realtime_ns;
}

static void the_last_packets_are_told_while_the_bridge_lives(void **state)
{
	struct fix *f = *state;
	struct told all = {0}, some = {0}, none = {0};
	struct err err;
	int64_t before_ns = clock_realtime_ns(), after_ns;

	assert_int_equal(bridge_log_last(f->b, 0, 9, on_told, &none), 0);
	assert_int_equal(bridge_log(f->b, f->dir, &err), 0);
	for (uint8_t id = 1; id <= 5; id++)
		say(f, id, 46);
	after_ns = clock_realtime_ns() + NS_PER_SEC;
	assert_int_equal(bridge_log_last(f->b, before_ns, 9, on_told, &all), 0);
	assert_int_equal(all.n, 5);
	assert_int_equal(all.first, 1);
	assert_int_equal(all.last, 5);
	assert_true(all.at_ns >= before_ns - NS_PER_US);
	assert_true(all.at_ns < after_ns);
	assert_int_equal(bridge_log_last(f->b, before_ns, 2, on_told, &some),
			 3);
	assert_int_equal(some.n, 2);
	assert_int_equal(some.first, 4);
	assert_int_equal(bridge_log_last(f->b, after_ns, 9, on_told, &none), 0);
	assert_int_equal(none.n, 0);
	/* What comes later is logged as before. */
	say(f, 6, 46);
	f->b = bridge_free(f->b);
	assert_int_equal(packets_in(f, "my_lan.pcap"), 6);
}

static void only_the_last_of_many_packets_are_kept(void **state)
{
	struct fix *f = *state;
	unsigned n = 3 * BRIDGE_LOG_MAX / 1400 + 10;
	CLEANUP(free_ptr) char *path = mem_printf("%s/my_lan.pcap", f->dir);
	CLEANUP(free_ptr) char *old = mem_printf("%s/my_lan.old.pcap", f->dir);
	struct stat st;
	struct err err;

	struct told told = {0};

	assert_int_equal(bridge_log(f->b, f->dir, &err), 0);
	for (unsigned i = 0; i < n; i++)
		say(f, (uint8_t)i, 1400);
	/* More than one file holds. */
	assert_true(bridge_log_last(f->b, 0, 6000, on_told, &told) > 0);
	assert_int_equal(told.n, 6000);
	assert_int_equal(told.last, (uint8_t)(n - 1));
	f->b = bridge_free(f->b);
	assert_true(packets_in(f, "my_lan.pcap") > 0);
	assert_true(packets_in(f, "my_lan.old.pcap") > 1000);
	assert_int_equal(stat(path, &st), 0);
	assert_in_range(st.st_size, 1, BRIDGE_LOG_MAX + 4096);
	assert_int_equal(stat(old, &st), 0);
	assert_in_range(st.st_size, BRIDGE_LOG_MAX / 2, BRIDGE_LOG_MAX + 4096);
}

static void a_place_that_is_none_is_an_error(void **state)
{
	struct fix *f = *state;
	struct err err = {0};

	assert_int_equal(bridge_log(f->b, "/nonexistent", &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/my_lan.pcap"));
	say(f, 1, 46);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(what_passes_is_kept_until_the_end),
	    T(the_last_packets_are_told_while_the_bridge_lives),
	    T(bridges_of_a_name_have_files_of_their_own),
	    T(only_the_last_of_many_packets_are_kept),
	    T(a_place_that_is_none_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
