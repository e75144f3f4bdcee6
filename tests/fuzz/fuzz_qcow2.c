/* SPDX-License-Identifier: MIT */
/* The start and the end of an image: any bytes have names that end, and that
 * are in them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "vmm/disk_magic.h"
#include "vmm/qcow2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const uint8_t *data, size_t size, const char *text,
		       size_t max)
{
	size_t n = strnlen(text, max);

	if (n == max || (n && !memmem(data, size, text, n)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qcow2_names *names = mem_alloc(sizeof(*names));
	struct qcow2_info info;
	struct err err;
	bool is_good = qcow2_parse(data, size, &info, &err) == 0;

	if (qcow2_find_names(data, size, names) != is_good ||
	    (is_good && !qcow2_is(data, size)))
		abort();
	check_text(data, size, names->backing, sizeof(names->backing));
	check_text(data, size, names->data, sizeof(names->data));
	check_text(data, size, names->format, sizeof(names->format));
	if (is_good && !info.names_files &&
	    (*names->backing || *names->data || names->is_cut))
		abort();
	disk_magic_find(data, size);
	disk_magic_find_tail(data, size);
	free(names);
	return 0;
}
