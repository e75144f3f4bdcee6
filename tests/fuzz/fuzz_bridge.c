/* SPDX-License-Identifier: MIT */
/*
 * Two whole bridges with a route, guests on their wires, rules that change, and
 * a way out: any bytes from QEMU, at any times. The input is a byte of what the
 * bridges have, then a row of records: what, whose, length (two bytes), bytes.
 * What a guest is sent is always a whole frame.
 *
 * The way out ends in a network namespace with nothing in it, not even lo up:
 * the target makes it for itself, or does without.
 */
#include <assert.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "tests/fuzz/mend.h"
#include "vmm/net/bridge_private.h"
#include "vmm/net/shaper.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define GUESTS 4u /* two on each of two bridges */
#define RECORD 4u

enum { HAS_IPV6 = 1, HAS_UPLINK = 2, HAS_ROUTE = 4 };
enum { DO_FRAME, DO_MENDED, DO_BYTES, DO_RULE, DO_TIME, DO_PLUG, DOS };

struct world {
	struct loop *loop;
	struct net *net;
	struct bridge *bridge[2];
	struct port *port[GUESTS];
	int fd[GUESTS];
	int64_t skew_ns; /* of the bridges' clock */
};

static bool is_apart; /* in a namespace of its own */
/* One for all inputs: to close an epoll takes the kernel 20 ms. */
static struct loop *the_loop;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	the_loop = loop_new(NULL);
	is_apart = unshare(CLONE_NEWNET) == 0 ||
		   unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
	return 0;
}

/* All that came is whole frames; what is behind them is still on its way. */
static void hear(struct world *w, unsigned i)
{
	static uint8_t bytes[1 << 20];
	ssize_t n = recv(w->fd[i], bytes, sizeof(bytes), MSG_DONTWAIT);
	size_t at = 0;

	while (n > 0 && (size_t)n - at >= WIRE_HEADER) {
		size_t len = be_get32(bytes + at);

		assert(len >= FRAME_MIN && len <= FRAME_MAX);
		assert(!mac_is_group(bytes + at + WIRE_HEADER + MAC_LEN));
		at += WIRE_HEADER + len;
		if (at > (size_t)n) /* the rest would come next */
			return;
	}
	assert(n <= 0 || at == (size_t)n);
}

static void plug(struct world *w, unsigned i)
{
	struct err err;
	int r;

	if (w->fd[i] >= 0)
		close(w->fd[i]);
	r = port_plug(w->port[i], &w->fd[i], &err);
	assert(r == 0);
}

static void say(struct world *w, unsigned i, const uint8_t *p, size_t n)
{
	ssize_t r = send(w->fd[i], p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	(void)r;
	loop_poll(w->loop);
	for (unsigned k = 0; k < GUESTS; k++)
		hear(w, k);
}

static void say_frame(struct world *w, unsigned i, const uint8_t *p, size_t n,
		      bool is_mended)
{
	uint8_t *bytes = mem_alloc(WIRE_HEADER + n);

	be_put32(bytes, (uint32_t)n);
	memcpy(bytes + WIRE_HEADER, p, n);
	if (is_mended)
		mend_checksums(bytes + WIRE_HEADER, n);
	say(w, i, bytes, WIRE_HEADER + n);
	free(bytes);
}

/* from, to, which, how much; 0 is any port of the bridge. */
static void change_rule(struct world *w, unsigned i, const uint8_t *p, size_t n)
{
	struct port *ends[] = {NULL, w->port[i & 2], w->port[(i & 2) + 1]};
	struct bridge *b = w->bridge[i / 2];
	struct impairment *rule;

	if (n < 4)
		return;
	rule = bridge_impairment(b, ends[p[0] % 3], ends[p[1] % 3]);
	switch (p[2] % 6) {
	case 0:
		rule->cuts = p[3] & 3;
		break;
	case 1:
		rule->latency_ns = p[3] * NS_PER_MS;
		break;
	case 2:
		rule->jitter_ns = p[3] * NS_PER_MS;
		break;
	case 3:
		rule->bps = (uint64_t)p[3] << (p[3] % 32);
		break;
	case 4:
		bridge_seed(b, p[3], NULL);
		break;
	default:
		rule->chance[p[3] % CHANCES] = p[3] / 255.0;
	}
	bridge_impaired(b, NULL);
	if (p[2] == 255)
		bridge_reset_impairments(b, NULL);
}

static void pass_time(struct world *w, const uint8_t *p, size_t n)
{
	w->skew_ns += n ? p[0] * NS_PER_MS : 0;
	for (unsigned i = 0; i < 2; i++)
		vswitch_run(w->bridge[i]->sw, clock_now_ns() + w->skew_ns);
	loop_poll(w->loop);
}

static void run(struct world *w, const uint8_t *p, size_t n)
{
	while (n >= RECORD) {
		size_t len = be_get16(p + 2);
		unsigned i = p[1] % GUESTS;
		unsigned what = p[0] % DOS;

		p += RECORD;
		n -= RECORD;
		len = len < n ? len : n;
		if (what == DO_FRAME || what == DO_MENDED)
			say_frame(w, i, p, len, what == DO_MENDED);
		else if (what == DO_BYTES)
			say(w, i, p, len);
		else if (what == DO_RULE)
			change_rule(w, i, p, len);
		else if (what == DO_TIME)
			pass_time(w, p, len);
		else
			plug(w, i);
		p += len;
		n -= len;
	}
}

static void build(struct world *w, unsigned has)
{
	static const char *const names[] = {"left", "right"};
	struct err err;

	w->loop = the_loop;
	w->net = net_new(w->loop, "/tmp");
	for (unsigned i = 0; i < 2; i++) {
		w->bridge[i] = bridge_new(w->net, names[i], &err);
		if (has & HAS_IPV6)
			bridge_enable_ipv6(w->bridge[i]);
		if (is_apart && has & HAS_UPLINK)
			bridge_enable_uplink(w->bridge[i], &err);
	}
	if (has & HAS_ROUTE)
		bridge_route(w->bridge[0], w->bridge[1]);
	for (unsigned i = 0; i < GUESTS; i++) {
		const char name[] = {(char)('a' + i), '\0'};

		w->fd[i] = -1;
		w->port[i] = bridge_attach(w->bridge[i / 2], name, &err);
		plug(w, i);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct world w = {0};

	if (!n)
		return 0;
	build(&w, p[0]);
	run(&w, p + 1, n - 1);
	for (unsigned i = 0; i < 2; i++)
		bridge_free(w.bridge[i]);
	for (unsigned i = 0; i < GUESTS; i++)
		close(w.fd[i]);
	net_free(w.net);
	loop_poll(w.loop);
	return 0;
}
