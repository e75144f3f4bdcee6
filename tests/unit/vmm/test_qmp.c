/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "vmm/qmp.h"

#define GREETING                                                               \
	"{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, "                 \
	"\"capabilities\": [\"oob\"]}}\r\n"
#define PATIENCE_NS (60 * NS_PER_SEC)

/* A connection whose other end is the test, in the part of QEMU. */
struct fixture {
	struct loop *loop;
	struct qmp *qmp;
	struct qmp_call greet;
	struct qmp_call call;
	int peer;
	unsigned lost;
	struct err lost_err;
	char events[256]; /* "NAME:data " each */
	unsigned n_resumed;
	bool free_on_event;
};

static void note_event(struct fixture *f, const char *name, const json_t *data)
{
	CLEANUP(free_ptr)
	char *text = data ? json_dumps(data, JSON_COMPACT) : mem_strdup("-");
	size_t n = strlen(f->events);

	snprintf(f->events + n, sizeof(f->events) - n, "%s:%s ", name, text);
	if (f->free_on_event)
		f->qmp = qmp_free(f->qmp);
}

static void on_stop(void *ctx, const json_t *data)
{
	note_event(ctx, "STOP", data);
}

static void on_shutdown(void *ctx, const json_t *data)
{
	note_event(ctx, "SHUTDOWN", data);
}

static void on_resume(void *ctx, const json_t *data)
{
	struct fixture *f = ctx;

	(void)data;
	assert_int_equal(f->lost, 0);
	f->n_resumed++;
}

static const struct qmp_event events[] = {{"STOP", on_stop},
					  {"SHUTDOWN", on_shutdown},
					  {"RESUME", on_resume},
					  {NULL, NULL}};

static void on_lost(void *ctx, const struct err *err)
{
	struct fixture *f = ctx;

	f->lost++;
	f->lost_err = *err;
}

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	f->loop = loop_new(NULL);
	f->peer = fds[1];
	f->qmp = qmp_new(f->loop, fds[0], events, on_lost, f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	qmp_call_done(&f->greet);
	qmp_call_done(&f->call);
	qmp_free(f->qmp);
	loop_poll(f->loop);
	loop_free(f->loop);
	fd_closep(&f->peer);
	free(f);
	return 0;
}

static void turn(struct fixture *f)
{
	for (int i = 0; i < 4; i++)
		loop_poll(f->loop);
}

static void say(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->peer, text, strlen(text)), strlen(text));
	turn(f);
}

