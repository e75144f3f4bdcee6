/* SPDX-License-Identifier: MIT */
/* Output of processes: kept from byte 0, bounded, for any number of readers. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "cmd/provium-agent/io/spool.h"
#include "tests/unit/agent/lib_agent_peer.h"

/* cmd/provium-agent/io/spool.h: what an output keeps */
#define SPOOL_MAX MSG_OUTPUT_KEPT_MAX

/* A process whose outputs will be read from their first byte. */
static uint64_t peer_sh_read(struct peer *p, const char *script)
{
	const char *const argv[] = {"sh", "-c", script, NULL};

	return peer_spawn(p, argv, MSG_SPAWN_READ);
}

/* Resident memory of the agent in bytes. */
static size_t agent_memory(const struct peer *p)
{
	char path[64], line[256];
	size_t kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", p->pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %zu", &kib) == 1)
			break;
	fclose(f);
	assert_true(kib > 0);
	return kib << 10;
}

static int64_t ping(struct peer *p)
{
	struct msg m = {.type = MSG_PING, .ping.value = 1};

	return peer_done(p, &m);
}

static int64_t status_of(struct peer *p, uint64_t handle)
{
	struct msg m = {.type = MSG_PROC_STATUS, .proc_status.handle = handle};

	return peer_done(p, &m);
}

static void two_readers_both_replay_everything(void **state)
{
	struct peer *p = *state;
	uint64_t h = peer_sh(p, "echo one; echo err >&2; echo two");
	struct exchange *a = peer_output(p, h, 1, 0);
	struct exchange *b, *e;

	peer_wait_fin(a);
	assert_int_equal(a->reply.type, MSG_DONE);
	assert_data(a, "one\ntwo\n");
	assert_int_equal(peer_wait_exit(p, h).status, 0);
	b = peer_output(p, h, 1, MSG_OUTPUT_UNTIL_EXIT);
	e = peer_output(p, h, 2, 0);
	peer_wait_fin(b);
	assert_data(b, "one\ntwo\n");
	peer_wait_fin(e);
	assert_data(e, "err\n");
}

static void readers_are_independent(void **state)
{
	struct peer *p = *state;
	uint64_t h = peer_sh(p, "head -c 2000000 /dev/zero");
	struct exchange *slow = peer_output(p, h, 1, 0);
	struct exchange *fast = peer_output(p, h, 1, 0);

	slow->hold = true;
	peer_wait_fin(fast);
	assert_int_equal(fast->data.len, 2000000);
	assert_in_range(slow->data.len, 1, CHAN_WINDOW);
	peer_unhold(slow);
	peer_wait_fin(slow);
	assert_int_equal(slow->data.len, 2000000);
}

static void until_exit_does_not_wait_for_grandchildren(void **state)
{
	struct peer *p = *state;
	uint64_t h = peer_sh(p, "sleep 60 & echo started");
	struct exchange *x = peer_output(p, h, 1, MSG_OUTPUT_UNTIL_EXIT);
	struct exchange *to_end = peer_output(p, h, 1, 0);

	peer_wait_fin(x);
	assert_data(x, "started\n");
	assert_int_equal(ping(p), 1);
	assert_false(to_end->fin);
	assert_int_equal(to_end->data.len, 8);
}

static void until_exit_sends_what_is_in_the_pipe_at_exit(void **state)
{
	struct peer *p = *state;
	/* fills the pipe, then exits while another holds it */
	uint64_t h = peer_sh(p, "sleep 60 & head -c 3000000 /dev/zero; exit 7");
	struct exchange *x = peer_output(p, h, 1, MSG_OUTPUT_UNTIL_EXIT);

	peer_wait_fin(x);
	assert_int_equal(x->data.len, 3000000);
	assert_int_equal(peer_wait_exit(p, h).status, 7);
}

/* A reader that has stopped keeps the process's last bytes in the pipe, but not
 * from those who wait for its end. */
