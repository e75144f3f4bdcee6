/* SPDX-License-Identifier: MIT */
/* The console's socket: what other programs get, and cannot do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "streams/console_serve.h"
#include "tests/unit/streams/lib_console.h"
#include "tests/unit/streams/lib_source.h"

static char *socket_path(const struct desk *d)
{
	return mem_printf("%s.sock", d->path);
}

static int set_up(void **state)
{
	struct desk *d;
	struct err err;
	char *path;

	desk_set_up(state);
	d = *state;
	path = socket_path(d);
	if (console_listen(d->con, path, &err) < 0)
		fail_msg("%s", err.text);
	free(path);
	return 0;
}

static int tear_down(void **state)
{
	char *path = socket_path(*state);

	desk_tear_down(state);
	assert_int_not_equal(access(path, F_OK), 0);
	free(path);
	return 0;
}

/* A connection that was not yet accepted. */
static int dial(struct desk *d)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char *path = socket_path(d);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	assert_int_equal(connect(fd, (void *)&addr, sizeof(addr)), 0);
	free(path);
	return fd;
}

static void settle(struct desk *d)
{
	for (int i = 0; i < 20; i++)
		loop_poll(d->loop);
}

static int join(struct desk *d)
{
	int fd = dial(d);

	settle(d);
	return fd;
}

/* What a client has by now; *ret_eof: and it is the end. */
static size_t take(struct desk *d, int fd, struct buf *out, bool *ret_eof)
{
	ssize_t n;
	size_t all = 0;

	*ret_eof = false;
	settle(d);
	while ((n = recv(fd, buf_room(out, 65536), 65536, MSG_DONTWAIT)) > 0) {
		buf_commit(out, (size_t)n);
		all += (size_t)n;
		settle(d);
	}
	*ret_eof = n == 0;
	if (n < 0)
		assert_int_equal(errno, EAGAIN);
	return all;
}

static void check_got(struct desk *d, int fd, const char *want, bool is_eof)
{
	struct buf got = {0};
	bool eof;

	take(d, fd, &got, &eof);
	check_bytes(&got, want);
	assert_int_equal(eof, is_eof);
	buf_done(&got);
}

/* What the guest was given. */
static void check_guest(struct desk *d, const char *want)
{
	struct buf got = {0};
	ssize_t n;

	settle(d);
	while ((n = recv(d->qemu, buf_room(&got, 4096), 4096, MSG_DONTWAIT)) >
	       0) {
		buf_commit(&got, (size_t)n);
		settle(d);
	}
	check_bytes(&got, want);
	buf_done(&got);
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL),
			 strlen(text));
}

static void the_socket_is_its_owners(void **state)
{
	char *path = socket_path(*state);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	free(path);
}

static void a_client_gets_what_comes_after_it(void **state)
{
	struct desk *d = *state;
	int a, b;

	print(d, "before ");
	a = join(d);
	print(d, "one\r\n");
	b = join(d);
	print(d, "two");
	check_got(d, a, "one\r\ntwo", false);
	check_got(d, b, "two", false);
	close(a);
	close(b);
}

/* The connection came first, though provium hears of both at once. */
static void a_connection_counts_from_its_moment(void **state)
{
	struct desk *d = *state;
	int fd = dial(d);

	print(d, "text");
	check_got(d, fd, "text", false);
	close(fd);
}

static void what_clients_send_reaches_the_guest_in_order(void **state)
{
	struct desk *d = *state;
	int a = join(d), b = join(d);

	say(a, "one ");
	settle(d);
	say(b, "two ");
	settle(d);
	say(a, "three");
	check_guest(d, "one two three");
	/* It echoes nothing by itself. */
	check_got(d, a, "", false);
	close(a);
	close(b);
}

static void the_last_words_of_a_client_that_leaves_arrive(void **state)
{
	struct desk *d = *state;
	int fd = dial(d);

	say(fd, "and go");
	close(fd);
	check_guest(d, "and go");
}

static void a_half_closed_client_still_listens(void **state)
{
	struct desk *d = *state;
	int fd = join(d);

	say(fd, "ls\n");
	shutdown(fd, SHUT_WR);
	check_guest(d, "ls\n");
	print(d, "files");
	check_got(d, fd, "files", false);
	close(fd);
}

