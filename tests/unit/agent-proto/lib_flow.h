/* SPDX-License-Identifier: MIT */
/* What one direction of a channel still owes its receiver. */
#ifndef TESTS_LIB_FLOW_H
#define TESTS_LIB_FLOW_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/frame.h"

/* A message or a write that has not arrived in full. */
struct record {
	STAILQ_ENTRY(record) next;
	enum frame_kind kind;
	size_t len;
	size_t got;
	uint8_t bytes[];
};

struct flow {
	STAILQ_HEAD(, record) due;
	bool fin_sent;
	bool fin_got;
};

void flow_init(struct flow *f);
/* One more at the end; the caller fills in the bytes. */
struct record *flow_expect(struct flow *f, enum frame_kind kind, size_t n);
/* The first has arrived. */
void flow_drop(struct flow *f);
void flow_done(struct flow *f);

#endif