static void until_exit_does_not_wait_for_a_reader_that_stops(void **state)
{
	struct peer *p = *state;
	uint64_t h = peer_sh_read(p, "exec yes");
	struct exchange *stopped = peer_output(p, h, 1, 0);
	struct msg kill = {.type = MSG_PROC_SIGNAL};
	struct exchange *x;

	stopped->hold = true;
	peer_wait_data(stopped, CHAN_WINDOW);
	/* Nothing tells that the spool is full, and the pipe behind it. */
	usleep(300000);
	kill.proc_signal.handle = h;
	kill.proc_signal.signo = SIGTERM;
	assert_int_equal(peer_done(p, &kill), 0);
	assert_int_equal(peer_wait_exit(p, h).status, SIGTERM);
	x = peer_output(p, h, 1, MSG_OUTPUT_UNTIL_EXIT | MSG_OUTPUT_HELD);
	peer_wait_fin(x);
	assert_int_equal(x->reply.type, MSG_DONE);
	assert_true(x->data.len > SPOOL_MAX / 2);
	assert_false(stopped->fin);
}

/* The agent is stopped meanwhile: it finds both at once. */
static void output_and_exit_may_come_together(void **state)
{
	struct peer *p = *state;
	const char *go = peer_tmp("go");
	char script[300];
	struct exchange *x;
	struct pollfd gone = {.events = POLLIN};

	snprintf(script, sizeof(script),
		 "echo $$; until [ -e %s ]; do sleep 0.01; done; "
		 "head -c 50000 /dev/zero; exit 7",
		 go);
	uint64_t h = peer_sh(p, script);
	x = peer_output(p, h, 1, MSG_OUTPUT_UNTIL_EXIT);
	peer_wait_data(x, 2);
	size_t before = x->data.len;
	gone.fd = (int)syscall(SYS_pidfd_open,
			       atoi((const char *)buf_data(&x->data)), 0);
	assert_true(gone.fd >= 0);
	kill(p->pid, SIGSTOP);
	peer_write(go, "", false);
	assert_int_equal(poll(&gone, 1, PEER_WAIT_S * 1000), 1);
	kill(p->pid, SIGCONT);
	close(gone.fd);
	peer_wait_fin(x);
	assert_int_equal(x->data.len, before + 50000);
	assert_int_equal(peer_wait_exit(p, h).status, 7);
}

static void until_exit_ends_though_a_grandchild_goes_on_writing(void **state)
{
	struct peer *p = *state;
	uint64_t h = peer_sh(p, "yes & sleep 0.1; exit 0");
	struct exchange *x = peer_output(p, h, 1, MSG_OUTPUT_UNTIL_EXIT);

	peer_wait_fin(x);
	assert_int_equal(x->errnum, 0);
	assert_int_equal(ping(p), 1);
}

/* A producer that is not done, since its output is kept for a reader. */
static uint64_t start_unread_producer(struct peer *p)
{
	uint64_t h = peer_sh_read(p, "head -c 100000000 /dev/zero; echo x >&2");

	/* until it has made what it can: more would be a byte of stderr */
	for (int i = 0; i < 20; i++)
		peer_settle(p, 25);
	return h;
}

static void announced_reader_blocks_its_process_only(void **state)
{
	struct peer *p = *state;
	uint64_t h = start_unread_producer(p);
	struct exchange *x;

	assert_int_equal(status_of(p, h), 1);
	x = peer_output(p, peer_sh(p, "echo quick"), 1, 0);
	peer_wait_fin(x);
	assert_data(x, "quick\n");
	x = peer_output(p, h, 1, 0);
	peer_wait_fin(x);
	assert_int_equal(x->data.len, 100000000);
	assert_int_equal(peer_wait_exit(p, h).status, 0);
}

static void unread_output_keeps_memory_bounded(void **state)
{
	struct peer *p = *state;
	size_t before = agent_memory(p);
	uint64_t h = start_unread_producer(p);

	assert_int_equal(status_of(p, h), 1);
	assert_true(agent_memory(p) < before + SPOOL_MAX + (16u << 20));
}