/* What the client has sent; valid until the next call. */
static const char *heard(struct fixture *f)
{
	static char text[8192];
	ssize_t n;

	turn(f);
	n = read(f->peer, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void start(struct fixture *f, const char *command, json_t *arguments)
{
	qmp_call_start(&f->call, f->qmp, command, arguments,
		       clock_deadline_ns(PATIENCE_NS));
}

/* Through the greeting, up to an empty connection. */
static void negotiate(struct fixture *f)
{
	qmp_call_start(&f->greet, f->qmp, "qmp_capabilities", NULL,
		       clock_deadline_ns(PATIENCE_NS));
	say(f, GREETING);
	assert_non_null(strstr(heard(f), "qmp_capabilities"));
	say(f, "{\"return\": {}, \"id\": 1}\r\n");
	assert_true(op_is_done(&f->greet.op));
	assert_int_equal(f->greet.op.result, 0);
}

static void nothing_is_sent_before_the_greeting(void **state)
{
	struct fixture *f = *state;

	qmp_call_start(&f->greet, f->qmp, "qmp_capabilities", NULL,
		       clock_deadline_ns(PATIENCE_NS));
	assert_string_equal(heard(f), "");
	say(f, GREETING);
	assert_string_equal(heard(f),
			    "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
}

static void the_version_is_what_the_greeting_says(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(qmp_version(f->qmp), "");
	say(f, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, "
	       "\"minor\": 2, \"major\": 7}, \"package\": \"Debian x\"}, "
	       "\"capabilities\": []}}\r\n");
	assert_string_equal(qmp_version(f->qmp), "7.2.22 Debian x");
}

static void a_version_may_be_long_or_lacking(void **state)
{
	struct fixture *f = *state;
	char package[2 * QMP_VERSION_MAX];
	CLEANUP(free_ptr) char *text = NULL;

	memset(package, 'p', sizeof(package) - 1);
	package[sizeof(package) - 1] = '\0';
	text = mem_printf("{\"QMP\": {\"version\": {\"qemu\": {\"major\": 8, "
			  "\"minor\": 0, \"micro\": 1}, \"package\": \"%s\"}, "
			  "\"capabilities\": []}}\r\n",
			  package);
	say(f, text);
	assert_int_equal(strlen(qmp_version(f->qmp)), QMP_VERSION_MAX - 1);
	assert_int_equal(strncmp(qmp_version(f->qmp), "8.0.1 ppp", 9), 0);
}

static void a_reply_finishes_its_command(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	start(f, "query-status", json_pack("{s:i}", "a", 1));
	assert_string_equal(heard(f), "{\"execute\":\"query-status\","
				      "\"arguments\":{\"a\":1},\"id\":2}\n");
	say(f, "{\"return\": {\"status\": \"running\"}, \"id\": 2}\r\n");
	assert_true(op_is_done(&f->call.op));
	assert_int_equal(f->call.op.result, 0);
	assert_string_equal(
	    json_string_value(json_object_get(f->call.ret, "status")),
	    "running");
}

static void replies_may_come_in_any_order(void **state)
{
	struct fixture *f = *state;
	struct qmp_call second;

	negotiate(f);
	start(f, "one", NULL);
	qmp_call_start(&second, f->qmp, "two", NULL,
		       clock_deadline_ns(PATIENCE_NS));
	say(f, "{\"return\": 22, \"id\": 3}\n");
	assert_false(op_is_done(&f->call.op));
	assert_int_equal(json_integer_value(second.ret), 22);
	say(f, "{\"return\": 11, \"id\": 2}\n");
	assert_int_equal(json_integer_value(f->call.ret), 11);
	qmp_call_done(&second);
}

static void a_message_may_be_cut_anywhere(void **state)
{
	static const char reply[] = "{\"return\": [1, {\"}\": \"\\n\"}], "
				    "\"id\": 2}\r\n";
	struct fixture *f = *state;

	negotiate(f);
	start(f, "x", NULL);
	for (size_t i = 0; reply[i]; i++) {
		char one[2] = {reply[i], '\0'};

		assert_false(op_is_done(&f->call.op));
		say(f, one);
	}
	assert_true(op_is_done(&f->call.op));
	assert_int_equal(json_array_size(f->call.ret), 2);
}

static void an_error_reply_carries_qemus_reason(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	start(f, "device_del", NULL);
	say(f, "{\"error\": {\"class\": \"DeviceNotFound\", \"desc\": "
	       "\"Device 'x' not found\"}, \"id\": 2}\r\n");
	assert_int_equal(f->call.op.result, -EREMOTEIO);
	assert_string_equal(f->call.op.err.text,
			    "QEMU refused 'device_del': Device 'x' not found");
	assert_int_equal(f->lost, 0);
}

static void events_come_between_command_and_reply(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	start(f, "stop", NULL);
	say(f, "{\"event\": \"STOP\", \"timestamp\": {}}\r\n"
	       "{\"event\": \"NOT_ASKED_FOR\", \"data\": {}}\r\n"
	       "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true}}\r\n"
	       "{\"return\": {}, \"id\": 2}\r\n");
	assert_int_equal(f->call.op.result, 0);
	assert_string_equal(f->events, "STOP:- SHUTDOWN:{\"guest\":true} ");
}

static void expect_loss(struct fixture *f, const char *what)
{
	turn(f);
	assert_int_equal(f->lost, 1);
	if (!strstr(f->lost_err.text, what))
		fail_msg("`%s` lacks `%s`", f->lost_err.text, what);
}

static void a_wrong_greeting_is_refused(void **state)
{
	struct fixture *f = *state;

	start(f, "qmp_capabilities", NULL);
	say(f, "SSH-2.0-OpenSSH_9.2\r\n");
	expect_loss(f, "no QMP greeting: not JSON on the QMP connection: "
		       "`SSH-2.0-OpenSSH_9.2`");
	assert_int_equal(f->call.op.result, -EPROTO);
	assert_string_equal(heard(f), "");
}

static void an_event_is_no_greeting(void **state)
{
	struct fixture *f = *state;

	say(f, "{\"event\": \"STOP\"}\n");
	expect_loss(f, "did not greet");
	assert_string_equal(f->events, "");
}

static void a_line_that_is_not_qmp_loses_the_connection(void **state)
{
	static const char *const bad[] = {
	    "[]\n",
	    "{}\n",
	    "\n",
	    "{\"return\": {}\n",
	    "{\"event\": 1}\n",
	    "{\"error\": {\"class\": \"x\"}, \"id\": 2}\n",
	    "{\"event\": \"STOP\", \"data\": 3}\n",
	    "\xff\xfe\n",
	    "{\"QMP\": {\"version\": {}}}\n"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct fixture *f;

		setup((void **)&f);
		negotiate(f);
		start(f, "x", NULL);
		say(f, bad[i]);
		assert_int_equal(f->lost, 1);
		assert_int_equal(f->lost_err.code, -EPROTO);
		assert_int_equal(f->call.op.result, -EPROTO);
		teardown((void **)&f);
	}
	(void)state;
}

static void an_endless_line_is_refused(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) char *much = mem_alloc(65536);

	negotiate(f);
	memset(much, ' ', 65536);
	for (size_t sent = 0; !f->lost && sent < 4 * (size_t)QMP_LINE_MAX;) {
		ssize_t n = write(f->peer, much, 65536);

		sent += n > 0 ? (size_t)n : 0;
		loop_poll(f->loop);
	}
	expect_loss(f, "QMP line of more than");
}

static void a_long_line_within_the_limit_is_taken(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_done) struct buf line = {0};
	size_t n = QMP_LINE_MAX / 2;

	negotiate(f);
	start(f, "query-qmp-schema", NULL);
	buf_printf(&line, "{\"id\": 2, \"return\": \"");
	memset(buf_room(&line, n), 'x', n);
	buf_commit(&line, n);
	buf_printf(&line, "\"}\n");
	while (line.len) {
		ssize_t sent = write(f->peer, buf_data(&line), line.len);

		if (sent > 0)
			buf_consume(&line, (size_t)sent);
		loop_poll(f->loop);
	}
	assert_int_equal(op_wait(&f->call.op), 0);
	assert_int_equal(json_string_length(f->call.ret), n);
}

static void end_of_file_fails_commands_at_once(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	start(f, "quit", NULL);
	turn(f);
	fd_closep(&f->peer);
	expect_loss(f, "the QMP connection broke");
	assert_int_equal(f->call.op.result, -EPIPE);
}

static void commands_after_the_loss_fail_at_once(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	fd_closep(&f->peer);
	turn(f);
	start(f, "cont", NULL);
	assert_true(op_is_done(&f->call.op));
	assert_int_equal(f->call.op.result, -EPIPE);
}

static void the_reply_to_a_cancelled_command_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct qmp_call next;

	negotiate(f);
	start(f, "slow", NULL);
	op_cancel(&f->call.op);
	assert_int_equal(f->call.op.result, -ECANCELED);
	qmp_call_start(&next, f->qmp, "next", NULL,
		       clock_deadline_ns(PATIENCE_NS));
	say(f, "{\"return\": 1, \"id\": 2}\n{\"return\": 2, \"id\": 3}\n");
	assert_int_equal(json_integer_value(next.ret), 2);
	assert_int_equal(f->lost, 0);
	qmp_call_done(&next);
}

