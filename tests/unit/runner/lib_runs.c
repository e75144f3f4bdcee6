/* SPDX-License-Identifier: MIT */
#include "tests/unit/runner/lib_runs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/rundir.h"
#include "tests/unit/runner/lib_fake_worker.h"

int runs_set_up(void **state)
{
	struct runs *r = mem_zalloc(sizeof(*r));

	tmp_template(r->dir);
	assert_non_null(mkdtemp(r->dir));
	setenv("XDG_RUNTIME_DIR", r->dir, 1);
	r->files.v = r->v;
	r->opts = (struct run_options){
	    .config = "",
	    .worker = fake_worker,
	    .timeout_ns = 60 * NS_PER_SEC,
	    .grace_ns = 60 * NS_PER_SEC,
	    .jobs = 1,
	};
	recorder_init(&r->rec);
	*state = r;
	return 0;
}

int runs_tear_down(void **state)
{
	struct runs *r = *state;

	for (size_t i = 0; i < r->files.n; i++) {
		free(r->v[i].path);
		free(r->v[i].display);
	}
	rundir_remove(r->dir);
	recorder_done(&r->rec);
	free(r);
	return 0;
}

void runs_put(const struct runs *r, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", r->dir, name);
	FILE *out = fopen(path, "we");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	free(path);
}

struct test_file *runs_add(struct runs *r, const char *script)
{
	assert_in_range(r->files.n, 0, RUNS_FILES_MAX - 1);
	struct test_file *t = &r->v[r->files.n++];

	t->display = mem_printf("%c.test.lua", (int)('a' + r->files.n - 1));
	t->path = mem_printf("%s/%s", r->dir, t->display);
	runs_put(r, t->display, script);
	return t;
}

const char *runs_go(struct runs *r)
{
	struct err err = {0};

	if (run_files(&r->opts, &r->files, &r->rec.sink, &r->result, &err) < 0)
		fail_msg("%s", err.text);
	return recorder_take(&r->rec);
}
