/* SPDX-License-Identifier: MIT */
/* Labs, VMs that were not booted, scopes and names; argument errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/runner/lib_lua.h"
#include "tests/unit/runner/lib_stream.h"

#define PASSES(body) lua_run_expect(body, "passed", NULL)
#define FAILS(body, part)                                                      \
	lua_run_expect_with(lib_stream_install, body, "failed", part)

static void a_vm_is_created_by_name(void **state)
{
	(void)state;
	PASSES("local vm = provium:vm('a') t:assert_eq(vm:name(), 'a') "
	       "t:assert_eq(vm:state(), 'created') "
	       "t:assert_eq(vm:profile(), 'default') "
	       "t:assert(provium:vm('a') == vm) t:assert(provium.a == vm) "
	       "t:assert_eq(vm:pid(), nil) t:assert_eq(provium.b, nil)");
	PASSES("provium:vm('a', {memory = '64M', cpus = 2}) "
	       "provium:vm('b', 'default', {memory = 67108864}) "
	       "provium:vm('c', nil, {}) "
	       "t:assert_eq(provium:vm_names(), {'a', 'b', 'c'})");
}

static void names_are_unique(void **state)
{
	(void)state;
	FAILS("provium:vm('a') provium:vm('a', {})",
	      "lab:vm: vm 'a' is already declared at x.test.lua:1");
	FAILS("provium:vm('vm')", "'vm' is a reserved name");
	FAILS("provium:vm('pack')", "'pack' is a reserved name");
	FAILS("provium:vm('a b')", "bad name 'a b'");
	FAILS("provium:vm('')", "name is empty");
	FAILS("provium:vm()", "name must be a string, got nothing");
}

static void unknown_options_and_profiles_are_refused(void **state)
{
	(void)state;
	FAILS("provium:vm('a', {memroy = 1})",
	      "lab:vm: unknown option 'memroy'; valid: memory, cpus, ");
	FAILS("provium:vm('a', {memory = 'big'})", "memory 'big' is no size");
	FAILS("provium:vm('a', {memory = 1024})", "no kernel boots in less");
	FAILS("provium:vm('a', {cpus = 'x'})",
	      "cpus must be an integer, got a string");
	FAILS("provium:vm('a', {cpus = 1.5})",
	      "cpus must be an integer, got 1.5");
	FAILS("provium:vm('a', {files = {{path = 'x', content = ''}}})",
	      "files[1] needs a path that begins with /");
	FAILS("provium:vm('a', {files = {{path = '/x'}}})",
	      "files[1] needs content");
	FAILS("provium:vm('a', 'nope')", "nope");
	FAILS("provium:vm('a', {1})", "options must have names as keys");
	FAILS("provium:vm('a'):boot({cpu = 1})",
	      "vm:boot: unknown option 'cpu'");
	FAILS("provium:vm('a'):boot({agent_timeout = 'soon'})",
	      "agent_timeout 'soon' is no duration");
}

/* lua_objlen() of {"a", nil, "b"} is 1, so that "b" was never looked at. */
static void lists_with_holes_are_refused(void **state)
{
	(void)state;
	FAILS("local s = stream() s:read_until({'a', nil, 'b'}, 0)",
	      "stream:read_until: pattern must be a list without holes, it has "
	      "the key 3 but nothing at 2");
	FAILS("local s = stream() s:expect({[2] = 'a'}, 0)",
	      "stream:expect: pattern must be a list without holes, it has the "
	      "key 2 but nothing at 1");
	FAILS("local s = stream() s:expect({'a', x = 'b'}, 0)",
	      "pattern must be a list without holes, it has the key 'x'");
	FAILS("local b, v = provium:bridge('b'), provium:vm('v') "
	      "b:attach({v, nil, provium:vm('w')})",
	      "bridge:attach: vms must be a list without holes, it has the key "
	      "3 but nothing at 2");
	FAILS("local l = provium:lab('l') "
	      "l:include({provium:vm('v'), nil, provium:vm('w')})",
	      "lab:include: members must be a list without holes, it has the "
	      "key 3 but nothing at 2");
	FAILS("provium:vm('v', {disks = {{scratch = '1M'}, nil, 7}})",
	      "lab:vm: disks must be a list without holes, it has the key 3 "
	      "but nothing at 2");
	FAILS(
	    "provium:vm('v', {files = {{path = '/a', content = ''}, nil, 7}})",
	    "lab:vm: files must be a list without holes, it has the key 3 "
	    "but nothing at 2");
	FAILS("provium:vm('v'):boot({qemu_args = {'-S', nil, '-s'}})",
	      "vm:boot: qemu_args must be a list without holes, it has the key "
	      "3 but nothing at 2");
}

