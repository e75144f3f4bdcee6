/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runner/config.h"
#include "tests/unit/tmp.h"

/* A fresh directory that is the current one during the test. */
struct fixture {
	char dir[TMP_PATH_MAX];
	int home;
};

static int set_up(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	tmp_template(f->dir);
	assert_non_null(mkdtemp(f->dir));
	f->home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(chdir(f->dir), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char *cmd = mem_printf("rm -rf %s", f->dir);

	assert_int_equal(fchdir(f->home), 0);
	assert_int_equal(system(cmd), 0);
	close(f->home);
	free(cmd);
	free(f);
	return 0;
}

static void write_config(const char *text, size_t n)
{
	FILE *f = fopen("provium.lua", "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static struct config loaded(const char *text)
{
	struct config c;
	struct err err = {0};

	write_config(text, strlen(text));
	if (config_load(&c, NULL, &err) < 0)
		fail_msg("%s", err.text);
	return c;
}

static void refused(const char *text, const char *want)
{
	struct config c;
	struct err err = {0};

	write_config(text, strlen(text));
	if (!config_load(&c, NULL, &err))
		fail_msg("loaded: %s", text);
	if (!strstr(err.text, want))
		fail_msg("'%s' does not contain '%s'", err.text, want);
	assert_non_null(strstr(err.text, "provium.lua"));
	assert_null(c.path);
}

static void without_a_file_there_are_defaults(void **state)
{
	struct fixture *f = *state;
	struct config c;
	struct err err;

	assert_int_equal(config_load(&c, NULL, &err), 0);
	assert_null(c.path);
	assert_string_equal(c.dir, f->dir);
	assert_int_equal(c.roots.n, 1);
	assert_string_equal(c.roots.v[0], f->dir);
	assert_int_equal(c.cache_dir[0], '/');
	const struct config_profile *p = config_find_profile(&c, NULL, &err);
	assert_non_null(p);
	assert_string_equal(p->name, "default");
	assert_null(p->kernel);
	assert_null(p->build);
	assert_string_equal(p->cmdline, "");
	assert_int_equal(p->memory, 256 << 20);
	assert_int_equal(p->cpus, 1);
	assert_true(p->inject_agent);
	config_done(&c);
}

static void every_key_is_read(void **state)
{
	struct fixture *f = *state;
	struct err err;
	char want[TMP_PATH_MAX + 32];
	struct config c =
	    loaded("return { roots = {'tests', '/abs'}, cache_dir = 'cache',"
		   "  cache_max_size = '10G', default_profile = 'deb',"
		   "  network = 'kernel',"
		   "  profiles = { deb = {"
		   "    kernel = 'k/vmlinuz', initrd = '/i', cmdline = 'quiet',"
		   "    cmdline_file = 'cl', modules = {'vsock', './m.ko'},"
		   "    disks = {'d.img'}, memory = '512M', cpus = 2,"
		   "    build = 'make O={out}', build_out = 'out',"
		   "    inject_agent = false, qemu_args = {'-s'},"
		   "    accel = 'tcg', transport = 'serial',"
		   "    files = {{path='/etc/x', content='a\\0b', mode='0755'},"
		   "             {path='/y', content='', mode=384}} } } }");
	const struct config_profile *p = config_find_profile(&c, NULL, &err);

	snprintf(want, sizeof(want), "%s/tests", f->dir);
	assert_string_equal(c.roots.v[0], want);
	assert_string_equal(c.roots.v[1], "/abs");
	snprintf(want, sizeof(want), "%s/cache", f->dir);
	assert_string_equal(c.cache_dir, want);
	assert_true(c.cache_max_size == UINT64_C(10) << 30);
	assert_int_equal(c.network, NETWORK_KERNEL);
	assert_string_equal(p->name, "deb");
	snprintf(want, sizeof(want), "%s/k/vmlinuz", f->dir);
	assert_string_equal(p->kernel, want);
	assert_string_equal(p->initrd, "/i");
	assert_string_equal(p->cmdline, "quiet");
	snprintf(want, sizeof(want), "%s/cl", f->dir);
	assert_string_equal(p->cmdline_file, want);
	assert_string_equal(p->modules.v[0], "vsock");
	snprintf(want, sizeof(want), "%s/./m.ko", f->dir);
	assert_string_equal(p->modules.v[1], want);
	snprintf(want, sizeof(want), "%s/d.img", f->dir);
	assert_string_equal(p->disks.v[0], want);
	assert_int_equal(p->memory, 512 << 20);
	assert_int_equal(p->cpus, 2);
	snprintf(want, sizeof(want), "make O=%s/out", f->dir);
	assert_string_equal(p->build, want);
	assert_false(p->inject_agent);
	assert_string_equal(p->qemu_args.v[0], "-s");
	assert_int_equal(p->accel, ACCEL_TCG);
	assert_int_equal(p->transport, TRANSPORT_SERIAL);
	assert_int_equal(p->n_files, 2);
	assert_string_equal(p->files[0].path, "/etc/x");
	assert_int_equal(p->files[0].n, 3);
	assert_memory_equal(p->files[0].content, "a\0b", 3);
	assert_int_equal(p->files[0].mode, 0755);
	assert_int_equal(p->files[1].mode, 0600);
	config_done(&c);
}

static void out_expands_in_paths(void **state)
{
	struct err err;
	struct config c =
	    loaded("return { cache_dir = '/cache', profiles = {"
		   "  a = { build_out = '/o', kernel = '{out}/k',"
		   "        disks = {'{out}/{out}.img'} },"
		   "  b = { build = 'make', initrd = '{out}' } } }");
	const struct config_profile *a = config_find_profile(&c, "a", &err);
	const struct config_profile *b = config_find_profile(&c, "b", &err);

	(void)state;
	assert_string_equal(a->kernel, "/o/k");
	assert_string_equal(a->disks.v[0], "/o//o.img");
	assert_string_equal(b->initrd, b->build_out);
	assert_int_equal(strncmp(b->build_out, "/cache/build/b-", 15), 0);
	config_done(&c);
	refused("return { profiles = { a = { kernel = '{out}/k' } } }",
		"profiles.a: '{out}/k' needs build or build_out");
}

static void it_is_found_upwards(void **state)
{
	struct fixture *f = *state;
	struct config c = loaded("return { roots = {'t'} }");
	struct err err;

	config_done(&c);
	assert_int_equal(mkdir("a", 0700), 0);
	assert_int_equal(mkdir("a/b", 0700), 0);
	assert_int_equal(chdir("a/b"), 0);
	assert_int_equal(config_load(&c, NULL, &err), 0);
	assert_string_equal(c.dir, f->dir);
	config_done(&c);
}

static void a_named_file_must_exist(void **state)
{
	struct config c;
	struct err err = {0};

	(void)state;
	assert_int_equal(config_load(&c, "nope.lua", &err), -ENOENT);
	assert_non_null(strstr(err.text, "nope.lua"));
	assert_int_equal(config_load(&c, "/tmp", &err), -EINVAL);
	assert_non_null(strstr(err.text, "is not a file"));
	/* Nobody writes into it: it must not be waited for. */
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(config_load(&c, "fifo", &err), -EINVAL);
	assert_non_null(strstr(err.text, "is not a file"));
}

static void unknown_keys_are_errors(void **state)
{
	(void)state;
	refused("return { root = {'x'} }",
		"unknown key 'root', did you mean 'roots'?");
	refused("return { xyzzy = 1 }",
		"unknown key 'xyzzy'; there is: roots, cache_dir");
	refused("return { profiles = { a = { memroy = '1G' } } }",
		"unknown key 'profiles.a.memroy', did you mean 'memory'?");
	refused("return { profiles = { a = { files = {{pth = '/x'}} } } }",
		"unknown key 'profiles.a.files[1].pth', did you mean 'path'?");
	refused("return { 'tests' }", "expected named keys");
	refused("return { profiles = { { kernel = 'k' } } }",
		"profiles: expected named profiles");
}

static void wrong_types_are_errors(void **state)
{
	(void)state;
	refused("return { roots = 'tests' }",
		"roots: expected a list of strings, got string");
	refused("return { roots = { 1 } }", "roots[1]: expected a string");
	refused("return { roots = { a = 'x' } }", "a table with other keys");
	refused("return { cache_dir = true }", "cache_dir: expected a path");
	refused("return { profiles = { a = 1 } }",
		"profiles.a: expected a table, got number");
	refused("return { profiles = { a = { inject_agent = 1 } } }",
		"inject_agent: expected true or false");
	refused("return { profiles = { a = { cpus = 1.5 } } }",
		"profiles.a.cpus: expected a whole number from 1");
	refused("return { profiles = { a = { cpus = 0 } } }", "from 1");
	refused("return { profiles = { a = { cpus = 0/0 } } }", "from 1");
	refused("return { profiles = { a = { kernel = 'a\\0b' } } }",
		"kernel: expected a path");
	refused("return { profiles = { a = { accel = 'xen' } } }",
		"accel: expected \"auto\", \"kvm\" or \"tcg\"");
	refused("return { network = 'bridge' }",
		"network: expected \"user\" or \"kernel\"");
	refused("return { profiles = { a = { transport = 1 } } }",
		"transport: expected \"auto\", \"vsock\" or \"serial\"");
	refused("return { profiles = { a = { files = {{path='x'}} } } }",
		"profiles.a.files[1].path: expected an absolute path");
	refused("return { profiles = { a = { files = {{path='/x'}} } } }",
		"content is missing");
	refused("return { profiles = { a = { files = {{path='/x',"
		"content='', mode='9'}} } } }",
		"mode: expected a mode");
}

static void bad_sizes_are_errors(void **state)
{
	(void)state;
	refused("return { profiles = { a = { memory = '256X' } } }",
		"profiles.a.memory: '256X' is not a size");
	refused("return { profiles = { a = { memory = 256 } } }",
		"less than 1M; a number without a unit is bytes");
	refused("return { cache_max_size = -1 }",
		"cache_max_size: expected a size");
	refused("return { cache_max_size = 1/0 }", "expected a size");
}

static void a_config_returns_a_table(void **state)
{
	(void)state;
	refused("", "this one returned nil");
	refused("return 7", "this one returned number");
}

static void lua_errors_name_the_line(void **state)
{
	(void)state;
	refused("\nreturn {", "provium.lua:2:");
	refused("\n\nerror('no way')", "provium.lua:3: no way");
	refused("error({})", "error without a text");
}

static void only_four_libraries_are_there(void **state)
{
	static const char *const gone[] = {
	    "require", "io",	       "dofile",    "load",  "loadstring",
	    "pcall",   "setmetatable", "getfenv",   "debug", "ffi",
	    "jit",     "package",      "coroutine", "print", "_G"};
	char text[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
		snprintf(text, sizeof(text), "return %s", gone[i]);
		refused(text, "is not known here");
	}
	refused("return os.execute('true')", "execute");
	setenv("PROVIUM_TEST_ROOT", "/from/env", 1);
	struct config c = loaded(
	    "local r = {}; table.insert(r, os.getenv('PROVIUM_TEST_ROOT'))"
	    "r[2] = string.format('/%d', math.floor(1.5)); return {roots = r}");
	assert_string_equal(c.roots.v[0], "/from/env");
	assert_string_equal(c.roots.v[1], "/1");
	config_done(&c);
}

static void an_endless_loop_ends(void **state)
{
	(void)state;
	refused("while true do end", "an endless loop?");
}

static void bytecode_is_refused(void **state)
{
	struct config c;
	struct err err = {0};

	(void)state;
	write_config("\033LJ\002\0", 5);
	assert_true(config_load(&c, NULL, &err) < 0);
	assert_non_null(strstr(err.text, "provium.lua"));
}

static void an_unknown_profile_is_an_error_that_lists_them(void **state)
{
	struct config c = loaded("return { profiles = { debian = {} } }");
	struct err err = {0};

	(void)state;
	assert_null(config_find_profile(&c, "debain", &err));
	assert_string_equal(err.text, "no profile 'debain', did you mean "
				      "'debian'?; there is: 'debian', "
				      "'default'");
	config_done(&c);
	refused("return { default_profile = 'x' }",
		"default_profile: no profile 'x'; there is: 'default'");
}

int main(void)
{
#define IN_DIR(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
	    IN_DIR(without_a_file_there_are_defaults),
	    IN_DIR(every_key_is_read),
	    IN_DIR(out_expands_in_paths),
	    IN_DIR(it_is_found_upwards),
	    IN_DIR(a_named_file_must_exist),
	    IN_DIR(unknown_keys_are_errors),
	    IN_DIR(wrong_types_are_errors),
	    IN_DIR(bad_sizes_are_errors),
	    IN_DIR(a_config_returns_a_table),
	    IN_DIR(lua_errors_name_the_line),
	    IN_DIR(only_four_libraries_are_there),
	    IN_DIR(an_endless_loop_ends),
	    IN_DIR(bytecode_is_refused),
	    IN_DIR(an_unknown_profile_is_an_error_that_lists_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
