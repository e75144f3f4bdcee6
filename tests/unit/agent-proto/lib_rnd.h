/* SPDX-License-Identifier: MIT */
/* Random numbers that a printed seed brings back. */
#ifndef TESTS_LIB_RND_H
#define TESTS_LIB_RND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rnd {
	uint64_t state;
};

void rnd_init(struct rnd *r, uint64_t seed);
uint64_t rnd_u64(struct rnd *r);
/* 0 <= result < n; n > 0. */
size_t rnd_below(struct rnd *r, size_t n);
/* True once in n times. */
bool rnd_once_in(struct rnd *r, size_t n);
/* A size: mostly small, at times up to max. */
size_t rnd_size(struct rnd *r, size_t max);
/* Any bytes. */
void rnd_fill(struct rnd *r, void *p, size_t n);
/* Bytes full of HELLO markers, their halves and their neighbours. */
void rnd_fill_markers(struct rnd *r, uint8_t *p, size_t n);

/* One or the other. */
void rnd_fill_any(struct rnd *r, uint8_t *p, size_t n);

/* A number from the environment, or fallback. */
uint64_t env_number(const char *name, uint64_t fallback);

#endif