static void a_reader_that_stops_blocks_its_process(void **state)
{
	struct peer *p = *state;
	uint64_t h = peer_sh_read(p, "head -c 100000000 /dev/zero");
	size_t before = agent_memory(p);
	struct exchange *x = peer_output(p, h, 1, 0);

	x->hold = true;
	peer_wait_data(x, CHAN_WINDOW);
	for (int i = 0; i < 20; i++)
		peer_settle(p, 25);
	assert_int_equal(status_of(p, h), 1);
	assert_int_equal(x->data.len, CHAN_WINDOW);
	assert_true(agent_memory(p) < before + SPOOL_MAX + (16u << 20));
	peer_unhold(x);
	peer_wait_fin(x);
	assert_int_equal(x->data.len, 100000000);
}

static void replay_of_dropped_output_is_an_error(void **state)
{
	struct peer *p = *state;
	uint64_t h = peer_sh_read(p, "head -c 20000000 /dev/zero; sleep 60");
	struct exchange *x = peer_output(p, h, 1, 0);

	peer_wait_data(x, 20000000);
	x = peer_output(p, h, 1, 0);
	peer_wait_fin(x);
	assert_int_equal(x->errnum, ENODATA);
	assert_non_null(strstr(x->text, "bytes were dropped"));
	/* stderr is complete */
	x = peer_output(p, h, 2, 0);
	peer_wait_reply(x);
	assert_int_equal(x->errnum, 0);
}

static void output_that_nobody_can_ask_for_is_dropped(void **state)
{
	struct peer *p = *state;
	uint64_t h =
	    peer_sh_read(p, "head -c 20000000 /dev/zero; read x; exit 0");
	struct exchange *x = peer_output(p, h, 1, 0);

	peer_wait_data(x, 10000000);
	chan_reset(x->chan);
	x->chan = NULL;
	/* the rest is more than is kept, yet the process can finish */
	assert_int_equal(peer_wait_exit(p, h).status, 0);
}

static void many_outputs_share_a_budget(void **state)
{
	struct peer *p = *state;
	uint64_t h[8];
	struct exchange *x;

	for (int i = 0; i < 8; i++)
		h[i] = peer_sh_read(p, "head -c 9000000 /dev/zero");
	for (int i = 0; i < 8; i++) {
		x = peer_output(p, h[i], 1, 0);
		peer_wait_fin(x);
		assert_int_equal(x->data.len, 9000000);
	}
}

/* More than is kept, of lines that tell where they stand. */
#define NUMBERS	     1500000
#define NUMBERS_TEXT "seq -f %08.0f 1500000"
#define NUMBER_LEN   9

/* The process is never held up, and the newest bytes are there afterwards. */
static void an_unread_output_keeps_its_newest_bytes(void **state)
{
	struct peer *p = *state;
	uint64_t h = peer_sh(p, NUMBERS_TEXT "; echo end >&2; exit 4");
	struct exchange *x;
	char first[NUMBER_LEN + 1], want[32];

	assert_int_equal(peer_wait_exit(p, h).status, 4);
	x = peer_output(p, h, 1, 0);
	peer_wait_fin(x);
	assert_int_equal(x->errnum, ENODATA);
	x = peer_output(p, h, 1, MSG_OUTPUT_HELD);
	peer_wait_fin(x);
	assert_true(x->data.len >= SPOOL_MAX);
	assert_true(x->data.len < SPOOL_MAX + (256u << 10));
	assert_int_equal(x->reply.done.value + (int64_t)x->data.len,
			 NUMBERS * NUMBER_LEN);
	/* What was dropped is all before what is kept. */
	size_t into = (size_t)(x->reply.done.value % NUMBER_LEN);
	size_t skip = into ? NUMBER_LEN - into : 0;
	memcpy(first, buf_data(&x->data) + skip, NUMBER_LEN);
	first[NUMBER_LEN] = 0;
	snprintf(want, sizeof(want), "%08d\n",
		 (int)((x->reply.done.value + (int64_t)skip) / NUMBER_LEN) + 1);
	assert_string_equal(first, want);
	x = peer_output(p, h, 2, 0);
	peer_wait_fin(x);
	assert_data(x, "end\n");
}

