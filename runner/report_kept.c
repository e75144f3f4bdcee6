/* SPDX-License-Identifier: MIT */
#include "runner/report_kept.h"

#include <stdbool.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "runner/report_tree.h"

static void kept_add(json_t *o, json_t *path)
{
	json_t *kept = json_object_get(o, "kept");

	if (!kept) {
		kept = json_array();
		json_object_set_new(o, "kept", kept);
	}
	json_array_append(kept, path);
}

/* name -> the array of the tests and errors that named it; owned. */
static json_t *kept_owners(const json_t *file)
{
	static const char *const lists[] = {"tests", "errors"};
	json_t *owners = json_object();
	json_t *of, *name;
	size_t i, k;

	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		json_array_foreach (json_object_get(file, lists[l]), i, of) {
			const json_t *names = json_object_get(of, "artifacts");

			json_array_foreach (names, k, name) {
				const char *key = json_string_value(name);
				json_t *list = json_object_get(owners, key);

				if (!list) {
					list = json_array();
					json_object_set_new(owners, key, list);
				}
				json_array_append(list, of);
			}
		}
	}
	return owners;
}

static bool kept_is_open(const json_t *o)
{
	const char *status = tree_string(o, "status");

	return !json_object_get(o, "artifacts") &&
	       (!*status || !strcmp(status, "failed"));
}

/* Gives a path that nobody named to the failures that named nothing. */
static void kept_add_unclaimed(json_t *file, json_t *path)
{
	static const char *const lists[] = {"tests", "errors"};
	bool is_taken = false;
	json_t *of;
	size_t i;

	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		json_array_foreach (json_object_get(file, lists[l]), i, of) {
			if (!kept_is_open(of))
				continue;
			kept_add(of, path);
			is_taken = true;
		}
	}
	if (!is_taken)
		kept_add(file, path);
}

void report_kept_share(json_t *file)
{
	json_t *owners = kept_owners(file);
	json_t *path, *of;
	size_t i, k;

	json_array_foreach (json_object_get(file, "artifacts"), i, path) {
		const char *name = json_string_value(path);
		const char *slash = name ? strrchr(name, '/') : NULL;
		const json_t *list = NULL;

		if (name)
			list =
			    json_object_get(owners, slash ? slash + 1 : name);
		if (!list)
			kept_add_unclaimed(file, path);
		json_array_foreach (list, k, of) {
			kept_add(of, path);
		}
	}
	json_decref(owners);
}