/* A task may change a list that lab:vm() took, before the VM boots. */
static void a_list_that_changed_since_is_refused(void **state)
{
	(void)state;
	FAILS("local d = {} for i = 1, 3 do d[i] = {scratch = '1M'} end "
	      "local v = provium:vm('v', {disks = d}) d[2] = nil v:boot()",
	      "vm:boot: disks must be a list without holes, it has the key 3 "
	      "but nothing at 2");
}

/* vm:forward(80, 8080) ignored the port that the author asked for. */
static void surplus_arguments_are_refused(void **state)
{
	(void)state;
	FAILS(
	    "provium:vm('v'):forward(80, 8080)",
	    "vm:forward: takes 1 argument at the most, got 2: argument 2 is a "
	    "number");
	FAILS("provium:vm('v'):pid(nil, {})",
	      "vm:pid: takes no argument, got 2: argument 2 is a table");
	FAILS("provium:vm('v'):close(true)",
	      "vm:close: takes no argument, got 1: argument 1 is a boolean");
	FAILS("provium:vm('v', 'default', {}, 'x')",
	      "lab:vm: takes 3 arguments at the most, got 4: argument 4 is a "
	      "string");
	FAILS("provium:vm('v'):boot({}, {})",
	      "vm:boot: takes 1 argument at the most, got 2");
	FAILS("provium:boot({memory = '1G'})",
	      "lab:boot: takes no argument, got 1: argument 1 is a table");
	FAILS("provium:bridge('b'):attach(provium:vm('v'), provium:vm('w'))",
	      "bridge:attach: takes 1 argument at the most, got 2: argument 2 "
	      "is an object");
	FAILS("json.encode({}, {indent = 2})",
	      "json.encode: takes 1 argument at the most, got 2: argument 2 is "
	      "a table");
	FAILS(
	    "t:assert_eq(1, 1, 'same', 0.1)",
	    "t:assert_eq: takes 3 arguments at the most, got 4: argument 4 is "
	    "a number");
	FAILS("wait_until(function() return true end, {}, 5)",
	      "wait_until: takes 2 arguments at the most, got 3");
	FAILS("provium.vm_fixture('a', 'b', 'c')",
	      "lab.vm_fixture: takes 2 arguments at the most, got 3");
}

/* A nil says that there is none; assert() hands on what it got. */
static void what_is_no_surplus_passes(void **state)
{
	(void)state;
	PASSES("t:assert_eq(provium:vm('v', nil, nil, nil):pid(nil, nil), nil) "
	       "t:assert_eq(select('#', t:assert(1, 2, 3, 4)), 4) "
	       "t:log(1, 2, 3, 4, 5) t:assert_eq({provium.all()}, {}) "
	       "t:assert_eq(#provium:pack('BBBBB', 1, 2, 3, 4, 5), 5)");
}

static void a_surplus_argument_of_test_fails_the_file(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "test('a', {}, function() end, {timeout = 3})\n");
	assert_string_equal(
	    json_string_value(
		json_object_get(lua_run_event(&r, "file_error", 0), "message")),
	    "x.test.lua:1: test: takes 3 arguments at the most, got 4: "
	    "argument 4 is a table");
	lua_run_done(&r);
}

