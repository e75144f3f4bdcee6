/* SPDX-License-Identifier: MIT */
/*
 * What a network is asked for, and what it does to frames on wires without
 * guests. Prints, a line each:
 *	latency ASKED MEDIAN P99	milliseconds, of single frames
 *	jitter ASKED LEAST MOST		milliseconds beside the latency
 *	loss ASKED GOT			percent
 *	rate ASKED GOT			Mbit/s, of frames that always wait
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "vmm/net/bridge.h"
#include "vmm/net/wire.h"

#define SIZE   1500u
#define FRAMES 300
#define MANY   20000
#define LATE   (100 * NS_PER_MS) /* more than any frame here is under way */

struct bench {
	struct loop *loop;
	struct bridge *bridge;
	struct port *from, *to;
	int fd[2];
	uint8_t sent[WIRE_HEADER + SIZE];
};

static struct impairment *rule(struct bench *b)
{
	bridge_reset_impairments(b->bridge, NULL);
	return bridge_impairment(b->bridge, b->from, b->to);
}

static void post(struct bench *b)
{
	if (send(b->fd[0], b->sent, sizeof(b->sent), 0) != sizeof(b->sent)) {
		perror("send");
		exit(1);
	}
}

static bool take(struct bench *b)
{
	uint8_t got[WIRE_HEADER + SIZE];

	return recv(b->fd[1], got, sizeof(got), MSG_DONTWAIT) == sizeof(got);
}

static void on_late(void *ctx)
{
	(void)ctx;
}

/* Until one comes. Returns when, or CLOCK_NEVER: none within LATE. */
static int64_t await(struct bench *b)
{
	int64_t until = clock_deadline_ns(LATE);
	struct timer *late = timer_new(b->loop, on_late, NULL);
	bool has = false;

	timer_set(late, until);
	while (!(has = take(b)) && clock_now_ns() < until)
		loop_turn(b->loop);
	timer_free(late);
	return has ? clock_now_ns() : CLOCK_NEVER;
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* How long single frames take, in order. */
static void travel(struct bench *b, int64_t took[FRAMES])
{
	for (int i = 0; i < FRAMES; i++) {
		int64_t start = clock_now_ns();

		post(b);
		took[i] = await(b) - start;
	}
	qsort(took, FRAMES, sizeof(took[0]), compare);
}

static double ms(int64_t ns)
{
	return (double)ns / NS_PER_MS;
}

static void latency(struct bench *b, int64_t ns)
{
	int64_t took[FRAMES];

	rule(b)->latency_ns = ns;
	bridge_impaired(b->bridge, NULL);
	travel(b, took);
	printf("latency %.3f %.3f %.3f\n", ms(ns), ms(took[FRAMES / 2]),
	       ms(took[FRAMES * 99 / 100]));
}

static void jitter(struct bench *b)
{
	const int64_t ns = 10 * NS_PER_MS;
	struct impairment *i = rule(b);
	int64_t took[FRAMES];

	i->latency_ns = 2 * ns;
	i->jitter_ns = ns;
	bridge_impaired(b->bridge, NULL);
	travel(b, took);
	printf("jitter %.3f %.3f %.3f\n", ms(ns), ms(took[0] - 2 * ns),
	       ms(took[FRAMES - 1] - 2 * ns));
}

static void loss(struct bench *b, double chance)
{
	int got = 0;

	rule(b)->chance[CHANCE_DROP] = chance;
	bridge_impaired(b->bridge, NULL);
	for (int i = 0; i < MANY; i++) {
		post(b);
		loop_poll(b->loop);
		got += take(b);
	}
	printf("loss %.3f %.3f\n", chance * 100, 100.0 * (MANY - got) / MANY);
}

/* One comes in for each that goes out, so that the pipe is never empty: half
 * of its queue of 100 ms is full. */
static void rate(struct bench *b, double mbit)
{
	const int ahead = (int)(mbit * 1e6 * 0.05 / 8 / SIZE), n = 1000;
	int64_t start, last = 0;

	rule(b)->bps = (uint64_t)(mbit * 1e6);
	bridge_impaired(b->bridge, NULL);
	start = clock_now_ns();
	for (int i = 0; i < ahead; i++)
		post(b);
	for (int i = 0; i < n; i++) {
		last = await(b);
		if (i + ahead < n)
			post(b);
	}
	printf("rate %.3f %.3f\n", mbit,
	       n * SIZE * 8.0 / 1e6 / ((double)(last - start) / NS_PER_SEC));
}

static int open_bench(struct bench *b, struct net *n)
{
	struct err err;

	b->bridge = bridge_new(n, "lan", &err);
	b->from = bridge_attach(b->bridge, "a", &err);
	b->to = bridge_attach(b->bridge, "b", &err);
	be_put32(b->sent, SIZE);
	memcpy(b->sent + WIRE_HEADER, port_mac(b->to), MAC_LEN);
	memcpy(b->sent + WIRE_HEADER + MAC_LEN, port_mac(b->from), MAC_LEN);
	return port_plug(b->from, &b->fd[0], &err) < 0 ||
		       port_plug(b->to, &b->fd[1], &err) < 0
		   ? -1
		   : 0;
}

int main(void)
{
	struct bench b = {.loop = loop_new(NULL)};
	struct net *n = net_new(b.loop, "/tmp");

	if (open_bench(&b, n) < 0)
		return 1;
	latency(&b, NS_PER_MS);
	latency(&b, 20 * NS_PER_MS);
	jitter(&b);
	loss(&b, 0.01);
	loss(&b, 0.3);
	rate(&b, 8);
	rate(&b, 100);
	bridge_free(b.bridge);
	net_free(n);
	loop_free(b.loop);
	close(b.fd[0]);
	close(b.fd[1]);
	return 0;
}
