/* SPDX-License-Identifier: MIT */
/* modules.dep: any text gives an index or an error, any closure ends. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "vmm/guest_package.h"
#include "vmm/kmod.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The first few names of the text itself, so that closures are walked. */
static void walk(struct kmod_index *x, const char *text, size_t n)
{
	for (int i = 0; i < 8 && n; i++) {
		const char *end = memchr(text, ':', n);
		size_t len = end ? (size_t)(end - text) : n;
		char *path = mem_strndup(text, len);
		char *name = kmod_name(path);
		struct strvec paths = {0};

		if (name)
			kmod_closure(x, name, &paths, NULL);
		strvec_done(&paths);
		free(name);
		free(path);
		end = memchr(text, '\n', n);
		len = end ? (size_t)(end + 1 - text) : n;
		text += len;
		n -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *text = (const char *)data;
	struct strvec packages = {0};
	struct kmod_index *x;
	struct err err;

	x = kmod_index_parse("/nonexistent", text, n, &err);
	if (x)
		walk(x, text, n);
	kmod_index_free(x);
	guest_package_parse(text, n, &packages);
	strvec_done(&packages);
	return 0;
}
