/* SPDX-License-Identifier: MIT */
/* In which order a scope closes what was made in it, and once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "runner/bind.h"
#include "tests/unit/runner/lib_lua.h"

/* What was closed, in order: names with a space behind each. */
static struct {
	char closed[256];
} seen;

struct thing {
	struct object obj;
	char name[16];
};

static void thing_close(void *p)
{
	const struct thing *x = p;

	strncat(seen.closed, x->name,
		sizeof(seen.closed) - strlen(seen.closed) - 1);
	strncat(seen.closed, " ",
		sizeof(seen.closed) - strlen(seen.closed) - 1);
}

/* clang-format off */
#define CLASS(word, of_rank)                                                   \
	{.name = word, .rank = of_rank, .size = sizeof(struct thing),          \
	 .close = thing_close}
/* clang-format on */

static const struct object_class classes[RANKS] = {
    CLASS("stream", RANK_STREAM), CLASS("process", RANK_PROCESS),
    CLASS("file", RANK_FILE),	  CLASS("worker", RANK_WORKER),
    CLASS("vm", RANK_VM),	  CLASS("bridge", RANK_BRIDGE),
    CLASS("lab", RANK_LAB),
};

/* make(class, name, owner?) */
static int l_make(lua_State *L)
{
	const char *word = luaL_checkstring(L, 1);
	const char *name = luaL_checkstring(L, 2);
	const struct object_class *class = NULL;

	for (size_t i = 0; i < RANKS; i++)
		if (!strcmp(classes[i].name, word))
			class = &classes[i];
	assert_non_null(class);
	struct thing *x = object_new(L, class, lua_isnoneornil(L, 3) ? 0 : 3);
	snprintf(x->name, sizeof(x->name), "%s", name);
	return 1;
}

static int l_closed(lua_State *L)
{
	lua_pushstring(L, seen.closed);
	return 1;
}

static void install(lua_State *L)
{
	memset(&seen, 0, sizeof(seen));
	for (size_t i = 0; i < RANKS; i++)
		bind_class(L, &classes[i]);
	lua_pushcfunction(L, l_make);
	lua_setglobal(L, "make");
	lua_pushcfunction(L, l_closed);
	lua_setglobal(L, "closed");
}

static void run(const char *text)
{
	struct lua_run r;

	lua_run_init(&r);
	r.install = install;
	lua_run(&r, text);
	for (size_t i = 0; lua_run_event(&r, "test_end", i); i++)
		assert_string_equal(
		    json_string_value(json_object_get(
			lua_run_event(&r, "test_end", i), "status")),
		    "passed");
	assert_non_null(lua_run_event(&r, "test_end", 0));
	lua_run_done(&r);
}

static void the_order_is_by_kind(void **state)
{
	(void)state;
	run("test('a', function() "
	    "for _, kind in ipairs{'lab', 'vm', 'file', 'bridge', 'worker', "
	    "'stream', 'process'} do make(kind, kind) end end)\n"
	    "test('b', function(t) t:assert_eq(closed(), "
	    "'stream process file worker vm bridge lab ') end)");
}

static void the_newest_of_a_kind_goes_first(void **state)
{
	(void)state;
	run("test('a', function() make('vm', '1') make('vm', '2') "
	    "make('stream', '3') make('stream', '4') end)\n"
	    "test('b', function(t) t:assert_eq(closed(), '4 3 2 1 ') end)");
}

static void what_hangs_on_a_thing_goes_before_it(void **state)
{
	(void)state;
	run("test('a', function(t) local vm = make('vm', 'vm') "
	    "local w = make('worker', 'w', vm) make('file', 'f', w) "
	    "make('stream', 's', vm) make('stream', 'other') "
	    "vm:close() t:assert_eq(closed(), 's f w vm ') end)\n"
	    "test('b', function(t) "
	    "t:assert_eq(closed(), 's f w vm other ') end)");
}

static void a_test_closes_its_own_alone(void **state)
{
	(void)state;
	run("local vm = make('vm', 'vm')\n"
	    "test('a', function() make('stream', 's', vm) "
	    "make('vm', 'mine') end)\n"
	    "test('b', function(t) t:assert_eq(closed(), 's mine ') end)");
	assert_string_equal(seen.closed, "s mine vm ");
}

static void a_test_may_end_what_is_the_files(void **state)
{
	(void)state;
	run("local vm = make('vm', 'vm') make('stream', 'f', vm)\n"
	    "test('a', function(t) make('stream', 's', vm) vm:close() "
	    "t:assert_eq(closed(), 'f s vm ') vm:close() end)\n"
	    "test('b', function(t) t:assert_eq(closed(), 'f s vm ') end)");
	assert_string_equal(seen.closed, "f s vm ");
}

static void nothing_is_closed_twice(void **state)
{
	(void)state;
	run("test('a', function(t) for _, kind in ipairs{'lab', 'vm', 'file', "
	    "'bridge', 'worker', 'stream', 'process'} do "
	    "local x = make(kind, kind) x:close() x:close() end "
	    "collectgarbage() end)\n"
	    "test('b', function(t) collectgarbage() t:assert_eq(closed(), "
	    "'lab vm file bridge worker stream process ') end)");
}

static void a_failed_test_closes_as_any(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	r.install = install;
	lua_run(&r, "test('a', function() make('vm', 'v') make('stream', 's') "
		    "error('no') end)\n"
		    "test('b', function(t) t:assert_eq(closed(), 's v ') end)");
	assert_string_equal(lua_run_end(&r, "a", "status"), "failed");
	assert_string_equal(lua_run_end(&r, "b", "status"), "passed");
	lua_run_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_order_is_by_kind),
	    cmocka_unit_test(the_newest_of_a_kind_goes_first),
	    cmocka_unit_test(what_hangs_on_a_thing_goes_before_it),
	    cmocka_unit_test(a_test_closes_its_own_alone),
	    cmocka_unit_test(a_test_may_end_what_is_the_files),
	    cmocka_unit_test(nothing_is_closed_twice),
	    cmocka_unit_test(a_failed_test_closes_as_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