static void a_reset_is_nothing_to_a_client(void **state)
{
	struct desk *d = *state;
	int fd = join(d);

	print(d, "one ");
	console_mark_boot(d->con);
	print(d, "two");
	check_got(d, fd, "one two", false);
	say(fd, "x");
	check_guest(d, "x");
	close(fd);
}

static void the_end_of_the_chardev_is_eof_after_the_last_byte(void **state)
{
	struct desk *d = *state;
	int fd = join(d);

	say(fd, "unread");
	assert_int_equal(send(d->qemu, "bye", 3, 0), 3);
	unplug(d);
	check_got(d, fd, "bye", true);
	close(fd);
	/* Nobody is there to be connected to. */
	fd = dial(d);
	check_got(d, fd, "", true);
	close(fd);
	plug(d);
	fd = join(d);
	print(d, "again");
	check_got(d, fd, "again", false);
	close(fd);
}

static void the_end_of_the_console_is_eof_after_the_last_byte(void **state)
{
	struct desk *d = *state;
	int fd = join(d);
	struct buf got = {0};
	bool eof;

	assert_int_equal(send(d->qemu, "bye", 3, 0), 3);
	say(fd, "never read");
	console_detach(d->con);
	d->con = console_free(d->con);
	take(d, fd, &got, &eof);
	check_bytes(&got, "bye");
	assert_true(eof);
	buf_done(&got);
	close(fd);
}

/* One that never reads, one that does; the guest prints more than any socket
 * holds. */
static void a_stuck_client_delays_nobody(void **state)
{
	enum { BLOCK = 1 << 20, BLOCKS = 8 };
	struct desk *d = *state;
	uint8_t *block = mem_alloc(BLOCK);
	int stuck = join(d), quick = join(d);
	struct buf got = {0};
	uint64_t sum = 0, want = 0;
	bool eof;

	for (int i = 0; i < BLOCKS; i++) {
		memset(block, 'a' + i, BLOCK);
		want += (uint64_t)BLOCK * (uint64_t)('a' + i);
		print_bytes(d, block, BLOCK);
		take(d, quick, &got, &eof);
	}
	assert_int_equal(got.len, BLOCK * (size_t)BLOCKS);
	for (size_t i = 0; i < got.len; i++)
		sum += buf_data(&got)[i];
	assert_int_equal(sum, want);
	assert_int_equal(console_size(d->con), got.len);
	/* It lost nothing by it. */
	buf_reset(&got);
	take(d, stuck, &got, &eof);
	assert_int_equal(got.len, BLOCK * (size_t)BLOCKS);
	assert_int_equal(buf_data(&got)[0], 'a');
	buf_done(&got);
	free(block);
	close(stuck);
	close(quick);
}

static void a_guest_that_does_not_read_stops_its_writers_only(void **state)
{
	struct desk *d = *state;
	int a = join(d), b = join(d);
	char block[4096];
	size_t sent = 0, got = 0;
	ssize_t n;

	memset(block, 'x', sizeof(block));
	/* Sockets are full in the end; nothing is held in between. */
	for (int idle = 0; idle < 3; settle(d)) {
		n = send(a, block, sizeof(block), MSG_DONTWAIT);
		idle = n > 0 ? 0 : idle + 1;
		sent += n > 0 ? (size_t)n : 0;
	}
	print(d, "alive");
	check_got(d, b, "alive", false);
	say(b, "!");
	for (;;) {
		n = recv(d->qemu, block, sizeof(block), MSG_DONTWAIT);
		if (n <= 0)
			break;
		got += (size_t)n;
		settle(d);
	}
	assert_int_equal(got, sent + 1);
	close(a);
	close(b);
}

static void a_script_writes_between_clients(void **state)
{
	struct desk *d = *state;
	struct console_write w;
	int fd = join(d);

	say(fd, "client ");
	settle(d);
	console_write_start(&w, d->con, "script", 6, CLOCK_NEVER);
	assert_int_equal(op_wait(&w.op), 0);
	console_write_done(&w);
	check_guest(d, "client script");
	close(fd);
}

