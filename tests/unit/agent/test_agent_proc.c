/* SPDX-License-Identifier: MIT */
/* Processes: how they start, what goes in, how they end. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "tests/unit/agent/lib_agent_peer.h"

struct spawn_args {
	const char *argv[4];
	const char *env[4];
	const char *cwd;
	uint32_t flags;
};

static struct msg_list list_of(struct buf *items, const char *const *v)
{
	uint32_t count = 0;

	for (; *v; v++)
		msg_list_add(items, &count, *v, strlen(*v));
	return msg_list_of(items, count);
}

static struct exchange *spawn(struct peer *p, uint64_t handle,
			      const struct spawn_args *a)
{
	struct msg m = {.type = MSG_SPAWN};
	struct buf argv = {0}, env = {0};
	struct exchange *x;

	m.spawn.handle = handle;
	m.spawn.flags = a->flags;
	m.spawn.cwd = a->cwd;
	m.spawn.argv = list_of(&argv, a->argv);
	m.spawn.env = list_of(&env, a->env);
	x = peer_call(p, &m);
	buf_done(&argv);
	buf_done(&env);
	return x;
}

/* The whole stdout of a script. */
static struct exchange *sh_output(struct peer *p, const char *script)
{
	struct exchange *x =
	    peer_output(p, peer_sh(p, script), 1, MSG_OUTPUT_UNTIL_EXIT);

	peer_wait_fin(x);
	return x;
}

static struct exchange *signal_proc(struct peer *p, uint64_t handle, int signo,
				    bool group)
{
	struct msg m = {.type = MSG_PROC_SIGNAL};

	m.proc_signal.handle = handle;
	m.proc_signal.signo = signo;
	m.proc_signal.group = group;
	return peer_call(p, &m);
}

static int64_t status_of(struct peer *p, uint64_t handle)
{
	struct msg m = {.type = MSG_PROC_STATUS, .proc_status.handle = handle};

	return peer_done(p, &m);
}

static void release(struct peer *p, uint64_t handle)
{
	struct msg m = {.type = MSG_RELEASE, .release.handle = handle};

	assert_int_equal(peer_done(p, &m), 0);
}

/* --- starting ------------------------------------------------------------- */

static void exit_code_and_duration_are_told(void **state)
{
	int64_t before = clock_now_ns();
	struct msg_exited e =
	    peer_wait_exit(*state, peer_sh(*state, "sleep 0.1; exit 42"));

	assert_int_equal(e.signalled, 0);
	assert_int_equal(e.status, 42);
	assert_true(e.duration_ns >= 100 * NS_PER_MS);
	assert_true(e.duration_ns <= clock_now_ns() - before);
}

static void wait_after_exit_answers_at_once(void **state)
{
	uint64_t h = peer_sh(*state, "exit 3");

	assert_int_equal(peer_wait_exit(*state, h).status, 3);
	assert_int_equal(peer_wait_exit(*state, h).status, 3);
	assert_int_equal(status_of(*state, h), 0);
}

static void death_by_signal_is_told(void **state)
{
	uint64_t h = peer_sh(*state, "kill -USR1 $$");
	struct msg_exited e = peer_wait_exit(*state, h);

	assert_int_equal(e.signalled, 1);
	assert_int_equal(e.status, SIGUSR1);
}

static void missing_command_is_named(void **state)
{
	const struct spawn_args a = {.argv = {"no-such-command"}};
	const struct exchange *x = spawn(*state, 1, &a);

	assert_int_equal(x->errnum, ENOENT);
	assert_string_equal(x->text,
			    "run 'no-such-command': No such file or directory");
}

static void failed_spawn_leaves_the_handle_free(void **state)
{
	struct spawn_args a = {.argv = {"/etc/passwd"}};

	assert_int_equal(spawn(*state, 1, &a)->errnum, EACCES);
	a.argv[0] = "true";
	assert_int_equal(spawn(*state, 1, &a)->errnum, 0);
	assert_int_equal(spawn(*state, 1, &a)->errnum, EEXIST);
}

static void missing_directory_is_named(void **state)
{
	const struct spawn_args a = {.argv = {"true"}, .cwd = "/no/dir"};
	const struct exchange *x = spawn(*state, 1, &a);

	assert_int_equal(x->errnum, ENOENT);
	assert_non_null(strstr(x->text, "in '/no/dir'"));
}

