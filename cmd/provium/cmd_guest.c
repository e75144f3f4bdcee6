/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium/settings.h"
#include "runner/config.h"
#include "vmm/guest.h"

struct guest_verb {
	const char *name;
	int (*run)(const struct config *c, struct err *err);
};

/* Progress goes to standard error: `path` is for use in scripts. */
static void on_progress(void *ctx, const char *what)
{
	(void)ctx;
	fprintf(stderr, "%s\n", what);
}

/* An image is named by the directory that holds its files. */
static void print_image(const struct guest_image *g, bool with_release)
{
	size_t n = strlen(g->initrd);

	while (n > 1 && g->initrd[n - 1] != '/')
		n--;
	printf("%.*s", (int)(n ? n - 1 : 0), g->initrd);
	if (with_release)
		printf("  Linux %s", g->release);
	putchar('\n');
}

static int make_default(const struct config *c, bool with_release,
			struct err *err)
{
	struct guest_image g = {0};
	int r = guest_default(c->cache_dir, on_progress, NULL, &g, err);

	if (r < 0)
		return r;
	print_image(&g, with_release);
	guest_image_done(&g);
	return 0;
}

static int guest_build(const struct config *c, struct err *err)
{
	return make_default(c, true, err);
}

static int cmd_guest_guest_path(const struct config *c, struct err *err)
{
	return make_default(c, false, err);
}

static int guest_print_list(const struct config *c, struct err *err)
{
	struct guest_image *images;
	size_t n;
	int r = guest_list(c->cache_dir, &images, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		print_image(&images[i], true);
		guest_image_done(&images[i]);
	}
	free(images);
	if (!n)
		fprintf(stderr,
			"no guest image in %s yet; provium guest build makes "
			"one\n",
			c->cache_dir);
	return 0;
}

static const struct guest_verb verbs[] = {
    {"build", guest_build},
    {"list", guest_print_list},
    {"path", cmd_guest_guest_path},
};

static int cmd_guest_run_verb(const struct guest_verb *verb,
			      const struct settings *s)
{
	struct config config;
	struct err err;
	int r = config_load(&config, s->config, &err);

	if (r < 0)
		return complain("%s", err.text);
	r = verb->run(&config, &err);
	config_done(&config);
	return r < 0 ? complain("%s", err.text) : STATUS_OK;
}

int cmd_guest(const struct settings *s)
{
	const char *name = s->n_args ? s->args[0] : "";

	if (s->n_args > 1)
		return complain("guest: one of build, list, path, not '%s %s'",
				name, s->args[1]);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (!strcmp(verbs[i].name, name))
			return cmd_guest_run_verb(&verbs[i], s);
	}
	if (!*name)
		return complain("guest: say what: build, list or path");
	return complain("guest: no '%s'; there is build, list, path", name);
}
