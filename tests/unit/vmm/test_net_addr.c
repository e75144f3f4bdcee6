/* SPDX-License-Identifier: MIT */
#include "vmm/net/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "agent-proto/mem.h"

static void what_is_formatted_is_parsed(void **state)
{
	static const uint8_t macs[][MAC_LEN] = {
	    {0},
	    {0x52, 0x54, 0, 0xab, 0xcd, 0xef},
	    {255, 255, 255, 255, 255, 255}};
	uint8_t mac[MAC_LEN];
	char text[MAC_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(macs); i++) {
		mac_format(macs[i], text);
		assert_int_equal(mac_parse(text, mac), 0);
		assert_memory_equal(mac, macs[i], MAC_LEN);
	}
}

static void capitals_are_taken(void **state)
{
	static const uint8_t want[MAC_LEN] = {0x52, 0x54, 0, 0xAB, 0xCD, 0xEF};
	uint8_t mac[MAC_LEN];

	(void)state;
	assert_int_equal(mac_parse("52:54:00:AB:cD:Ef", mac), 0);
	assert_memory_equal(mac, want, MAC_LEN);
}

static void what_is_no_mac_is_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    ":",
	    "5",
	    "52",
	    "52:",
	    "52:54:00:00:01",
	    "52:54:00:00:01:",
	    "52:54:00:00:01:2",
	    "52:54:00:00:01:0g",
	    "52:54:00:00:01:02:",
	    "52:54:00:00:01:02:03",
	    "52:54:00:00:01:02 ",
	    "52-54-00-00-01-02",
	    "152:54:00:00:01:02",
	    " 2:54:00:00:01:02",
	    "+2:54:00:00:01:02",
	    "0x2:54:00:00:01:2",
	    "0x:54:00:00:01:02",
	    "52::54:00:00:01:0",
	};
	uint8_t mac[MAC_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (mac_parse(bad[i], mac) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_is_formatted_is_parsed),
    cmocka_unit_test(capitals_are_taken),
    cmocka_unit_test(what_is_no_mac_is_refused),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
