/* SPDX-License-Identifier: MIT */
/* How a file's chunk registers its tests: test() and todo(). */
#include <lauxlib.h>
#include <string.h>

#include "runner/bind.h"
#include "runner/bind_json.h"
#include "runner/suite.h"
#include "runner/text.h"
#include "runner/worker.h"

#define TEST "test"

static void read_tags(lua_State *L, int idx, struct suite_test *t)
{
	if (lua_type(L, idx) == LUA_TSTRING)
		strvec_add(&t->tags, arg_string(L, TEST, idx, "tags"));
	else
		arg_strings(L, TEST, idx, "tags", &t->tags);
}

/* Why something is skipped, as an owned string. */
static json_t *read_reason(lua_State *L, const char *method, int idx,
			   const char *name)
{
	size_t n;
	const char *s = arg_bytes(L, method, idx, name, &n);

	return event_string(s, n);
}

static void read_skip(lua_State *L, int idx, struct suite_test *t)
{
	if (lua_type(L, idx) == LUA_TSTRING)
		t->skip = read_reason(L, TEST, idx, "skip");
	else if (arg_bool(L, TEST, idx, "skip", false))
		t->skip = json_string("skipped");
}

/* A key of meta that the runner reads; value at idx. False: it is another. */
static bool read_meta_key(lua_State *L, const char *key, int idx,
			  struct suite_test *t)
{
	if (!strcmp(key, "tags")) {
		read_tags(L, idx, t);
	} else if (!strcmp(key, "skip")) {
		read_skip(L, idx, t);
	} else if (!strcmp(key, "slow")) {
		t->is_slow = arg_bool(L, TEST, idx, key, false);
	} else if (!strcmp(key, "serial")) {
		t->is_serial = arg_bool(L, TEST, idx, key, false);
	} else if (!strcmp(key, "timeout")) {
		t->timeout_ns = arg_duration(L, TEST, idx, key, 0);
		if (!t->timeout_ns)
			bind_fail_arg(L, TEST, "timeout must be more than 0");
	} else if (!strcmp(key, "retries")) {
		t->retries =
		    (unsigned)arg_int(L, TEST, idx, key, 0, SUITE_RETRIES_MAX);
	} else {
		return false;
	}
	return true;
}

/* Refuses a key that looks like a misspelt one of the runner's. Other keys go
 * into the reports unread, where a slip of the pen would be lost. */
static void check_spelling(lua_State *L, const char *key)
{
	static const char *const known[] = {"tags",    "slow",	  "skip",
					    "timeout", "retries", "retry",
					    "serial",  NULL};
	const char *meant = text_misspelt(key, known);

	if (meant && !strcmp(meant, "retry"))
		meant = "retries";
	if (meant)
		bind_fail_arg(L, TEST,
			      "meta has the key '%s': did you mean '%s'? A key "
			      "of your own must differ more",
			      key, meant);
}

static void suite_test_read_meta(lua_State *L, int idx, struct suite_test *t)
{
	lua_pushnil(L);
	while (lua_next(L, idx)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			bind_fail_arg(
			    L, TEST,
			    "meta must have names as keys, got %s as a key",
			    arg_type_name(L, -2));
		const char *key =
		    arg_string(L, TEST, lua_gettop(L) - 1, "a key of meta");
		if (!read_meta_key(L, key, lua_gettop(L), t)) {
			check_spelling(L, key);
			json_t *v = bind_json_value(L, TEST, lua_gettop(L));

			if (!t->extra)
				t->extra = json_object();
			json_object_set_new(t->extra, key, v);
		}
		lua_pop(L, 1);
	}
}

static void check_unique(lua_State *L, const struct suite *s, const char *name)
{
	for (size_t i = 0; i < s->n_tests; i++) {
		const struct suite_test *t = &s->tests[i];

		if (!strcmp(t->name, name))
			bind_fail_arg(
			    L, TEST,
			    "'%s' is already the name of the test at %s:%d",
			    name, t->site.file, t->site.line);
	}
}

int suite_l_test(lua_State *L)
{
	struct suite *s = &worker_of(L)->suite;
	const char *name = arg_path(L, TEST, 1, "name");
	int fn = lua_gettop(L) >= 3 ? 3 : 2;

	if (s->running || s->is_closed)
		bind_fail_arg(
		    L, TEST,
		    "tests are registered by the file's chunk, not while "
		    "tests run");
	if (fn == 3)
		arg_opt_table(L, TEST, 2, "meta");
	if (!lua_isfunction(L, fn))
		bind_fail_arg(L, TEST, "fn must be a function, got %s",
			      arg_type_name(L, fn));
	check_unique(L, s, name);
	/* An error in meta leaves the draft to the next one, or to the end. */
	struct suite_test *t = &s->draft;
	suite_test_done(t);
	*t =
	    (struct suite_test){.name = mem_strdup(name),
				.retries = (unsigned)worker_of(L)->job->retries,
				.fn = LUA_NOREF,
				.meta = LUA_NOREF};
	lua_state_site(L, &t->site);
	if (fn == 3 && lua_istable(L, 2)) {
		suite_test_read_meta(L, 2, t);
		lua_pushvalue(L, 2);
		t->meta = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	lua_pushvalue(L, fn);
	t->fn = luaL_ref(L, LUA_REGISTRYINDEX);
	s->tests =
	    mem_realloc_array(s->tests, s->n_tests + 1, sizeof(*s->tests));
	s->tests[s->n_tests++] = *t;
	*t = (struct suite_test){0};
	return 0;
}

int suite_l_todo(lua_State *L)
{
	struct suite *s = &worker_of(L)->suite;
	json_t *reason;

	if (s->running || s->is_closed)
		bind_fail_arg(L, "todo",
			      "is for the file's chunk; in a test "
			      "write t:skip(reason)");
	reason = lua_isnoneornil(L, 1) ? json_string("todo")
				       : read_reason(L, "todo", 1, "reason");
	json_decref(s->todo);
	s->todo = reason;
	return 0;
}