static void a_wrong_state_names_what_helps(void **state)
{
	(void)state;
	FAILS("provium:vm('a'):run('true')",
	      "vm:run: VM 'a' is created: call vm:boot() first");
	FAILS("provium:vm('a'):shutdown()",
	      "vm:shutdown: VM 'a' is created: call vm:boot() first");
	FAILS("local vm = provium:vm('a') vm:close() vm:close() vm:name()",
	      "vm:name: the VM is closed");
	FAILS("local vm = provium:vm('a') vm.run('true')",
	      "must be called on a vm");
}

static void fields_may_be_added(void **state)
{
	(void)state;
	PASSES("local vm = provium:vm('a') vm.role = 'server' "
	       "t:assert_eq(vm.role, 'server') t:assert_eq(vm.other, nil) "
	       "local l = provium:lab('l') l.x = 1 t:assert_eq(l.x, 1)");
}

static void every_vm_prints_differently(void **state)
{
	(void)state;
	PASSES("t:assert_neq(tostring(provium:vm('a')), "
	       "tostring(provium:vm('b')))");
}

static void a_closed_vm_frees_its_name(void **state)
{
	(void)state;
	PASSES("local a = provium:vm('a') a:close() "
	       "t:assert(provium:vm('a') ~= a)");
}

static void sub_labs_see_no_siblings(void **state)
{
	(void)state;
	PASSES("local l = provium:lab('l') t:assert(provium:lab('l') == l) "
	       "t:assert_eq(l:name(), 'l') l:vm('a') "
	       "t:assert_eq(provium.a, nil) t:assert(l.a) "
	       "t:assert(provium.l == l) "
	       "t:assert_eq(provium:lab():name(), '__lab_0') "
	       "t:assert_eq(provium:sub_lab_names(), {'__lab_0', 'l'})");
}

static void scopes_end_with_their_test(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r,
		"local f = provium:vm('f')\n"
		"test('a', function(t) t:assert(provium.f == f) "
		"provium:vm('x', {}) end)\n"
		"test('b', function(t) t:assert_eq(provium.x, nil) "
		"provium:vm('x', {}) t:assert_eq(f:state(), 'created') end)\n"
		"test('c', function(t) provium:vm('f', {}) end)\n");
	assert_string_equal(lua_run_end(&r, "a", "status"), "passed");
	assert_string_equal(lua_run_end(&r, "b", "status"), "passed");
	assert_string_equal(lua_run_end(&r, "c", "message"),
			    "lab:vm: vm 'f' is already declared in the file's "
			    "scope at x.test.lua:1");
	lua_run_done(&r);
}

static void objects_of_an_ended_test_are_closed(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "local x\n"
		    "test('a', function(t) x = provium:vm('x') end)\n"
		    "test('b', function(t) collectgarbage() x:name() end)\n");
	assert_string_equal(
	    lua_run_end(&r, "b", "message"),
	    "vm:name: the VM is closed: the test that made it is "
	    "over");
	lua_run_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_vm_is_created_by_name),
	    cmocka_unit_test(names_are_unique),
	    cmocka_unit_test(unknown_options_and_profiles_are_refused),
	    cmocka_unit_test(lists_with_holes_are_refused),
	    cmocka_unit_test(a_list_that_changed_since_is_refused),
	    cmocka_unit_test(surplus_arguments_are_refused),
	    cmocka_unit_test(what_is_no_surplus_passes),
	    cmocka_unit_test(a_surplus_argument_of_test_fails_the_file),
	    cmocka_unit_test(a_wrong_state_names_what_helps),
	    cmocka_unit_test(fields_may_be_added),
	    cmocka_unit_test(every_vm_prints_differently),
	    cmocka_unit_test(a_closed_vm_frees_its_name),
	    cmocka_unit_test(sub_labs_see_no_siblings),
	    cmocka_unit_test(scopes_end_with_their_test),
	    cmocka_unit_test(objects_of_an_ended_test_are_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