static void senseless_spawns_are_einval(void **state)
{
	struct spawn_args a = {.argv = {NULL}};

	assert_int_equal(spawn(*state, 1, &a)->errnum, EINVAL);
	a.argv[0] = "";
	assert_int_equal(spawn(*state, 1, &a)->errnum, EINVAL);
	a.argv[0] = "true";
	a.env[0] = "novalue";
	assert_int_equal(spawn(*state, 1, &a)->errnum, EINVAL);
	a.env[0] = NULL;
	a.flags = 1u << 31;
	assert_int_equal(spawn(*state, 1, &a)->errnum, EINVAL);
}

static void directory_is_root_unless_told(void **state)
{
	struct spawn_args a = {.argv = {"pwd"}};
	struct exchange *x;

	spawn(*state, 1, &a);
	x = peer_output(*state, 1, 1, 0);
	peer_wait_fin(x);
	assert_data(x, "/\n");
	a.cwd = "/usr";
	spawn(*state, 2, &a);
	x = peer_output(*state, 2, 1, 0);
	peer_wait_fin(x);
	assert_data(x, "/usr\n");
}

static void environment_is_added_to_ours(void **state)
{
	const struct spawn_args a = {
	    .argv = {"sh", "-c", "echo $A/$PROVIUM_TEST_ENV/${PATH:+path}"},
	    .env = {"A=1", "PROVIUM_TEST_ENV=changed"},
	};
	struct exchange *x;

	spawn(*state, 1, &a);
	x = peer_output(*state, 1, 1, 0);
	peer_wait_fin(x);
	assert_data(x, "1/changed/path\n");
}

static void environment_is_cleared_when_told(void **state)
{
	/* env is found by the default PATH */
	const struct spawn_args a = {
	    .argv = {"env"},
	    .env = {"ONLY=this"},
	    .flags = MSG_SPAWN_ENV_CLEAR,
	};
	struct exchange *x;

	spawn(*state, 1, &a);
	x = peer_output(*state, 1, 1, 0);
	peer_wait_fin(x);
	assert_data(x, "ONLY=this\n");
}

static void path_of_the_new_environment_is_searched(void **state)
{
	const char *prog = peer_tmp("only-here");
	char path[200];
	const struct spawn_args a = {
	    .argv = {"only-here"},
	    .env = {path},
	};
	struct exchange *x;

	snprintf(path, sizeof(path), "PATH=/no:%.*s:/usr/bin:/bin",
		 (int)(strrchr(prog, '/') - prog), prog);
	peer_write(prog, "#!/bin/sh\necho found\n", false);
	assert_int_equal(chmod(prog, 0755), 0);
	spawn(*state, 1, &a);
	x = peer_output(*state, 1, 1, 0);
	peer_wait_fin(x);
	assert_data(x, "found\n");
}

static void child_has_three_descriptors_and_clean_signals(void **state)
{
	/* Built-ins only: what a shell starts, it has open pipes for. Some
	 * shells keep a descriptor (10) for their script. */
	const struct exchange *x = sh_output(
	    *state, "i=0; while [ $i -lt 100 ]; do [ $i = 10 ] || "
		    "! [ -e /proc/$$/fd/$i ] || printf '%s ' $i; i=$((i+1)); "
		    "done; readlink /proc/$$/fd/0;"
		    "grep -E 'Sig(Blk|Ign)' /proc/$$/status | tr -d '\\t\\n'");

	assert_data(x, "0 1 2 /dev/null\nSigBlk:0000000000000000"
		       "SigIgn:0000000000000000");
}

static void child_leads_a_session_of_its_own(void **state)
{
	const struct exchange *x = sh_output(
	    *state, "set -- $(cat /proc/$$/stat); [ $5 = $$ ] && [ $6 = $$ ] "
		    "&& echo leads");

	assert_data(x, "leads\n");
}

/* --- signals, release ----------------------------------------------------- */