static void many_clients_all_get_all(void **state)
{
	enum { N = 200 };
	struct desk *d = *state;
	int fds[N];

	for (int i = 0; i < N; i++)
		fds[i] = join(d);
	print(d, "everybody");
	for (int i = 0; i < N; i++) {
		check_got(d, fds[i], "everybody", false);
		say(fds[i], "x");
		settle(d);
		if (i % 2)
			close(fds[i]);
	}
	print(d, "!");
	for (int i = 0; i < N; i += 2) {
		check_got(d, fds[i], "!", false);
		close(fds[i]);
	}
}

static void one_too_many_is_turned_away(void **state)
{
	struct desk *d = *state;
	int fds[CONSOLE_CLIENTS_MAX];
	int fd;

	for (int i = 0; i < CONSOLE_CLIENTS_MAX; i++)
		fds[i] = join(d);
	fd = dial(d);
	check_got(d, fd, "", true);
	close(fd);
	print(d, "x");
	check_got(d, fds[0], "x", false);
	check_got(d, fds[CONSOLE_CLIENTS_MAX - 1], "x", false);
	/* Half-closed ones that have gone make room. */
	shutdown(fds[0], SHUT_WR);
	settle(d);
	close(fds[0]);
	fds[0] = join(d);
	print(d, "y");
	check_got(d, fds[0], "y", false);
	for (int i = 0; i < CONSOLE_CLIENTS_MAX; i++)
		close(fds[i]);
}

static void a_flood_of_connections_leaves_nothing(void **state)
{
	struct desk *d = *state;
	int fd;

	for (int i = 0; i < 5 * CONSOLE_CLIENTS_MAX; i++) {
		fd = dial(d);
		if (i % 3 == 0)
			shutdown(fd, SHUT_WR);
		if (i % 3 == 1)
			say(fd, "x");
		if (i % 2)
			settle(d);
		close(fd);
		if (i % 16 == 0)
			settle(d);
	}
	fd = join(d);
	print(d, "quiet");
	check_got(d, fd, "quiet", false);
	close(fd);
}

/* A connection that cannot be accepted is not asked about without pause, and
 * is served once there is room. */
static void without_descriptors_clients_wait(void **state)
{
	struct desk *d = *state;
	struct rlimit old, none;
	int fd = dial(d);

	getrlimit(RLIMIT_NOFILE, &old);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	/* By the timer, not by the socket, which is ready all along. */
	int turns = 0;
	int64_t until = clock_deadline_ns(300 * NS_PER_MS);
	for (; clock_now_ns() < until; turns++)
		loop_turn(d->loop);
	assert_true(turns < 20);
	setrlimit(RLIMIT_NOFILE, &old);
	loop_turn(d->loop);
	settle(d);
	print(d, "text");
	check_got(d, fd, "text", false);
	close(fd);
}

static void a_path_that_cannot_be_served_is_an_error(void **state)
{
	struct desk *d = *state;
	struct console *c;
	char log[TMP_PATH_MAX + 8], taken[TMP_PATH_MAX + 8], path[200];
	struct err err;

	snprintf(log, sizeof(log), "%s.2", d->path);
	c = console_new(d->loop, log, &err);
	snprintf(taken, sizeof(taken), "%s.sock", d->path);
	assert_int_equal(console_listen(c, taken, &err), -EADDRINUSE);
	check_contains(err.text, taken);
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(console_listen(c, path, &err), -ENAMETOOLONG);
	check_contains(err.text, "107 bytes");
	assert_int_equal(console_listen(c, "/nonexistent/x", &err), -ENOENT);
	console_free(c);
	unlink(log);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
static const struct CMUnitTest tests[] = {
    T(the_socket_is_its_owners),
    T(a_client_gets_what_comes_after_it),
    T(a_connection_counts_from_its_moment),
    T(what_clients_send_reaches_the_guest_in_order),
    T(the_last_words_of_a_client_that_leaves_arrive),
    T(a_half_closed_client_still_listens),
    T(a_reset_is_nothing_to_a_client),
    T(the_end_of_the_chardev_is_eof_after_the_last_byte),
    T(the_end_of_the_console_is_eof_after_the_last_byte),
    T(a_stuck_client_delays_nobody),
    T(a_guest_that_does_not_read_stops_its_writers_only),
    T(a_script_writes_between_clients),
    T(many_clients_all_get_all),
    T(one_too_many_is_turned_away),
    T(a_flood_of_connections_leaves_nothing),
    T(without_descriptors_clients_wait),
    T(a_path_that_cannot_be_served_is_an_error),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