static void a_deadline_names_the_command(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	qmp_call_start(&f->call, f->qmp, "migrate", NULL,
		       clock_deadline_ns(5 * NS_PER_MS));
	assert_int_equal(op_wait(&f->call.op), -ETIMEDOUT);
	assert_non_null(strstr(f->call.op.err.text, "'migrate'"));
}

static void it_may_be_freed_by_an_event_handler(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	start(f, "stop", NULL);
	f->free_on_event = true;
	say(f, "{\"event\": \"STOP\"}\n{\"event\": \"STOP\"}\n"
	       "{\"return\": {}, \"id\": 2}\n");
	assert_null(f->qmp);
	assert_string_equal(f->events, "STOP:- ");
	assert_int_equal(f->call.op.result, -ECANCELED);
	assert_int_equal(f->lost, 0);
}

static void drain_handles_what_qemu_said_last(void **state)
{
	static const char last[] = "{\"event\": \"SHUTDOWN\"}\n";
	struct fixture *f = *state;

	negotiate(f);
	assert_int_equal(write(f->peer, last, strlen(last)), strlen(last));
	fd_closep(&f->peer);
	qmp_drain(f->qmp);
	assert_string_equal(f->events, "SHUTDOWN:- ");
	assert_int_equal(f->lost, 1);
}