static void signal_reaches_group_or_leader(void **state)
{
	struct peer *p = *state;
	const char *script = "trap 'echo got; exit 5' TERM; echo ready; "
			     "while :; do sleep 60 & wait $!; done";
	uint64_t h = peer_sh(p, script);
	struct exchange *x = peer_output(p, h, 1, MSG_OUTPUT_UNTIL_EXIT);

	peer_wait_data(x, 6);
	assert_int_equal(status_of(p, h), 1);
	assert_int_equal(signal_proc(p, h, SIGTERM, false)->errnum, 0);
	assert_int_equal(peer_wait_exit(p, h).status, 5);
	peer_wait_fin(x);
	assert_data(x, "ready\ngot\n");
	assert_int_equal(signal_proc(p, h, SIGTERM, false)->errnum, ESRCH);
	assert_int_equal(signal_proc(p, h, SIGKILL, true)->errnum, ESRCH);
	h = peer_sh(p, "sleep 60 | sleep 60");
	assert_int_equal(signal_proc(p, h, SIGKILL, true)->errnum, 0);
	x = peer_output(p, h, 1, 0); /* ends when both are dead */
	peer_wait_fin(x);
	assert_int_equal(peer_wait_exit(p, h).status, SIGKILL);
	h = peer_sh(p, "sleep 60");
	assert_int_equal(signal_proc(p, h, 99, false)->errnum, EINVAL);
}

static void release_kills_the_group_of_a_running_process(void **state)
{
	struct peer *p = *state;
	uint64_t h = peer_sh(p, "echo up; sleep 60 & sleep 60; true");
	struct msg wait = {.type = MSG_PROC_WAIT, .proc_wait.handle = h};
	struct exchange *out = peer_output(p, h, 1, 0);
	struct exchange *w = peer_send(p, &wait, true);

	peer_wait_data(out, 3);
	release(p, h);
	/* those already there see the end */
	peer_wait_fin(w);
	assert_int_equal(w->reply.exited.status, SIGKILL);
	peer_wait_fin(out);
	assert_data(out, "up\n");
	peer_fails(p, &wait, EBADF, "process handle");
}

static void release_after_exit_spares_a_daemon(void **state)
{
	struct peer *p = *state;
	const char *path = peer_tmp("daemon");
	char script[300];
	uint64_t h;

	/* it goes on writing to a pipe that nobody reads any more */
	snprintf(script, sizeof(script),
		 "(sleep 0.3; echo log; echo log >&2; echo lives >%s) & exit 0",
		 path);
	h = peer_sh(p, script);
	assert_int_equal(peer_wait_exit(p, h).status, 0);
	release(p, h);
	for (int i = 0; i < 6000 && access(path, F_OK) < 0; i++)
		peer_settle(p, 10);
	assert_int_equal(access(path, F_OK), 0);
}

/* --- stdin ---------------------------------------------------------------- */

static struct exchange *send_stdin(struct peer *p, uint64_t handle, bool close)
{
	struct msg m = {.type = MSG_PROC_STDIN};

	m.proc_stdin.handle = handle;
	m.proc_stdin.close = close;
	return peer_send(p, &m, false);
}

static void stdin_flows_in_the_order_of_requests(void **state)
{
	struct peer *p = *state;
	const char *const argv[] = {"cat", NULL};
	uint64_t h = peer_spawn(p, argv, MSG_SPAWN_STDIN_PIPE);
	struct exchange *a = send_stdin(p, h, false);
	struct exchange *b = send_stdin(p, h, true);
	struct exchange *x = peer_output(p, h, 1, 0);

	peer_body(b, "second", 6, true);
	peer_body(a, "first ", 6, true);
	peer_wait_fin(x);
	assert_data(x, "first second");
	assert_int_equal(a->reply.done.value, 6);
	assert_int_equal(b->reply.done.value, 6);
	assert_int_equal(peer_wait_exit(p, h).status, 0);
	a = send_stdin(p, h, false);
	peer_body(a, "late", 4, true);
	peer_wait_fin(a);
	assert_int_equal(a->errnum, EPIPE);
}

static void unread_stdin_pushes_back(void **state)
{
	struct peer *p = *state;
	const char *const argv[] = {"sleep", "60", NULL};
	uint64_t h = peer_spawn(p, argv, MSG_SPAWN_STDIN_PIPE);
	struct exchange *x = send_stdin(p, h, false);
	static char bytes[65536];
	size_t sent = 0, took;

	do {
		took = chan_write(x->chan, bytes, sizeof(bytes), false);
		sent += took;
		peer_settle(p, 50);
	} while (took);
	/* a pipe and a window, no more */
	assert_in_range(sent, CHAN_WINDOW, CHAN_WINDOW + (1 << 20));
	assert_int_equal(status_of(p, h), 1);
	signal_proc(p, h, SIGKILL, true);
	peer_wait_fin(x);
	assert_int_equal(x->errnum, EPIPE);
}

