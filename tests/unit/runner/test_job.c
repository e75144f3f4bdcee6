/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runner/job.h"

static void a_job_survives_the_line(void **state)
{
	struct job j = {
	    .file = mem_strdup("/tests/caf\xc3\xa9.test.lua"),
	    .display = mem_strdup("tests/\xff\xfe\n.test.lua"),
	    .config = mem_strdup(""),
	    .run_dir = mem_strdup("/run/provium-x/1"),
	    .list_only = true,
	    .is_fail_fast = true,
	    .retries = 3,
	    .shuffle = 77,
	    .timeout_ns = INT64_MAX,
	    .verbose = 2,
	};
	struct job back;
	struct err err;
	struct buf b = {0};

	(void)state;
	strvec_add(&j.skip, "one");
	strvec_add(&j.skip, "two \xff");
	job_encode(&j, &b);
	assert_ptr_equal(memchr(buf_data(&b), '\n', b.len),
			 buf_data(&b) + b.len - 1);
	assert_int_equal(job_decode(&back, (char *)buf_data(&b), b.len, &err),
			 0);
	assert_string_equal(back.file, j.file);
	assert_string_equal(back.display, j.display);
	assert_string_equal(back.config, "");
	assert_string_equal(back.run_dir, j.run_dir);
	assert_int_equal(back.select.n, 0);
	assert_true(back.list_only);
	assert_true(back.is_fail_fast);
	assert_int_equal(back.retries, 3);
	assert_int_equal(back.shuffle, 77);
	assert_true(back.timeout_ns == INT64_MAX);
	assert_int_equal(back.verbose, 2);
	assert_int_equal(back.skip.n, 2);
	assert_string_equal(back.skip.v[0], "one");
	assert_string_equal(back.skip.v[1], "two \xff");
	job_done(&back);
	job_done(&j);
	buf_done(&b);
}

static void a_malformed_job_is_an_error(void **state)
{
	static const char *const bad[] = {
	    "",
	    "[]",
	    "{}",
	    "{\"file\":1}",
	    "{\"file\":\"f\",\"display\":\"f\",\"config\":\"\","
	    "\"run_dir\":\"/\",\"select\":[],\"list_only\":false,"
	    "\"is_shared\":false,\"is_fail_fast\":false,\"shuffle\":0,"
	    "\"timeout_ns\":1.5,\"retries\":0,\"verbose\":0,\"skip\":[]}",
	    "{\"file\":\"f\",\"display\":\"f\",\"config\":\"\","
	    "\"run_dir\":\"/\",\"select\":[],\"list_only\":false,"
	    "\"is_shared\":false,\"is_fail_fast\":false,\"shuffle\":0,"
	    "\"timeout_ns\":1,\"retries\":0,\"verbose\":0,\"skip\":[1]}",
	    "{\"file\":{\"hex\":\"f\"}}",
	    "{\"file\":{\"hex\":\"zz\"}}",
	    "{\"file\":{\"hex\":\"00\"}}",
	};
	struct job j;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&err);
		assert_int_equal(job_decode(&j, bad[i], strlen(bad[i]), &err),
				 -EBADMSG);
		assert_non_null(strstr(err.text, "job"));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_job_survives_the_line),
	    cmocka_unit_test(a_malformed_job_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
