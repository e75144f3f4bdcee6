/* SPDX-License-Identifier: MIT */
/*
 * The same frames to a capture and, on the loopback of a network namespace of
 * its own, to tcpdump: the files are the same but for the times.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "streams/capture.h"
#include "tests/unit/skip.h"
#include "tests/unit/tmp.h"

#define FILE_HEADER_SIZE   24
#define RECORD_HEADER_SIZE 16
#define ETHERTYPE_AT	   12
#define PROTOCOL_AT	   23
#define PORT_AT		   36
/* tcpdump is given up after this. */
#define PATIENCE_SECONDS 300
/* Who we are in a namespace of our own. */
#define USER 1000
/* Exit statuses of the sender. */
#define SENT	  0
#define FORBIDDEN 77

struct shape {
	uint16_t ethertype;
	uint8_t protocol;
	uint16_t port;
	size_t n;
};

static const struct shape shapes[] = {
    {0x0806, 0, 0, 60},	    {0x0800, 1, 0, 98},	     {0x0800, 17, 53, 75},
    {0x0800, 17, 123, 90},  {0x0800, 6, 22, 66},     {0x0800, 6, 80, 1514},
    {0x0800, 1, 0, 42},	    {0x86dd, 0, 0, 118},     {0x88b5, 0, 0, 64},
    {0x0800, 17, 53, 9014}, {0x0800, 6, 443, 20000}, {0x0800, 2, 0, 60000},
    {0x0800, 17, 67, 342},
};

struct use {
	struct capture_options options;
	int n; /* packets that are let through */
};

static const struct use cases[] = {
    {{NULL, 65535, NULL}, ARRAY_LEN(shapes)},
    {{NULL, 96, NULL}, ARRAY_LEN(shapes)},
    {{NULL, 20, NULL}, ARRAY_LEN(shapes)},
    {{"icmp", 65535, NULL}, 2},
    {{"arp or udp dst port 53", 60, NULL}, 3},
    {{"ip6", 65535, NULL}, 1},
    {{"greater 1000", 200, NULL}, 4},
    {{"not ip", 65535, NULL}, 3},
};

/* Where each tcpdump writes. */
static char paths[ARRAY_LEN(cases)][TMP_PATH_MAX];
static uint8_t frame[CAPTURE_SNAPLEN];

/* Addresses that are no one's, so that the kernel answers nothing. */
static const uint8_t *make_frame(const struct shape *s)
{
	static const uint8_t head[] = {
	    0x52, 0x54, 0,    0,  1, 11, 0x52, 0x54, 0, 0, 1,  10,
	    0,	  0,	0x45, 0,  0, 0,	 0,    0,    0, 0, 64, 0,
	    0,	  0,	10,   77, 1, 10, 10,   77,   1, 11};

	for (size_t i = 0; i < s->n; i++)
		frame[i] = (uint8_t)(i * 31 + s->n);
	memcpy(frame, head, sizeof(head));
	frame[ETHERTYPE_AT] = (uint8_t)(s->ethertype >> 8);
	frame[ETHERTYPE_AT + 1] = (uint8_t)s->ethertype;
	if (s->ethertype == 0x0800)
		frame[PROTOCOL_AT] = s->protocol;
	if (s->port) {
		frame[PORT_AT] = (uint8_t)(s->port >> 8);
		frame[PORT_AT + 1] = (uint8_t)s->port;
	}
	return frame;
}

/* --- the capture --------------------------------------------------------- */

static void on_closed(void *ctx, struct capture *c)
{
	(void)ctx;
	(void)c;
}

/* What the capture makes of the frames; returns how many packets. */
static int run_capture(const struct capture_options *o, struct buf *out)
{
	const struct stream_label label = {.kind = "k", .detail = "d"};
	struct capture *c;
	struct stream_wait w;
	struct err err;
	struct loop *l = loop_new(&err);
	struct stream *s =
	    capture_new(l, o, "/tmp", &label, NULL, on_closed, NULL, &c, &err);

	assert_non_null(s);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		capture_packet(c, (int64_t)i * NS_PER_SEC,
			       make_frame(&shapes[i]), shapes[i].n);
	stream_wait_init(&w, s);
	stream_drain(&w, 0);
	int n = op_wait(&w.op);
	for (int i = 0; i < n; i++)
		buf_append(out, buf_data(&w.frames[i]), w.frames[i].len);
	stream_wait_done(&w);
	stream_free(s);
	loop_free(l);
	return n - 1;
}

/* --- tcpdump ------------------------------------------------------------- */

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(FORBIDDEN);
	close(fd);
}

/* tcpdump may listen though it is not root, which it would cease to be. */
static void keep_right_to_listen(void)
{
	struct __user_cap_header_struct head = {
	    .version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		_exit(FORBIDDEN);
	data[0].inheritable |= 1u << CAP_NET_RAW;
	if (syscall(SYS_capset, &head, data) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0) < 0)
		_exit(FORBIDDEN);
}

