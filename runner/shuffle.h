/* SPDX-License-Identifier: MIT */
/* Orders that a seed decides: the same seed gives the same one, and what is
 * left out changes nothing for the rest. */
#ifndef RUNNER_SHUFFLE_H
#define RUNNER_SHUFFLE_H

#include <stdint.h>

#define SHUFFLE_SEED_MAX INT64_C(999999999)

/* What to sort by. */
uint64_t shuffle_key(int64_t seed, const char *name);

#endif
