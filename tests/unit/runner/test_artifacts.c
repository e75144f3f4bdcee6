/* SPDX-License-Identifier: MIT */
#include <errno.h>
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

#include "runner/artifacts.h"
#include "runner/rundir.h"
#include "tests/unit/tmp.h"

struct fixture {
	char base[TMP_PATH_MAX];
	char *run_dir;
	char *out;
};

static int set_up(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	tmp_template(f->base);
	assert_non_null(mkdtemp(f->base));
	f->run_dir = mem_printf("%s/7", f->base);
	f->out = mem_printf("%s/kept/here", f->base);
	assert_int_equal(mkdir(f->run_dir, 0700), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	rundir_remove(f->base);
	free(f->run_dir);
	free(f->out);
	free(f);
	return 0;
}

static void put(const struct fixture *f, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", f->run_dir, name);
	FILE *out = fopen(path, "we");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	free(path);
}

static void make_dir(const struct fixture *f, const char *name)
{
	char *path = mem_printf("%s/%s", f->run_dir, name);

	assert_int_equal(mkdir(path, 0700), 0);
	free(path);
}

static void logs_are_copied(void **state)
{
	struct fixture *f = *state;
	struct strvec kept = {0};
	struct err err;
	char text[64];

	make_dir(f, "vm1");
	put(f, "vm1/a.console", "hello\r\n");
	put(f, "vm1/a.initrd", "not this");
	assert_int_equal(
	    artifacts_keep(f->out, "t/x.test.lua", f->run_dir, &kept, &err), 0);
	assert_int_equal(kept.n, 1);
	char *want = mem_printf("%s/t_x.test.lua/7-vm1-a.console", f->out);
	assert_string_equal(kept.v[0], want);
	FILE *in = fopen(want, "re");
	assert_non_null(in);
	assert_non_null(fgets(text, sizeof(text), in));
	assert_string_equal(text, "hello\r\n");
	fclose(in);
	free(want);
	strvec_done(&kept);
}

static void what_was_said_with_qemu_is_copied(void **state)
{
	struct fixture *f = *state;
	struct strvec kept = {0};
	struct err err;

	make_dir(f, "vm1");
	put(f, "vm1/a.qmp", "{}");
	assert_int_equal(artifacts_keep(f->out, "x", f->run_dir, &kept, &err),
			 0);
	assert_int_equal(kept.n, 1);
	char *want = mem_printf("%s/x/7-vm1-a.qmp", f->out);
	assert_string_equal(kept.v[0], want);
	free(want);
	strvec_done(&kept);
}

/* The name that the file has when it is kept; owned. */
static char *attach_name(const struct fixture *f, const char *test,
			 const char *name, const char *p, size_t n)
{
	struct err err;
	char *path, *kept;

	assert_int_equal(
	    artifacts_attach(f->run_dir, test, name, p, n, &path, &err), 0);
	kept = artifacts_name(f->run_dir, path);
	free(path);
	return kept;
}

static void attach(const struct fixture *f, const char *test, const char *name,
		   const char *p, size_t n)
{
	free(attach_name(f, test, name, p, n));
}

static void the_name_of_a_copy_is_known_before_it_is_made(void **state)
{
	struct fixture *f = *state;
	struct strvec kept = {0};
	struct err err;
	char *attached = attach_name(f, "a test/b", "x", "1", 1);
	char *log = mem_printf("%s/vm3/b.old.pcap", f->run_dir);
	char *log_name = artifacts_name(f->run_dir, log);

	make_dir(f, "vm3");
	put(f, "vm3/b.old.pcap", "x");
	assert_int_equal(artifacts_keep(f->out, "x", f->run_dir, &kept, &err),
			 0);
	assert_int_equal(kept.n, 2);
	assert_true(strcmp(kept.v[0], kept.v[1]) < 0);
	for (size_t i = 0; i < kept.n; i++) {
		const char *name = strrchr(kept.v[i], '/') + 1;

		assert_true(!strcmp(name, attached) || !strcmp(name, log_name));
	}
	assert_string_not_equal(attached, log_name);
	strvec_done(&kept);
	free(log_name);
	free(log);
	free(attached);
}

static void attachments_are_copied_whole(void **state)
{
	struct fixture *f = *state;
	struct strvec kept = {0};
	struct err err;
	char text[64] = "";

	attach(f, "a test/b", "x.pcap", "old", 3);
	attach(f, "a test/b", "x.pcap", "n\0w", 3);
	attach(f, "../../b", "y", NULL, 0);
	assert_int_equal(artifacts_keep(f->out, "x", f->run_dir, &kept, &err),
			 0);
	assert_int_equal(kept.n, 2);
	char *want = mem_printf("%s/x/7-attached-a_test_b-x.pcap", f->out);
	FILE *in = fopen(want, "re");
	assert_non_null(in);
	assert_int_equal(fread(text, 1, sizeof(text), in), 3);
	assert_memory_equal(text, "n\0w", 3);
	fclose(in);
	free(want);
	strvec_done(&kept);
	char *path = f->base;
	assert_true(
	    artifacts_attach("/proc/nope", "t", "n", "", 0, &path, &err) < 0);
	assert_null(path);
	assert_non_null(strstr(err.text, "cannot write '/proc/nope/attached"));
}

static void without_a_log_nothing_is_made(void **state)
{
	struct fixture *f = *state;
	struct strvec kept = {0};
	struct err err;

	put(f, "a.initrd", "");
	assert_int_equal(artifacts_keep(f->out, "x", f->run_dir, &kept, &err),
			 0);
	assert_int_equal(kept.n, 0);
	assert_int_equal(access(f->out, F_OK), -1);
}

static void links_and_names_lead_nowhere_else(void **state)
{
	struct fixture *f = *state;
	struct strvec kept = {0};
	struct err err;
	char *link = mem_printf("%s/l.console", f->run_dir);
	char *pipe = mem_printf("%s/p.console", f->run_dir);

	assert_int_equal(symlink("/etc/passwd", link), 0);
	put(f, "a.console", "x");
	assert_int_equal(
	    artifacts_keep(f->out, "../../x", f->run_dir, &kept, &err), 0);
	assert_int_equal(kept.n, 1);
	assert_int_equal(strncmp(kept.v[0], f->out, strlen(f->out)), 0);
	assert_null(strstr(kept.v[0], "/../"));
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_int_equal(artifacts_keep(f->out, "x", f->run_dir, &kept, &err),
			 -EINVAL);
	strvec_done(&kept);
	free(link);
	free(pipe);
}

static void an_unwritable_place_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct strvec kept = {0};
	struct err err;

	put(f, "a.console", "x");
	assert_true(artifacts_keep("/proc/nope", "x", f->run_dir, &kept, &err) <
		    0);
	assert_non_null(strstr(err.text, "/proc/nope"));
	assert_int_equal(kept.n, 0);
}

int main(void)
{
#define IN_DIR(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
	    IN_DIR(logs_are_copied),
	    IN_DIR(what_was_said_with_qemu_is_copied),
	    IN_DIR(the_name_of_a_copy_is_known_before_it_is_made),
	    IN_DIR(attachments_are_copied_whole),
	    IN_DIR(without_a_log_nothing_is_made),
	    IN_DIR(links_and_names_lead_nowhere_else),
	    IN_DIR(an_unwritable_place_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