/* More than is read at once. */
static void much_that_qemu_said_last_is_handled_before_its_end(void **state)
{
	static const char one[] = "{\"event\": \"RESUME\"}\n";
	enum { N = 4000 };
	struct fixture *f = *state;
	CLEANUP(buf_done) struct buf all = {0};

	negotiate(f);
	start(f, "query-status", NULL);
	for (int i = 0; i < N; i++)
		buf_append(&all, one, strlen(one));
	assert_int_equal(write(f->peer, buf_data(&all), all.len), all.len);
	fd_closep(&f->peer);
	while (!f->lost)
		loop_turn(f->loop);
	assert_int_equal(f->n_resumed, N);
	assert_int_equal(f->call.op.result, -EPIPE);
}

static void the_log_holds_both_directions(void **state)
{
	struct fixture *f = *state;
	FILE *log = tmpfile();
	char text[1024] = "";

	assert_non_null(log);
	qmp_set_log(f->qmp, dup(fileno(log)));
	negotiate(f);
	rewind(log);
	text[fread(text, 1, sizeof(text) - 1, log)] = '\0';
	fclose(log);
	assert_non_null(strstr(text, "\"execute\":\"qmp_capabilities\""));
	assert_non_null(strstr(text, "{\"QMP\""));
	assert_non_null(strstr(text, "{\"return\": {}, \"id\": 1}"));
}

/* A wrapper's child holds the socket, and is who speaks. */
static void the_peer_is_who_wrote(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(qmp_peer(f->qmp), 0);
	pid_t child = fork();
	if (child == 0) {
		ssize_t n = write(f->peer, "\n", 1);
		_exit(n != 1);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	turn(f);
	assert_int_equal(qmp_peer(f->qmp), child);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
static const struct CMUnitTest tests[] = {
    T(nothing_is_sent_before_the_greeting),
    T(the_peer_is_who_wrote),
    T(the_version_is_what_the_greeting_says),
    T(a_version_may_be_long_or_lacking),
    T(a_reply_finishes_its_command),
    T(replies_may_come_in_any_order),
    T(a_message_may_be_cut_anywhere),
    T(an_error_reply_carries_qemus_reason),
    T(events_come_between_command_and_reply),
    T(a_wrong_greeting_is_refused),
    T(an_event_is_no_greeting),
    T(a_line_that_is_not_qmp_loses_the_connection),
    T(an_endless_line_is_refused),
    T(a_long_line_within_the_limit_is_taken),
    T(end_of_file_fails_commands_at_once),
    T(commands_after_the_loss_fail_at_once),
    T(the_reply_to_a_cancelled_command_is_dropped),
    T(a_deadline_names_the_command),
    T(it_may_be_freed_by_an_event_handler),
    T(drain_handles_what_qemu_said_last),
    T(much_that_qemu_said_last_is_handled_before_its_end),
    T(the_log_holds_both_directions),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
