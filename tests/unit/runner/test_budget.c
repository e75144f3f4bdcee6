/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "runner/budget.h"
#include "runner/rundir.h"
#include "tests/unit/tmp.h"

#define M (UINT64_C(1) << 20)
#define G (UINT64_C(1) << 30)

/* A host in a folder. */
struct fixture {
	char dir[TMP_PATH_MAX];
	char *meminfo;
	char *cgroup;
	struct budget_probe probe;
	struct pool_budget budget;
};

static void put(const struct fixture *f, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", f->dir, name);
	FILE *out;

	for (char *p = path + strlen(f->dir) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(path, 0700);
		*p = '/';
	}
	out = fopen(path, "we");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	free(path);
}

static int set_up(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	tmp_template(f->dir);
	assert_non_null(mkdtemp(f->dir));
	f->meminfo = mem_printf("%s/meminfo", f->dir);
	f->cgroup = mem_printf("%s/self", f->dir);
	f->probe = (struct budget_probe){f->meminfo, f->cgroup, f->dir, 2};
	put(f, "meminfo",
	    "MemTotal:       20971520 kB\n"
	    "MemFree:         1000000 kB\n"
	    "MemAvailable:   10485760 kB\n");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	rundir_remove(f->dir);
	free(f->meminfo);
	free(f->cgroup);
	free(f);
	return 0;
}

static uint64_t memory(struct fixture *f)
{
	const struct budget_wish none = {0};

	budget_find(&f->probe, &none, &f->budget);
	return f->budget.amount.memory;
}

static void it_is_four_fifths_of_what_is_available(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(memory(f), 8 * G);
	assert_string_equal(f->budget.memory_note, " of 10G available: --mem");
}

static void a_group_of_version_2_limits_it(void **state)
{
	struct fixture *f = *state;

	put(f, "self", "1:name=systemd:/x\n0::/a/b\n");
	put(f, "a/b/memory.max", "max\n");
	put(f, "a/b/memory.current", "1000\n");
	put(f, "a/memory.max", "5368709120\n");
	put(f, "a/memory.current", "1073741824\n");
	put(f, "a/memory.stat", "anon 7\ninactive_file 1073741824\n");
	assert_int_equal(memory(f), 4 * G);
	put(f, "a/memory.stat", "anon 7\n");
	assert_int_equal(memory(f), 4 * G / 5 * 4);
}

static void a_group_of_version_1_limits_it(void **state)
{
	struct fixture *f = *state;

	put(f, "self", "5:cpu,cpuacct:/c\n4:memory:/a\n0::/\n");
	put(f, "memory/a/memory.limit_in_bytes", "5368709120\n");
	put(f, "memory/a/memory.usage_in_bytes", "0\n");
	assert_int_equal(memory(f), 4 * G);
	/* The largest that there can be: none. */
	put(f, "memory/a/memory.limit_in_bytes", "9223372036854771712\n");
	assert_int_equal(memory(f), 8 * G);
}

static void a_group_named_from_outside_is_the_root_of_the_mount(void **state)
{
	struct fixture *f = *state;

	put(f, "self", "4:memory:/outer/name\n");
	put(f, "memory/memory.limit_in_bytes", "5368709120\n");
	put(f, "memory/memory.usage_in_bytes", "0\n");
	assert_int_equal(memory(f), 4 * G);
}

static void a_group_that_is_full_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	put(f, "self", "0::/\n");
	put(f, "memory.max", "1000\n");
	put(f, "memory.current", "2000\n");
	assert_int_equal(memory(f), 0);
}

static void odd_files_are_no_limit(void **state)
{
	struct fixture *f = *state;

	put(f, "self", "\n:\n::\n0:\nx:memory\n0::/gone\n");
	assert_int_equal(memory(f), 8 * G);
}

static void the_user_has_the_last_word(void **state)
{
	struct fixture *f = *state;
	const struct budget_wish wish = {.memory = 3 * G, .cpus = 5};

	budget_find(&f->probe, &wish, &f->budget);
	assert_int_equal(f->budget.amount.memory, 3 * G);
	assert_int_equal(f->budget.amount.cpus, 5);
	assert_string_equal(f->budget.memory_note, ": --mem");
	assert_string_equal(f->budget.cpus_note, ": --cpus");
}

static void vcpus_are_cpus_times_overcommit(void **state)
{
	struct fixture *f = *state;
	struct budget_wish wish = {0};

	budget_find(&f->probe, &wish, &f->budget);
	assert_int_equal(f->budget.amount.cpus, 16);
	wish.overcommit = 1.5;
	budget_find(&f->probe, &wish, &f->budget);
	assert_int_equal(f->budget.amount.cpus, 3);
	assert_string_equal(f->budget.cpus_note,
			    " (2 CPUs x 1.5): --cpus or --cpu-overcommit");
	wish.overcommit = 0.1;
	budget_find(&f->probe, &wish, &f->budget);
	assert_int_equal(f->budget.amount.cpus, 1);
}

static void this_host_has_something(void **state)
{
	const struct budget_wish none = {0};
	struct pool_budget b;

	(void)state;
	budget_find(NULL, &none, &b);
	assert_true(b.amount.memory > 0);
	assert_true(b.amount.cpus >= budget_cpus());
}

static void pressure_is_that_of_the_last_seconds(void **state)
{
	struct fixture *f = *state;

	assert_false(budget_is_pressed(f->dir));
	put(f, "memory",
	    "some avg10=0.00 avg60=99.00 avg300=0.00 total=0\n"
	    "full avg10=99.00 avg60=0.00 avg300=0.00 total=0\n");
	put(f, "cpu", "some avg10=50.00 avg60=0.00 avg300=0.00 total=0\n");
	assert_false(budget_is_pressed(f->dir));
	put(f, "cpu", "some avg10=95.00 avg60=0.00 avg300=0.00 total=0\n");
	assert_true(budget_is_pressed(f->dir));
	put(f, "cpu", "odd\n");
	assert_false(budget_is_pressed(f->dir));
	put(f, "memory", "some avg10=20.00 avg60=0.00 avg300=0.00 total=0\n");
	assert_true(budget_is_pressed(f->dir));
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(it_is_four_fifths_of_what_is_available),
	    TEST(a_group_of_version_2_limits_it),
	    TEST(a_group_of_version_1_limits_it),
	    TEST(a_group_named_from_outside_is_the_root_of_the_mount),
	    TEST(a_group_that_is_full_leaves_nothing),
	    TEST(odd_files_are_no_limit),
	    TEST(the_user_has_the_last_word),
	    TEST(vcpus_are_cpus_times_overcommit),
	    TEST(this_host_has_something),
	    TEST(pressure_is_that_of_the_last_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
