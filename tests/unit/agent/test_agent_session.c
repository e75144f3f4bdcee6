/* SPDX-License-Identifier: MIT */
/* The loop: requests in any order, garbage, new sessions, the end. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "tests/unit/agent/lib_agent_peer.h"

static int64_t ping(struct peer *p, int64_t value)
{
	struct msg m = {.type = MSG_PING, .ping.value = value};

	return peer_done(p, &m);
}

static void ping_returns_every_64_bit_value(void **state)
{
	assert_int_equal(ping(*state, 0), 0);
	assert_int_equal(ping(*state, -1), -1);
	assert_true(ping(*state, INT64_MIN) == INT64_MIN);
	assert_true(ping(*state, INT64_MAX) == INT64_MAX);
	assert_true(ping(*state, (INT64_C(1) << 53) + 1) ==
		    (INT64_C(1) << 53) + 1);
}

static void hello_tells_version_and_instance(void **state)
{
	struct peer *p = *state;

	assert_int_equal(p->agent.version, PROTO_VERSION);
	assert_true(p->agent.instance != 0);
}

/* Sends bytes as the first message of a channel. */
static struct exchange *send_raw(struct peer *p, const void *bytes, size_t n)
{
	struct msg m = {.type = MSG_PING};
	struct exchange *x = peer_send(p, &m, true);

	peer_wait_fin(x);
	*x = (struct exchange){.p = p,
			       .next = x->next,
			       .reply_bytes = x->reply_bytes,
			       .data = x->data};
	buf_reset(&x->reply_bytes);
	x->chan = chan_open(p->session, bytes, n, true, x);
	peer_wait_fin(x);
	return x;
}

static void unknown_request_is_enosys(void **state)
{
	const struct exchange *x = send_raw(*state, "\xff\x7f", 2);

	assert_int_equal(x->errnum, ENOSYS);
	assert_non_null(strstr(x->text, "32767"));
}

static void answers_sent_as_requests_are_enosys(void **state)
{
	const struct exchange *x =
	    send_raw(*state, "\x02\0\0\0\0\0\0\0\0\0", 10);

	assert_int_equal(x->errnum, ENOSYS);
}

static void cut_off_request_is_ebadmsg(void **state)
{
	assert_int_equal(send_raw(*state, "\x03\0\x01", 3)->errnum, EBADMSG);
	assert_int_equal(send_raw(*state, "\x03", 1)->errnum, EBADMSG);
	/* one byte too many */
	assert_int_equal(
	    send_raw(*state, "\x03\0\0\0\0\0\0\0\0\0\0", 11)->errnum, EBADMSG);
	assert_int_equal(ping(*state, 7), 7);
}

static void second_message_on_a_channel_ends_it(void **state)
{
	struct peer *p = *state;
	uint64_t h = peer_sh(p, "exec sleep 60");
	struct msg m = {.type = MSG_PROC_WAIT, .proc_wait.handle = h};
	struct exchange *x = peer_send(p, &m, false);

	chan_send(x->chan, "\x03\0", 2, true);
	peer_wait_fin(x);
	assert_int_equal(x->errnum, EBADMSG);
}

static void long_run_never_delays_a_ping(void **state)
{
	struct peer *p = *state;
	uint64_t h = peer_sh(p, "exec sleep 60");
	struct msg m = {.type = MSG_PROC_WAIT, .proc_wait.handle = h};
	struct exchange *x = peer_send(p, &m, true);

	for (int i = 0; i < 100; i++)
		assert_int_equal(ping(p, i), i);
	assert_false(x->fin);
}

static void requests_are_pipelined(void **state)
{
	struct peer *p = *state;
	struct exchange *x[200];

	for (int i = 0; i < 200; i++) {
		struct msg m = {.type = MSG_PING, .ping.value = i};
		x[i] = peer_send(p, &m, true);
	}
	for (int i = 0; i < 200; i++) {
		peer_wait_fin(x[i]);
		assert_int_equal(x[i]->reply.done.value, i);
	}
}

static void garbage_on_the_wire_is_survived(void **state)
{
	struct peer *p = *state;
	char junk[3000];

	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = (char)(i * 37 + i / 256);
	assert_true(write(p->fd, junk, sizeof(junk)) == (ssize_t)sizeof(junk));
	peer_hello(p);
	assert_int_equal(ping(p, 5), 5);
}