/* Into a network of our own, where we may do everything. */
static void enter_namespace(void)
{
	char map[64];
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	snprintf(map, sizeof(map), "%d %u 1", USER, (unsigned)getuid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		_exit(FORBIDDEN);
	write_text("/proc/self/uid_map", map);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		_exit(FORBIDDEN);
	close(fd);
	keep_right_to_listen();
}

static void send_frames(void)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_ifindex = (int)if_nametoindex("lo")};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		_exit(FORBIDDEN);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		if (sendto(fd, make_frame(&shapes[i]), shapes[i].n, 0,
			   (struct sockaddr *)&to, sizeof(to)) < 0)
			_exit(1);
}

static void exec_tcpdump(const struct use *use, const char *path, int to_stderr)
{
	const struct capture_options *o = &use->options;
	char count[16], snaplen[16];

	snprintf(count, sizeof(count), "%d", use->n);
	snprintf(snaplen, sizeof(snaplen), "%u", o->snaplen);
	dup2(open(path, O_WRONLY | O_CREAT, 0600), STDOUT_FILENO);
	dup2(to_stderr, STDERR_FILENO);
	alarm(PATIENCE_SECONDS);
	execlp("tcpdump", "tcpdump", "-i", "lo", "-U", "-w", "-", "-s", snaplen,
	       "-c", count, o->filter ? o->filter : "", (char *)NULL);
	_exit(127);
}

/* Reads up to where tcpdump says that it listens. */
static void await_listening(int fd)
{
	char text[512];
	size_t n = 0;
	ssize_t k;

	while (n < sizeof(text) - 1) {
		k = read(fd, text + n, sizeof(text) - 1 - n);
		if (k <= 0)
			break;
		n += (size_t)k;
		text[n] = '\0';
		if (strstr(text, "listening on lo"))
			return;
	}
	fprintf(stderr, "tcpdump: %.*s\n", (int)n, text);
	_exit(1);
}

/* Runs a tcpdump for each of the cases, all on the same frames. */
static _Noreturn void run_tcpdumps(void)
{
	pid_t pids[ARRAY_LEN(cases)];
	int status, pipe_fd[2];

	enter_namespace();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (pipe2(pipe_fd, O_CLOEXEC) < 0)
			_exit(1);
		pids[i] = fork();
		if (!pids[i])
			exec_tcpdump(&cases[i], paths[i], pipe_fd[1]);
		close(pipe_fd[1]);
		await_listening(pipe_fd[0]);
	}
	send_frames();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (waitpid(pids[i], &status, 0) != pids[i] || status)
			_exit(1);
	_exit(SENT);
}

/* --- comparing ----------------------------------------------------------- */

static void read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while (!feof(f))
		buf_commit(out, fread(buf_room(out, 4096), 1, 4096, f));
	fclose(f);
}

static void clear_times(struct buf *b)
{
	size_t at = FILE_HEADER_SIZE;
	uint32_t caplen;

	while (at < b->len) {
		memset(buf_data(b) + at, 0, 8);
		memcpy(&caplen, buf_data(b) + at + 8, sizeof(caplen));
		at += RECORD_HEADER_SIZE + caplen;
	}
	assert_int_equal(at, b->len);
}

/* How tcpdump prints a file, without times. */
static void print_file(const struct buf *bytes, const char *path,
		       struct buf *out)
{
	char command[256];
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fwrite(buf_data(bytes), 1, bytes->len, f);
	fclose(f);
	snprintf(command, sizeof(command),
		 "tcpdump -r - -nn -t -e -xx <%s 2>/dev/null", path);
	f = popen(command, "r");
	assert_non_null(f);
	while (!feof(f))
		buf_commit(out, fread(buf_room(out, 4096), 1, 4096, f));
	assert_int_equal(pclose(f), 0);
}

/* ours: what the capture gave. */
static void check_same(struct buf *ours, const char *path)
{
	struct buf theirs = {0}, print_ours = {0}, print_theirs = {0};

	read_file(path, &theirs);
	clear_times(ours);
	clear_times(&theirs);
	assert_int_equal(ours->len, theirs.len);
	assert_memory_equal(buf_data(ours), buf_data(&theirs), ours->len);
	print_file(ours, path, &print_ours);
	print_file(&theirs, path, &print_theirs);
	assert_true(print_ours.len > ours->len);
	assert_int_equal(print_ours.len, print_theirs.len);
	assert_memory_equal(buf_data(&print_ours), buf_data(&print_theirs),
			    print_ours.len);
	buf_done(&theirs);
	buf_done(&print_ours);
	buf_done(&print_theirs);
}

static void the_capture_lets_the_right_packets_through(void **state)
{
	struct buf ours = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(run_capture(&cases[i].options, &ours),
				 cases[i].n);
	buf_done(&ours);
}

static void every_file_is_as_tcpdump_writes_it(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (!pid)
		run_tcpdumps();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == FORBIDDEN)
		skip_because("no network namespace can be made");
	assert_int_equal(status, SENT);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf ours = {0};

		run_capture(&cases[i].options, &ours);
		check_same(&ours, paths[i]);
		buf_done(&ours);
	}
}

static int make_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		tmp_template(paths[i]);
		close(mkstemp(paths[i]));
	}
	return 0;
}

static int remove_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		unlink(paths[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_capture_lets_the_right_packets_through),
	    cmocka_unit_test(every_file_is_as_tcpdump_writes_it),
	};

	return cmocka_run_group_tests(tests, make_paths, remove_paths);
}