/* cmd/provium-agent/io/spool.h: SPOOL_GRACE_NS */
#define GRACE_NS NS_PER_SEC

/* Opens an output 300 ms after the start, when more was written than is kept.
 * Returns NULL where the machine took longer than the grace for that. */
static struct exchange *open_in_grace(struct peer *p, uint64_t *ret_handle)
{
	int64_t start = clock_now_ns();
	struct exchange *x;

	*ret_handle = peer_sh(p, "head -c 20000000 /dev/zero; exit 5");
	peer_settle(p, 300);
	x = peer_output(p, *ret_handle, 1, 0);
	peer_wait_reply(x);
	return clock_now_ns() - start < GRACE_NS ? x : NULL;
}

static void an_output_is_whole_for_a_reader_that_comes_at_once(void **state)
{
	struct peer *p = *state;
	struct exchange *x = NULL;
	uint64_t h = 0;

	for (int i = 0; i < 100 && !x; i++)
		x = open_in_grace(p, &h);
	assert_non_null(x);
	peer_wait_fin(x);
	assert_int_equal(x->errnum, 0);
	assert_int_equal(x->reply.done.value, 0);
	assert_int_equal(x->data.len, 20000000);
	assert_int_equal(peer_wait_exit(p, h).status, 5);
}

/* The grace counts from the start, and is one for all that was written. */
static void a_process_that_nobody_reads_is_held_up_once(void **state)
{
	struct peer *p = *state;
	int64_t start = clock_now_ns();
	uint64_t h = peer_sh(p, "head -c 9000000 /dev/zero");

	assert_int_equal(peer_wait_exit(p, h).status, 0);
	assert_true(clock_now_ns() - start >= GRACE_NS);
	/* One that is older than its grace is never held up. */
	h = peer_sh(p, "sleep 1.1; head -c 50000000 /dev/zero; echo 1 >&2");
	struct exchange *x = peer_output(p, h, 2, 0);
	peer_wait_fin(x);
	assert_data(x, "1\n");
	assert_int_equal(peer_wait_exit(p, h).status, 0);
}

/* Following one output while the other fills up. */
static void
a_reader_of_one_output_waits_for_no_reader_of_the_other(void **state)
{
	struct peer *p = *state;
	uint64_t h =
	    peer_sh(p, "read x; head -c 20000000 /dev/zero >&2; echo done");
	struct exchange *x = peer_output(p, h, 1, 0);

	peer_wait_fin(x);
	assert_data(x, "done\n");
	assert_int_equal(peer_wait_exit(p, h).status, 0);
}

/* Their share of the memory is passed; what is kept is the longest's loss. */
static void unread_outputs_never_hold_each_other_up(void **state)
{
	struct peer *p = *state;
	const int n = 80;
	uint64_t small = peer_sh(p, "echo small");
	uint64_t h[80];
	size_t before = agent_memory(p);

	for (int i = 0; i < n; i++)
		h[i] = peer_sh(p, "head -c 9000000 /dev/zero");
	for (int i = 0; i < n; i++)
		assert_int_equal(peer_wait_exit(p, h[i]).status, 0);
	/* 256 MiB are kept; AddressSanitizer rounds a chunk up by a quarter. */
	assert_true(agent_memory(p) < before + (384u << 20));
	struct exchange *x = peer_output(p, small, 1, 0);
	peer_wait_fin(x);
	assert_data(x, "small\n");
	x = peer_output(p, h[0], 1, MSG_OUTPUT_HELD);
	peer_wait_fin(x);
	assert_true(x->data.len >= 65536);
	assert_int_equal(x->reply.done.value + (int64_t)x->data.len, 9000000);
}