static void new_hello_ends_channels_keeps_handles(void **state)
{
	struct peer *p = *state;
	const char *path = peer_tmp("kept");
	const char *const argv[] = {"sh", "-c", "echo early; read x; exit 3",
				    NULL};
	uint64_t h = peer_spawn(p, argv, MSG_SPAWN_STDIN_PIPE);
	uint64_t instance = p->agent.instance;
	struct msg wait = {.type = MSG_PROC_WAIT, .proc_wait.handle = h};
	struct msg open = {.type = MSG_FILE_OPEN};
	struct msg status = {.type = MSG_PROC_STATUS, .proc_status.handle = h};
	struct msg close_stdin = {.type = MSG_PROC_STDIN,
				  .proc_stdin = {.handle = h, .close = 1}};
	struct msg read = {.type = MSG_FILE_READ};
	struct exchange *x = peer_send(p, &wait, true);

	peer_write(path, "content", false);
	open.file_open.handle = 77;
	open.file_open.path = path;
	open.file_open.flags = MSG_OPEN_READ;
	peer_done(p, &open);
	peer_hello(p);
	peer_settle(p, 50);
	assert_null(x->chan);
	assert_int_equal(x->reason, -ECONNRESET);
	assert_true(p->agent.instance == instance);
	assert_int_equal(peer_done(p, &status), 1);
	peer_done(p, &close_stdin);
	assert_int_equal(peer_wait_exit(p, h).status, 3);
	assert_int_equal(peer_done(p, &status), 0);
	read.file_read.handle = 77;
	read.file_read.count = 100;
	assert_data(peer_call(p, &read), "content");
	x = peer_output(p, h, 1, 0);
	peer_wait_fin(x);
	assert_data(x, "early\n");
}

static void release_of_an_unknown_handle_is_ebadf(void **state)
{
	struct msg m = {.type = MSG_RELEASE, .release.handle = 999};

	peer_fails(*state, &m, EBADF, "999");
}

static void handles_of_the_wrong_kind_are_ebadf(void **state)
{
	uint64_t h = peer_sh(*state, "exit 0");
	struct msg m = {.type = MSG_FILE_SEEK, .file_seek.handle = h};

	peer_fails(*state, &m, EBADF, "file handle");
}

static void shutdown_answers_and_ends(void **state)
{
	struct peer *p = peer_start();
	struct msg m = {.type = MSG_SHUTDOWN, .shutdown.how = 9};

	(void)state;
	peer_fails(p, &m, EINVAL, "shutdown");
	m.shutdown.how = MSG_SHUTDOWN_POWEROFF;
	assert_int_equal(peer_done(p, &m), 0);
	while (!p->ended)
		peer_turn(p);
	peer_stop(p);
}

static void hangup_kills_what_was_started(void **state)
{
	struct peer *p = peer_start();
	const char *const argv[] = {"sleep", "60", NULL};
	struct msg m = {.type = MSG_SPAWN, .spawn.handle = 1};
	struct buf items = {0};
	uint32_t count = 0;
	pid_t pid;

	(void)state;
	for (int i = 0; argv[i]; i++)
		msg_list_add(&items, &count, argv[i], strlen(argv[i]));
	m.spawn.argv = msg_list_of(&items, count);
	pid = (pid_t)peer_done(p, &m);
	buf_done(&items);
	assert_int_equal(kill(pid, 0), 0);
	peer_stop(p);
	/* Dead, or dying as somebody's zombie. */
	char path[64], state_char = 'Z';
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (int tries = 0; tries < 6000; tries++) {
		FILE *f = fopen(path, "r");
		if (!f)
			break;
		if (fscanf(f, "%*d %*s %c", &state_char) != 1)
			state_char = 'Z';
		fclose(f);
		if (state_char == 'Z' || state_char == 'X')
			break;
		usleep(10000);
	}
	assert_true(state_char == 'Z' || state_char == 'X');
}

static void version_names_program_and_protocol(void **state)
{
	char line[128] = "", want[128];
	FILE *f = popen(PROVIUM_B "/provium-agent-test --version", "r");

	(void)state;
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_int_equal(pclose(f), 0);
	snprintf(want, sizeof(want), "provium-agent %s, protocol %u\n",
		 PROVIUM_VERSION, PROTO_VERSION);
	assert_string_equal(line, want);
}

/* --- the listener: vsock's code, on a unix socket ------------------------- */

static int connect_to(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	strcpy(sa.sun_path, path);
	for (int tries = 0; tries < 6000; tries++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
			return fd;
		close(fd);
		usleep(10000); /* until the program has started */
	}
	fail_msg("cannot connect to %s", path);
	return -1;
}

