/* SPDX-License-Identifier: MIT */
/* The agent's config file. The agent is a program, so its source is taken. */
#include "cmd/provium-agent/init/config.c"

#include "tests/unit/agent/lib_agent_peer.h"

static void parse(struct config *c, const char *text)
{
	char *copy = mem_strdup(text);

	config_parse(c, copy);
	free(copy);
}

static void every_key_is_taken(void **state)
{
	struct config c;

	(void)state;
	parse(&c, "transport vsock\nport 4000000000\n"
		  "module /lib/modules/6.1/virtio.ko\nmodule virtio_console\n"
		  "files 65536\n");
	assert_int_equal(c.transport, TRANSPORT_VSOCK);
	assert_true(c.port == 4000000000u);
	assert_int_equal(c.n_files, 65536);
	assert_int_equal(c.modules.n, 2);
	assert_string_equal(c.modules.v[0], "/lib/modules/6.1/virtio.ko");
	assert_string_equal(c.modules.v[1], "virtio_console");
	config_done(&c);
}

static void nothing_means_serial(void **state)
{
	struct config c;

	(void)state;
	parse(&c, "");
	assert_int_equal(c.transport, TRANSPORT_SERIAL);
	assert_int_equal(c.modules.n, 0);
	config_done(&c);
	config_load(&c, "/no/such/config");
	assert_int_equal(c.transport, TRANSPORT_SERIAL);
	config_done(&c);
}

static void odd_lines_are_passed_over(void **state)
{
	struct config c;

	(void)state;
	parse(&c, "\n\n  \nfuture thing\nmodule\nport\ntransport\n"
		  "module\t a  b\r\nmodule last");
	assert_int_equal(c.modules.n, 2);
	assert_string_equal(c.modules.v[0], "a");
	assert_string_equal(c.modules.v[1], "last");
	config_done(&c);
}

static void file_is_read(void **state)
{
	const char *path = peer_tmp("config");
	struct config c;

	(void)state;
	peer_write(path, "transport vsock\nport 77\n", false);
	config_load(&c, path);
	assert_int_equal(c.transport, TRANSPORT_VSOCK);
	assert_int_equal(c.port, 77);
	config_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_key_is_taken),
	    cmocka_unit_test(nothing_means_serial),
	    cmocka_unit_test(odd_lines_are_passed_over),
	    cmocka_unit_test(file_is_read),
	};

	return cmocka_run_group_tests_name("agent config", tests, NULL, NULL);
}