/* Outputs whose readers are announced take the room of one without a reader,
 * which keeps what every output may keep. */
static void an_unread_output_makes_room_and_keeps_its_share(void **state)
{
	struct peer *p = *state;
	const int n = 32;
	uint64_t h[32];
	uint64_t unread = peer_sh(p, "head -c 9000000 /dev/zero");

	assert_int_equal(peer_wait_exit(p, unread).status, 0);
	/* 127 chunks of 64 KiB each: 32 chunks of the bound are left. */
	for (int i = 0; i < n; i++)
		h[i] = peer_sh_read(p, "head -c 8300000 /dev/zero");
	for (int i = 0; i < n; i++)
		assert_int_equal(peer_wait_exit(p, h[i]).status, 0);
	h[0] = peer_sh_read(p, "head -c 1600000 /dev/zero");
	assert_int_equal(peer_wait_exit(p, h[0]).status, 0);
	/* The rest is too little for this one, which nobody reads either. */
	h[1] = peer_sh(p, "head -c 3000000 /dev/zero");
	assert_int_equal(peer_wait_exit(p, h[1]).status, 0);
	struct exchange *x = peer_output(p, unread, 1, MSG_OUTPUT_HELD);
	peer_wait_fin(x);
	assert_in_range(x->data.len, SPOOL_MIN, 2 * SPOOL_MIN);
	assert_int_equal(x->reply.done.value + (int64_t)x->data.len, 9000000);
}

static void only_outputs_can_be_read(void **state)
{
	struct peer *p = *state;
	uint64_t h = peer_sh(p, "exit 0");
	struct exchange *x = peer_output(p, h, 0, 0);

	peer_wait_fin(x);
	assert_int_equal(x->errnum, EINVAL);
	x = peer_output(p, h, 3, 0);
	peer_wait_fin(x);
	assert_int_equal(x->errnum, EINVAL);
	x = peer_output(p, h, 1, 0x80);
	peer_wait_fin(x);
	assert_int_equal(x->errnum, EINVAL);
	x = peer_output(p, 4711, 1, 0);
	peer_wait_fin(x);
	assert_int_equal(x->errnum, EBADF);
}

#define PEER_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, peer_setup, peer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PEER_TEST(two_readers_both_replay_everything),
	    PEER_TEST(readers_are_independent),
	    PEER_TEST(until_exit_does_not_wait_for_grandchildren),
	    PEER_TEST(until_exit_sends_what_is_in_the_pipe_at_exit),
	    PEER_TEST(until_exit_does_not_wait_for_a_reader_that_stops),
	    PEER_TEST(output_and_exit_may_come_together),
	    PEER_TEST(until_exit_ends_though_a_grandchild_goes_on_writing),
	    PEER_TEST(announced_reader_blocks_its_process_only),
	    PEER_TEST(an_unread_output_keeps_its_newest_bytes),
	    PEER_TEST(an_output_is_whole_for_a_reader_that_comes_at_once),
	    PEER_TEST(a_process_that_nobody_reads_is_held_up_once),
	    PEER_TEST(a_reader_of_one_output_waits_for_no_reader_of_the_other),
	    PEER_TEST(unread_outputs_never_hold_each_other_up),
	    PEER_TEST(an_unread_output_makes_room_and_keeps_its_share),
	    PEER_TEST(unread_output_keeps_memory_bounded),
	    PEER_TEST(a_reader_that_stops_blocks_its_process),
	    PEER_TEST(replay_of_dropped_output_is_an_error),
	    PEER_TEST(output_that_nobody_can_ask_for_is_dropped),
	    PEER_TEST(many_outputs_share_a_budget),
	    PEER_TEST(only_outputs_can_be_read),
	};

	/* AddressSanitizer keeps freed memory in quarantine, 256 MB of it: the
	 * agents that this program starts keep little. */
	setenv("ASAN_OPTIONS", "quarantine_size_mb=1", 0);
	return cmocka_run_group_tests_name("agent spool", tests, NULL, NULL);
}