static void new_connection_replaces_the_old_one(void **state)
{
	const char *path = peer_tmp("socket");
	struct peer *a, *b;
	struct msg m = {.type = MSG_PROC_STATUS};
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(PROVIUM_B "/provium-agent-test", "agent", "--unix", path,
		      NULL);
		_exit(1);
	}
	a = peer_wrap(connect_to(path));
	m.proc_status.handle = peer_sh(a, "exec sleep 60");
	assert_int_equal(peer_done(a, &m), 1);
	b = peer_wrap(connect_to(path));
	assert_true(a->agent.instance == b->agent.instance);
	/* the process of the first session is there */
	assert_int_equal(peer_done(b, &m), 1);
	while (!a->ended)
		peer_turn(a);
	peer_stop(a);
	peer_stop(b);
	a = peer_wrap(connect_to(path));
	assert_int_equal(peer_done(a, &m), 1);
	m = (struct msg){.type = MSG_SHUTDOWN};
	peer_done(a, &m);
	peer_stop(a);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Where another program is init, nobody knows what it listens to. */
static void buttons_of_others_are_ready_at_once(void **state)
{
	struct msg m = {.type = MSG_BUTTON_READY};

	assert_int_equal(peer_done(*state, &m), 0);
	m.button_ready.button = 7;
	peer_fails(*state, &m, EINVAL, "button 7");
}

/* This agent is no process 1, which places them. */
static void files_that_were_not_placed_are_missed(void **state)
{
	struct msg m = {.type = MSG_BOOT_FILES};

	assert_int_equal(peer_done(*state, &m), 0);
	m.boot_files.count = 2;
	peer_fails(*state, &m, ENOENT, "0 of 2 files for the guest");
}

/* Nothing is changed: the agent of this test has the host's kernel. */
static void a_restore_without_entropy_or_time_is_refused(void **state)
{
	static const uint8_t much[MSG_ENTROPY_MAX + 1];
	struct msg m = {.type = MSG_RESTORED};

	peer_fails(*state, &m, EINVAL, "0 bytes of entropy");
	m.restored.entropy = (struct msg_bytes){much, sizeof(much)};
	peer_fails(*state, &m, EINVAL, "257 bytes of entropy");
	m.restored.entropy.n = 64;
	m.restored.realtime_ns = -1;
	peer_fails(*state, &m, EINVAL, "restored");
}

static void only_workers_have_calls_to_give_up(void **state)
{
	struct msg m = {.type = MSG_WORKER_ABANDON};

	m.worker_abandon.handle = 999;
	peer_fails(*state, &m, EBADF, "999");
	m.worker_abandon.handle = peer_sh(*state, "exit 0");
	peer_fails(*state, &m, EBADF, "worker handle");
}

static void an_error_s_words_outlast_a_long_path(void **state)
{
	char path[4000];
	struct msg m = {.type = MSG_STAT, .stat.path = path};

	memset(path, 'n', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	peer_fails(*state, &m, ENAMETOOLONG, "nnn...: File name too long");
	path[200] = '\0';
	peer_fails(*state, &m, ENOENT, "nnn': No such file or directory");
}

#define PEER_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, peer_setup, peer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PEER_TEST(ping_returns_every_64_bit_value),
	    PEER_TEST(hello_tells_version_and_instance),
	    PEER_TEST(unknown_request_is_enosys),
	    PEER_TEST(answers_sent_as_requests_are_enosys),
	    PEER_TEST(cut_off_request_is_ebadmsg),
	    PEER_TEST(second_message_on_a_channel_ends_it),
	    PEER_TEST(long_run_never_delays_a_ping),
	    PEER_TEST(requests_are_pipelined),
	    PEER_TEST(garbage_on_the_wire_is_survived),
	    PEER_TEST(new_hello_ends_channels_keeps_handles),
	    PEER_TEST(release_of_an_unknown_handle_is_ebadf),
	    PEER_TEST(handles_of_the_wrong_kind_are_ebadf),
	    PEER_TEST(buttons_of_others_are_ready_at_once),
	    PEER_TEST(files_that_were_not_placed_are_missed),
	    PEER_TEST(a_restore_without_entropy_or_time_is_refused),
	    PEER_TEST(only_workers_have_calls_to_give_up),
	    PEER_TEST(an_error_s_words_outlast_a_long_path),
	    cmocka_unit_test(shutdown_answers_and_ends),
	    cmocka_unit_test(hangup_kills_what_was_started),
	    cmocka_unit_test(version_names_program_and_protocol),
	    cmocka_unit_test(new_connection_replaces_the_old_one),
	};

	return cmocka_run_group_tests_name("agent session", tests, NULL, NULL);
}
