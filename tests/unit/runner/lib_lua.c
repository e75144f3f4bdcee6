/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "runner/worker.h"
#include "tests/unit/runner/lib_lua.h"
#include "tests/unit/tmp.h"

struct keeper {
	struct event_sink sink;
	json_t *events;
};

static void keep(struct event_sink *sink, const json_t *ev)
{
	struct keeper *k = CONTAINER_OF(sink, struct keeper, sink);

	json_array_append_new(k->events, json_deep_copy(ev));
}

void lua_run_init(struct lua_run *r)
{
	*r = (struct lua_run){0};
	tmp_template(r->dir);
	assert_non_null(mkdtemp(r->dir));
	r->file = mem_printf("%s/" LUA_DISPLAY, r->dir);
	r->job.file = r->file;
	r->job.display = LUA_DISPLAY;
	r->job.config = "";
	r->job.run_dir = r->dir;
	r->job.timeout_ns = 60 * NS_PER_SEC;
	r->events = json_array();
}

void lua_run_add(struct lua_run *r, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", r->dir, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	free(path);
}

void lua_run(struct lua_run *r, const char *text)
{
	struct keeper k = {.sink = {.event = keep}, .events = r->events};
	struct worker w;
	struct err err = {0};

	lua_run_add(r, LUA_DISPLAY, text);
	if (worker_init(&w, &r->job, &k.sink, NULL, &err))
		fail_msg("worker_init: %s", err.text);
	lua_pushstring(w.L, r->dir);
	lua_setglobal(w.L, "DIR");
	if (r->install)
		r->install(w.L);
	worker_run_file(&w);
	worker_done(&w);
}

void lua_run_done(struct lua_run *r)
{
	char *cmd = mem_printf("rm -rf '%s'", r->dir);

	assert_int_equal(system(cmd), 0);
	free(cmd);
	free(r->file);
	strvec_done(&r->job.select);
	strvec_done(&r->job.skip);
	json_decref(r->events);
}

const json_t *lua_run_event(const struct lua_run *r, const char *name, size_t i)
{
	json_t *ev;
	size_t at;

	json_array_foreach (r->events, at, ev) {
		const char *is =
		    json_string_value(json_object_get(ev, "event"));
		if (!strcmp(is, name) && i-- == 0)
			return ev;
	}
	return NULL;
}

static const json_t *find_end(const struct lua_run *r, const char *test)
{
	const json_t *ev;

	for (size_t i = 0; (ev = lua_run_event(r, "test_end", i)); i++)
		if (!strcmp(json_string_value(json_object_get(ev, "test")),
			    test))
			return ev;
	return NULL;
}

const char *lua_run_end(const struct lua_run *r, const char *test,
			const char *member)
{
	return json_string_value(json_object_get(find_end(r, test), member));
}

int lua_run_line(const struct lua_run *r, const char *test)
{
	const json_t *at = json_object_get(find_end(r, test), "location");

	return (int)json_integer_value(json_object_get(at, "line"));
}

void lua_run_expect(const char *body, const char *status, const char *part)
{
	lua_run_expect_with(NULL, body, status, part);
}

void lua_run_expect_with(void (*install)(lua_State *L), const char *body,
			 const char *status, const char *part)
{
	struct lua_run r;
	char *text = mem_printf("test('x', function(t) %s\nend)\n", body);

	lua_run_init(&r);
	r.install = install;
	lua_run(&r, text);
	const json_t *bad = lua_run_event(&r, "file_error", 0);
	if (bad)
		fail_msg("%s: %s", body,
			 json_string_value(json_object_get(bad, "message")));
	const char *message = lua_run_end(&r, "x", "message");
	const char *is = lua_run_end(&r, "x", "status");
	assert_non_null(is);
	if (strcmp(is, status))
		fail_msg("%s\nis %s: %s", body, is, message ? message : "");
	if (part && (!message || !strstr(message, part)))
		fail_msg("%s\nlacks: %s\nin: %s", body, part,
			 message ? message : "(no message)");
	if (!strcmp(status, "failed"))
		assert_int_equal(lua_run_line(&r, "x"), 1);
	lua_run_done(&r);
	free(text);
}
