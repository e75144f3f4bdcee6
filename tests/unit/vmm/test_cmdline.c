/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/cmdline.h"

struct row {
	const char *user, *want;
};

static void check(const struct row *rows, size_t n, bool has_alarms)
{
	for (size_t i = 0; i < n; i++) {
		CLEANUP(free_ptr)
		char *line =
		    cmdline_complete(rows[i].user, NULL, 0, has_alarms);

		assert_string_equal(line, rows[i].want);
	}
}

static void without_alarms_it_is_the_users(void **state)
{
	static const struct row rows[] = {
	    {"", ""},
	    {"quiet", "quiet"},
	    {"loglevel=0 -- quiet", "loglevel=0 -- quiet"},
	};

	(void)state;
	check(rows, ARRAY_LEN(rows), false);
}

static void alarms_raise_a_level_that_hides_warnings(void **state)
{
	static const struct row rows[] = {
	    {"quiet", "quiet loglevel=5"},
	    {"\"quiet\"", "\"quiet\" loglevel=5"},
	    {"loglevel=0", "loglevel=0 loglevel=5"},
	    {"\"loglevel=4\"", "\"loglevel=4\" loglevel=5"},
	    {"debug a quiet", "debug a quiet loglevel=5"},
	    {"loglevel=7 quiet b ", "loglevel=7 quiet b loglevel=5"},
	    {"quiet=x", "quiet=x loglevel=5"},
	    {"loglevel=\"4\"", "loglevel=\"4\" loglevel=5"},
	    {"loglevel=", "loglevel= loglevel=5"},
	    /* Behind -- are the arguments of init. */
	    {"quiet -- x", "quiet loglevel=5 -- x"},
	    {"quiet --", "quiet loglevel=5 --"},
	    {"loglevel=3 -- loglevel=7", "loglevel=3 loglevel=5 -- loglevel=7"},
	};

	(void)state;
	check(rows, ARRAY_LEN(rows), true);
}

static void alarms_lower_nothing(void **state)
{
	static const struct row rows[] = {
	    {"", ""},
	    {" ", " "},
	    {"loglevel=5", "loglevel=5"},
	    {"quiet loglevel=8", "quiet loglevel=8"},
	    {"quiet debug", "quiet debug"},
	    {"quiet ignore_loglevel", "quiet ignore_loglevel"},
	    {"quiet ignore-loglevel", "quiet ignore-loglevel"},
	    {"loglevel=\"7\"", "loglevel=\"7\""},
	    {"\"--\" quiet", "\"--\" quiet"},
	    {"-- quiet", "-- quiet"},
	    {"quietly a=\"b quiet c\" xquiet",
	     "quietly a=\"b quiet c\" xquiet"},
	};

	(void)state;
	check(rows, ARRAY_LEN(rows), true);
}

static void serial_ports_are_looked_for(void **state)
{
	static const char *const with[][2] = {
	    {"-serial", "null"},
	    {"--serial", "null"},
	    {"-device", "isa-serial,chardev=x"},
	    {"-device", "pci-serial-4x"},
	    {"-device", "{\"driver\":\"pci-serial\"}"},
	};
	static const char *const without[][2] = {
	    {"-device", "usb-serial"},
	    {"-serialx", "serial"},
	    {"-chardev", "serial,id=x"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(with); i++) {
		CLEANUP(free_ptr)
		char *line = cmdline_complete("a", with[i], 2, false);

		assert_string_equal(line, "8250.nr_uarts=8 a");
	}
	for (size_t i = 0; i < ARRAY_LEN(without); i++) {
		CLEANUP(free_ptr)
		char *line = cmdline_complete("a", without[i], 2, false);

		assert_string_equal(line, "a");
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_alarms_it_is_the_users),
	    cmocka_unit_test(alarms_raise_a_level_that_hides_warnings),
	    cmocka_unit_test(alarms_lower_nothing),
	    cmocka_unit_test(serial_ports_are_looked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