static void stdin_much_larger_than_a_window_passes(void **state)
{
	struct peer *p = *state;
	const char *const argv[] = {"wc", "-c", NULL};
	uint64_t h = peer_spawn(p, argv, MSG_SPAWN_STDIN_PIPE);
	struct exchange *x = send_stdin(p, h, true);
	size_t n = 3 << 20;
	char *bytes = mem_zalloc(n);

	peer_body(x, bytes, n, true);
	peer_wait_fin(x);
	assert_int_equal(x->reply.done.value, n);
	x = peer_output(p, h, 1, 0);
	peer_wait_fin(x);
	assert_data(x, "3145728\n");
	free(bytes);
}

static int fds_of(const struct peer *p)
{
	char path[64];
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", p->pid);
	DIR *d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void an_ended_process_keeps_no_descriptor(void **state)
{
	struct peer *p = *state;
	const char *const argv[] = {"true", NULL};
	int before = fds_of(p);

	for (int i = 0; i < 20; i++) {
		uint64_t h = peer_spawn(p, argv, MSG_SPAWN_STDIN_PIPE);
		assert_int_equal(peer_wait_exit(p, h).status, 0);
		peer_wait_fin(peer_output(p, h, 1, 0));
		peer_wait_fin(peer_output(p, h, 2, 0));
	}
	assert_int_equal(fds_of(p), before);
}

/* A grandchild may read it still. */
static void stdin_stays_open_for_who_reads_it(void **state)
{
	struct peer *p = *state;
	const char *const argv[] = {"sh", "-c", "exec 3<&0; cat <&3 & exit 0",
				    NULL};
	uint64_t h = peer_spawn(p, argv, MSG_SPAWN_STDIN_PIPE);
	struct exchange *out = peer_output(p, h, 1, 0), *x;

	assert_int_equal(peer_wait_exit(p, h).status, 0);
	x = send_stdin(p, h, true);
	peer_body(x, "late", 4, true);
	peer_wait_fin(x);
	assert_int_equal(x->errnum, 0);
	peer_wait_fin(out);
	assert_data(out, "late");
}

static void stdin_without_a_pipe_is_epipe(void **state)
{
	struct peer *p = *state;
	struct exchange *x = send_stdin(p, peer_sh(p, "sleep 60"), false);

	peer_wait_fin(x);
	assert_int_equal(x->errnum, EPIPE);
}

#define PEER_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, peer_setup, peer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PEER_TEST(exit_code_and_duration_are_told),
	    PEER_TEST(wait_after_exit_answers_at_once),
	    PEER_TEST(death_by_signal_is_told),
	    PEER_TEST(missing_command_is_named),
	    PEER_TEST(failed_spawn_leaves_the_handle_free),
	    PEER_TEST(missing_directory_is_named),
	    PEER_TEST(senseless_spawns_are_einval),
	    PEER_TEST(directory_is_root_unless_told),
	    PEER_TEST(environment_is_added_to_ours),
	    PEER_TEST(environment_is_cleared_when_told),
	    PEER_TEST(path_of_the_new_environment_is_searched),
	    PEER_TEST(child_has_three_descriptors_and_clean_signals),
	    PEER_TEST(child_leads_a_session_of_its_own),
	    PEER_TEST(signal_reaches_group_or_leader),
	    PEER_TEST(release_kills_the_group_of_a_running_process),
	    PEER_TEST(release_after_exit_spares_a_daemon),
	    PEER_TEST(stdin_flows_in_the_order_of_requests),
	    PEER_TEST(unread_stdin_pushes_back),
	    PEER_TEST(stdin_much_larger_than_a_window_passes),
	    PEER_TEST(stdin_without_a_pipe_is_epipe),
	    PEER_TEST(an_ended_process_keeps_no_descriptor),
	    PEER_TEST(stdin_stays_open_for_who_reads_it),
	};

	setenv("PROVIUM_TEST_ENV", "original", 1);
	return cmocka_run_group_tests_name("agent proc", tests, NULL, NULL);
}
