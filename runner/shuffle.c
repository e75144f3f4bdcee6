/* SPDX-License-Identifier: MIT */
#include "runner/shuffle.h"

/* FNV-1a over the name, from a start that the seed gives; then the finalizer
 * of splitmix64, as the last bytes would else decide too little. */
uint64_t shuffle_key(int64_t seed, const char *name)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^
		     (uint64_t)seed * UINT64_C(0x9e3779b97f4a7c15);

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}
