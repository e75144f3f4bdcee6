/* SPDX-License-Identifier: MIT */
/* The loopback of a network namespace of this test's own, on which nobody else
 * speaks; where it may not make one, each test says that it was skipped. */
#include "streams/sniff.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "tests/unit/skip.h"

/* Ethernet's header of zeros, IPv4's and UDP's. */
#define HEADERS (14u + 20u + 8u)

struct fix {
	struct loop *loop;
	struct sniff *sniff;
	int fd; /* sends datagrams to itself */
	unsigned n;
	bool closes; /* with the next packet */
	char last;
	int64_t time_ns;
	struct err broken;
};

static bool is_possible(void)
{
	static enum { UNKNOWN, NO, YES } known;
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	if (known != UNKNOWN)
		return known == YES;
	known = NO;
	if (unshare(CLONE_NEWNET) < 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &r) == 0)
		known = YES;
	close(fd);
	return known == YES;
}

static void on_packet(void *ctx, int64_t realtime_ns, const void *p, size_t n)
{
	struct fix *f = ctx;

	f->n++;
	f->time_ns = realtime_ns;
	f->last = n > HEADERS ? ((const char *)p)[HEADERS] : '\0';
	if (f->closes)
		f->sniff = sniff_close(f->sniff);
}

static void on_broken(void *ctx, const struct err *err)
{
	struct fix *f = ctx;

	f->broken = *err;
	f->sniff = sniff_close(f->sniff);
}

static const struct sniff_events events = {on_packet, on_broken};

static int setup(void **state)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
				  .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(sin);
	struct fix *f;

	*state = NULL;
	if (!is_possible())
		return 0;
	f = *state = mem_zalloc(sizeof(*f));
	f->loop = loop_new(NULL);
	f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(0, bind(f->fd, (struct sockaddr *)&sin, n));
	assert_int_equal(0, getsockname(f->fd, (struct sockaddr *)&sin, &n));
	assert_int_equal(0, connect(f->fd, (struct sockaddr *)&sin, n));
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	if (!f)
		return 0;
	sniff_close(f->sniff);
	close(f->fd);
	loop_free(f->loop);
	free(f);
	return 0;
}

#define NEEDS_NET(f)                                                           \
	do {                                                                   \
		if (!(f))                                                      \
			skip_because("no network namespace can be made");      \
	} while (0)

static void start(struct fix *f)
{
	struct err err;

	f->sniff = sniff_open(f->loop, "lo", false, &events, f, &err);
	if (!f->sniff)
		fail_msg("%s", err.text);
}

static void say(struct fix *f, char c)
{
	assert_int_equal(1, send(f->fd, &c, 1, 0));
}

static void packets_come_by_the_loop(void **state)
{
	struct fix *f = *state;
	int64_t before;

	NEEDS_NET(f);
	say(f, '0');
	before = clock_realtime_ns();
	start(f);
	say(f, '1');
	say(f, '2');
	while (f->n < 2)
		loop_turn(f->loop);
	assert_int_equal('2', f->last);
	assert_true(f->time_ns >= before && f->time_ns <= clock_realtime_ns());
	loop_poll(f->loop);
	assert_int_equal(2, f->n);
}

static void a_poll_gets_what_is_there(void **state)
{
	struct fix *f = *state;

	NEEDS_NET(f);
	start(f);
	sniff_poll(f->sniff);
	assert_int_equal(0, f->n);
	for (unsigned i = 0; i < 2 * SNIFF_BATCH; i++)
		say(f, '1');
	sniff_poll(f->sniff);
	assert_int_equal(2 * SNIFF_BATCH, f->n);
}

static void it_may_be_closed_by_a_packet(void **state)
{
	struct fix *f = *state;

	NEEDS_NET(f);
	start(f);
	f->closes = true;
	say(f, '1');
	say(f, '2');
	sniff_poll(f->sniff);
	assert_null(f->sniff);
	assert_int_equal(1, f->n);
}

/* A slot of the ring holds what the loopback's MTU is: it is soon full. */
static void a_hole_breaks_it(void **state)
{
	struct fix *f = *state;

	NEEDS_NET(f);
	start(f);
	for (unsigned i = 0; i < SNIFF_RING_BYTES / 1024; i++)
		say(f, '1');
	while (f->sniff)
		loop_turn(f->loop);
	assert_int_equal(-ENOBUFS, f->broken.code);
	assert_non_null(strstr(f->broken.text, "the capture of 'lo' has a "
					       "hole: "));
	assert_true(f->n > 0);
}

static void a_missing_interface_is_told(void **state)
{
	struct fix *f = *state;
	struct err err;

	NEEDS_NET(f);
	assert_null(sniff_open(f->loop, "nosuch0", true, &events, f, &err));
	assert_true(err.code < 0);
	assert_non_null(strstr(err.text, "cannot capture on 'nosuch0': "));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    TEST(packets_come_by_the_loop),	TEST(a_poll_gets_what_is_there),
	    TEST(it_may_be_closed_by_a_packet), TEST(a_hole_breaks_it),
	    TEST(a_missing_interface_is_told),
	};

	return cmocka_run_group_tests_name("sniff", tests, NULL, NULL);
}
