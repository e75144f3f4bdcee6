/* SPDX-License-Identifier: MIT */
/* Random deliveries and calls on a stream, against a model of it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "tests/unit/streams/lib_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err;
	struct loop *l = loop_new(&err);
	struct model *m;

	if (!l)
		abort();
	m = model_new(l, NULL);
	model_play(m, data, size);
	model_read_all(m);
	model_free(m);
	loop_free(l);
	return 0;
}
