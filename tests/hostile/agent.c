/* SPDX-License-Identifier: MIT */
/*
 * An agent that means harm, for tests: the real one, but for what it does once
 * the port to the host is open. A word of the kernel's command line says what:
 *
 *	hostile=NAME	misbehaves before a session is made
 *	hostile=on	answers HELLO, and then each request by what the last
 *			text "hostile:NAME" in a request asked for
 *
 * Without that word it is the real agent, so that well and ill guests live in
 * one test. The linker puts __wrap_ functions in place of the server's.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/frame.h"
#include "agent-proto/le.h"
#include "agent-proto/mem.h"
#include "agent-proto/msg.h"
#include "agent-proto/session.h"
#include "agent-proto/tree.h"
#include "cmd/provium-agent/core/server.h"

#define WORD	  "hostile="
#define ASK	  "hostile:"
#define NAME_MAX_ 32
#define SEED	  20240229u
#define PIECE	  FRAME_PAYLOAD_MAX
#define NOWHERE	  0xabcdefu /* a channel that the host will not open */
#define MUCH	  64	    /* pieces: far beyond any window */

struct host {
	int fd;
	uint32_t random;
	struct buf in;
	const struct deed *deed;
	size_t credit; /* of the channel that is filled without end */
	unsigned n;    /* entries of a tree that were sent */
	uint32_t held; /* a channel that waits, or 0 */
	unsigned held_type;
	bool has_hello;
};

/* What is done with a request on channel ch; type is the message's. */
struct deed {
	const char *name;
	void (*answer)(struct host *h, uint32_t ch, unsigned type);
	/* Instead of a session; NULL: none is spoilt. */
	void (*begin)(struct host *h);
	/* The host gave channel ch up; may be NULL. */
	void (*given_up)(struct host *h, uint32_t ch);
	/* There is credit for the channel that is held; NULL: fill(). */
	void (*refill)(struct host *h, uint32_t ch);
};

#define DEEDS 60
static const struct deed deeds[DEEDS];

/* --- bytes ---------------------------------------------------------------- */

static uint8_t next_random(struct host *h)
{
	h->random = h->random * 1664525u + 1013904223u;
	return (uint8_t)(h->random >> 24);
}

static void put(struct host *h, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n) {
		ssize_t done = write(h->fd, p, n);
		if (done <= 0)
			_exit(4);
		p += done;
		n -= (size_t)done;
	}
}

/* A header as it is asked for, valid or not. */
static void put_header(struct host *h, unsigned kind, uint32_t ch, uint32_t n,
		       unsigned flags)
{
	uint8_t b[FRAME_HEADER];

	b[0] = (uint8_t)kind;
	le_put24(b + 1, ch);
	le_put24(b + 4, n);
	b[7] = (uint8_t)flags;
	put(h, b, sizeof(b));
}

static void put_frame(struct host *h, unsigned kind, uint32_t ch, const void *p,
		      size_t n, unsigned flags)
{
	CLEANUP(buf_done) struct buf b = {0};
	uint8_t *at = buf_room(&b, FRAME_HEADER + n);

	at[0] = (uint8_t)kind;
	le_put24(at + 1, ch);
	le_put24(at + 4, (uint32_t)n);
	at[7] = (uint8_t)flags;
	if (n)
		memcpy(at + FRAME_HEADER, p, n);
	put(h, at, FRAME_HEADER + n);
}

static void put_noise(struct host *h, size_t n)
{
	uint8_t b[4096];

	while (n) {
		size_t k = n < sizeof(b) ? n : sizeof(b);
		for (size_t i = 0; i < k; i++)
			b[i] = next_random(h);
		put(h, b, k);
		n -= k;
	}
}

static void put_hello(struct host *h, uint64_t nonce)
{
	struct hello hello = {
	    .version = PROTO_VERSION,
	    .nonce = nonce,
	    .instance = 1,
	    .window = UINT32_MAX,
	};
	uint8_t b[HELLO_SIZE];

	hello_encode(&hello, b);
	put(h, b, sizeof(b));
}

static void put_msg(struct host *h, uint32_t ch, const struct msg *m,
		    unsigned flags)
{
	CLEANUP(buf_done) struct buf b = {0};

	msg_encode(m, &b);
	put_frame(h, FRAME_MSG, ch, buf_data(&b), b.len, flags);
}

static void put_done(struct host *h, uint32_t ch, int64_t value, unsigned flags)
{
	struct msg m = {.type = MSG_DONE};

	m.done.value = value;
	put_msg(h, ch, &m, flags);
}

static void put_data(struct host *h, uint32_t ch, size_t n, unsigned flags)
{
	static const uint8_t zeroes[PIECE];

	put_frame(h, FRAME_DATA, ch, zeroes, n, flags);
}

static void put_credit(struct host *h, uint32_t ch, uint32_t n)
{
	uint8_t b[4];

	le_put32(b, n);
	put_frame(h, FRAME_CREDIT, ch, b, sizeof(b), 0);
}

/* --- before the session ----------------------------------------------------
 */

static void begin_mute(struct host *h)
{
	(void)h;
	for (;;)
		pause();
}

static void begin_noise(struct host *h)
{
	for (;;)
		put_noise(h, PIECE);
}

static void begin_hellos(struct host *h)
{
	for (uint64_t nonce = 0;; nonce++)
		put_hello(h, nonce);
}

/* --- what is no frame -------------------------------------------------------
 */

static void noise(struct host *h, uint32_t ch, unsigned type)
{
	(void)ch;
	(void)type;
	put_noise(h, (size_t)1 << 20);
}

static void too_long(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_header(h, FRAME_MSG, ch, 0xffffff, 0);
}

static void wrong_kind(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_header(h, 9, ch, 0, 0);
}

/* The length lies: what it promises never comes. */
static void half(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_header(h, FRAME_DATA, ch, PIECE, 0);
	put_noise(h, 100);
}

static void half_then_hello(struct host *h, uint32_t ch, unsigned type)
{
	(void)ch;
	half(h, NOWHERE, type);
	for (size_t n = 0; n < 2 * PIECE; n += HELLO_SIZE)
		put_hello(h, n);
}

static void half_then_end(struct host *h, uint32_t ch, unsigned type)
{
	half(h, ch, type);
	_exit(3);
}

/* --- frames that have no place -----------------------------------------------
 */

static void opens(struct host *h, uint32_t ch, unsigned type)
{
	(void)ch;
	(void)type;
	put_done(h, NOWHERE, 0, FRAME_OPEN);
}

static void resets(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_header(h, FRAME_RESET, ch, 0, 0);
}

static void false_credit(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_credit(h, ch, 1);
}

static void no_credit(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_credit(h, ch, 0);
}

static void data_first(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_data(h, ch, 10, 0);
}

static void mixed(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_frame(h, FRAME_MSG, ch, "half", 4, FRAME_MORE);
	put_data(h, ch, 10, 0);
}

static void mixed_data(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_done(h, ch, 0, 0);
	put_data(h, ch, 10, FRAME_MORE);
	put_done(h, ch, 0, FRAME_FIN);
}

/* Pieces of a message, n of them, and no last one. */
static void put_pieces(struct host *h, uint32_t ch, unsigned n)
{
	static const uint8_t zeroes[PIECE];

	for (unsigned i = 0; i < n; i++)
		put_frame(h, FRAME_MSG, ch, zeroes, PIECE, FRAME_MORE);
}

static void long_message(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_pieces(h, ch, MSG_MAX / PIECE + 1);
}

static void half_messages(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_pieces(h, ch, MSG_MAX / PIECE);
}

/* Frames that say nothing to anybody, for ever. */
static void flood(struct host *h, uint32_t ch, unsigned type)
{
	(void)ch;
	(void)type;
	for (;;) {
		put_done(h, NOWHERE, 0, FRAME_FIN);
		put_credit(h, NOWHERE, 1);
		put_header(h, FRAME_RESET, NOWHERE, 0, 0);
		put_data(h, NOWHERE, 1000, 0);
	}
}

/* --- answers that are none ---------------------------------------------------
 */

static void never(struct host *h, uint32_t ch, unsigned type)
{
	(void)h;
	(void)ch;
	(void)type;
}

static void elsewhere(struct host *h, uint32_t ch, unsigned type)
{
	(void)ch;
	(void)type;
	put_done(h, NOWHERE, 0, FRAME_FIN);
}

/* Each of two gets the answer to the other. */
static void crossed(struct host *h, uint32_t ch, unsigned type)
{
	struct msg status = {.type = MSG_FILE_STATUS};
	uint32_t a = h->held, b = ch;

	if (!h->held) {
		h->held = ch;
		h->held_type = type;
		return;
	}
	h->held = 0;
	put_msg(h, h->held_type == MSG_STAT ? b : a, &status, FRAME_FIN);
	put_done(h, h->held_type == MSG_STAT ? a : b, 0, FRAME_FIN);
}

static void wrong_type(struct host *h, uint32_t ch, unsigned type)
{
	struct msg m = {.type = MSG_EXITED};

	(void)type;
	put_msg(h, ch, &m, FRAME_FIN);
}

static void a_request(struct host *h, uint32_t ch, unsigned type)
{
	struct msg m = {.type = MSG_UNLINK};

	(void)type;
	m.unlink.path = "/etc/passwd";
	put_msg(h, ch, &m, FRAME_FIN);
}

static void lies(struct host *h, uint32_t ch, unsigned type)
{
	uint8_t b[14] = {0};

	(void)type;
	le_put16(b, MSG_ERROR);
	le_put32(b + 6, 0xfffffff0u);
	put_frame(h, FRAME_MSG, ch, b, sizeof(b), FRAME_FIN);
}

static void one_byte(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_frame(h, FRAME_MSG, ch, "", 1, FRAME_FIN);
}

static void only_fin(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_data(h, ch, 0, FRAME_FIN);
}

static void twice(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_done(h, ch, 0, 0);
	put_done(h, ch, 0, FRAME_FIN);
}

/* The second comes when the channel is over. */
static void again(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_done(h, ch, 0, FRAME_FIN);
	put_done(h, ch, 0, FRAME_FIN);
	put_data(h, ch, 100, 0);
	put_header(h, FRAME_RESET, ch, 0, 0);
}

static void late(struct host *h, uint32_t ch)
{
	put_done(h, ch, 0, 0);
	put_data(h, ch, PIECE, FRAME_FIN);
}

/* --- answers that are valid, and meant to hurt
 * --------------------------------- */

static void well(struct host *h, uint32_t ch, unsigned type)
{
	struct msg m = {.type = MSG_DONE};

	if (type == MSG_STAT)
		m.type = MSG_FILE_STATUS;
	else if (type == MSG_PROC_WAIT)
		m.type = MSG_EXITED;
	else if (type == MSG_SYSCALL)
		m.type = MSG_SYSCALL_DONE;
	put_msg(h, ch, &m, FRAME_FIN);
}

/* To a stream that nobody reads: credit that is given back is no excuse. */
static void too_much(struct host *h, uint32_t ch, unsigned type)
{
	if (type != MSG_PROC_OUTPUT) {
		well(h, ch, type);
		return;
	}
	put_done(h, ch, 0, 0);
	for (int i = 0; i < MUCH; i++)
		put_data(h, ch, PIECE, 0);
}

static void put_error(struct host *h, uint32_t ch, int errnum, const char *text)
{
	struct msg m = {.type = MSG_ERROR};

	m.error.errnum = errnum;
	m.error.text = text;
	put_msg(h, ch, &m, FRAME_FIN);
}

static void escapes(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_error(h, ch, 5,
		  "\033]0;owned\a\033[2J\033[31mred\r\n::error::owned\n"
		  "]]></failure><script>owned</script>\xc2\x9b"
		  "31m\xff");
}

static void long_error(struct host *h, uint32_t ch, unsigned type)
{
	CLEANUP(free_ptr) char *text = mem_zalloc(60001);

	(void)type;
	memset(text, '\033', 60000);
	put_error(h, ch, 5, text);
}

static void odd_error(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_error(h, ch, INT32_MIN, "");
}

static void fill(struct host *h, uint32_t ch)
{
	while (h->credit) {
		size_t n = h->credit < PIECE ? h->credit : PIECE;
		put_data(h, ch, n, FRAME_MORE);
		h->credit -= n;
	}
}

/* All that it has credit for, as one write that never ends. */
static void endless(struct host *h, uint32_t ch, unsigned type)
{
	if (type != MSG_PROC_OUTPUT && type != MSG_READ_FILE) {
		if (type != MSG_PROC_WAIT)
			well(h, ch, type);
		return;
	}
	put_done(h, ch, 0, 0);
	h->held = ch;
	h->credit = CHAN_WINDOW;
	fill(h, ch);
}

static void odd_numbers(struct host *h, uint32_t ch, unsigned type)
{
	struct msg m = {.type = MSG_FILE_STATUS};

	if (type == MSG_STAT) {
		m.file_status = (struct msg_file_status){
		    .size = UINT64_MAX,
		    .mtime_sec = INT64_MIN,
		    .mtime_nsec = UINT32_MAX,
		    .mode = UINT32_MAX,
		    .nlink = UINT64_MAX,
		};
	} else if (type == MSG_PROC_WAIT) {
		m.type = MSG_EXITED;
		m.exited.signalled = 255;
		m.exited.status = INT32_MIN;
		m.exited.duration_ns = INT64_MIN;
	} else if (type == MSG_SYSCALL) {
		m.type = MSG_SYSCALL_DONE;
		m.syscall_done.ret = INT64_MIN;
		m.syscall_done.errnum = INT32_MIN;
	} else {
		m.type = MSG_DONE;
		m.done.value = INT64_MIN;
	}
	put_msg(h, ch, &m, FRAME_FIN);
}

static void odd_names(struct host *h, uint32_t ch, unsigned type)
{
	static const char names[] = "../../x\0/etc/passwd\0\0\033[2J\0no end";

	(void)type;
	put_done(h, ch, 0, 0);
	put_frame(h, FRAME_DATA, ch, names, sizeof(names) - 1, FRAME_FIN);
}

/* A size that nothing could hold, and then little. */
static void odd_size(struct host *h, uint32_t ch, unsigned type)
{
	(void)type;
	put_done(h, ch, INT64_MAX, 0);
	put_data(h, ch, 10, FRAME_FIN);
}

/* --- directories that lead elsewhere, or nowhere
 * ------------------------------ */

static void put_bytes(struct host *h, uint32_t ch, const struct buf *b,
		      unsigned flags)
{
	put_frame(h, FRAME_DATA, ch, buf_data(b), b->len, flags);
}

static void tree_entry(struct buf *b, enum tree_kind kind, const char *name,
		       const char *target)
{
	tree_encode(&(struct tree_entry){kind, kind == TREE_LINK ? 0 : 0755,
					 name, target},
		    b);
}

/* A file that says "owned". */
static void tree_owned(struct buf *b, const char *name)
{
	uint8_t header[SPARSE_HEADER];

	tree_entry(b, TREE_FILE, name, "");
	sparse_encode(header, 0, 5);
	buf_append(b, header, sizeof(header));
	buf_append(b, "owned", 5);
	sparse_encode(header, 0, 0);
	buf_append(b, header, sizeof(header));
}

/* Answers a READ_FILE with the entries in b, in a directory. */
static void put_tree(struct host *h, uint32_t ch, struct buf *b, bool is_whole)
{
	CLEANUP(buf_done) struct buf all = {0};

	tree_entry(&all, TREE_DIR, "", "");
	tree_owned(&all, "first");
	buf_append(&all, buf_data(b), b->len);
	if (is_whole)
		tree_entry(&all, TREE_UP, "", "");
	put_done(h, ch, S_IFDIR | 0755, 0);
	put_bytes(h, ch, &all, FRAME_FIN);
	buf_done(b);
}

static void tree_above(struct host *h, uint32_t ch, unsigned type)
{
	struct buf b = {0};

	(void)type;
	tree_owned(&b, "../owned");
	put_tree(h, ch, &b, true);
}

static void tree_dots(struct host *h, uint32_t ch, unsigned type)
{
	struct buf b = {0};

	(void)type;
	tree_entry(&b, TREE_DIR, "..", "");
	tree_owned(&b, "owned");
	tree_entry(&b, TREE_UP, "", "");
	put_tree(h, ch, &b, true);
}

static void tree_absolute(struct host *h, uint32_t ch, unsigned type)
{
	struct buf b = {0};

	(void)type;
	tree_owned(&b, "/tmp/owned");
	put_tree(h, ch, &b, true);
}

static void tree_nul(struct host *h, uint32_t ch, unsigned type)
{
	struct buf b = {0};

	(void)type;
	tree_owned(&b, "owned");
	buf_data(&b)[TREE_HEADER + 2] = '\0';
	put_tree(h, ch, &b, true);
}

/* A link out, and a directory or a file of its name. */
static void tree_link_dir(struct host *h, uint32_t ch, unsigned type)
{
	struct buf b = {0};

	(void)type;
	tree_entry(&b, TREE_LINK, "out", "..");
	tree_entry(&b, TREE_DIR, "out", "");
	tree_owned(&b, "owned");
	tree_entry(&b, TREE_UP, "", "");
	put_tree(h, ch, &b, true);
}

static void tree_link_file(struct host *h, uint32_t ch, unsigned type)
{
	struct buf b = {0};

	(void)type;
	tree_entry(&b, TREE_LINK, "out", "../owned");
	tree_owned(&b, "out");
	put_tree(h, ch, &b, true);
}

static void tree_out_of_it(struct host *h, uint32_t ch, unsigned type)
{
	struct buf b = {0};

	(void)type;
	tree_entry(&b, TREE_UP, "", "");
	tree_owned(&b, "owned");
	put_tree(h, ch, &b, false);
}

static void tree_half(struct host *h, uint32_t ch, unsigned type)
{
	struct buf b = {0};

	(void)type;
	put_tree(h, ch, &b, false);
}

static void tree_deep(struct host *h, uint32_t ch, unsigned type)
{
	struct buf b = {0};

	(void)type;
	for (unsigned i = 0; i < 2 * TREE_DEPTH_MAX; i++)
		tree_entry(&b, TREE_DIR, "d", "");
	put_tree(h, ch, &b, false);
}

static void tree_hole(struct host *h, uint32_t ch, unsigned type)
{
	uint8_t header[SPARSE_HEADER];
	struct buf b = {0};

	(void)type;
	tree_entry(&b, TREE_FILE, "f", "");
	sparse_encode(header, INT64_MAX, 1);
	buf_append(&b, header, sizeof(header));
	buf_append(&b, "x", 1);
	put_tree(h, ch, &b, false);
}

/* Links, for ever. */
static void refill_tree(struct host *h, uint32_t ch)
{
	CLEANUP(buf_done) struct buf b = {0};
	char name[16];

	while (h->credit > PIECE) {
		buf_reset(&b);
		while (b.len < PIECE - 64) {
			snprintf(name, sizeof(name), "%u", h->n++);
			tree_entry(&b, TREE_LINK, name, "x");
		}
		put_bytes(h, ch, &b, 0);
		h->credit -= b.len;
	}
}

static void tree_endless(struct host *h, uint32_t ch, unsigned type)
{
	CLEANUP(buf_done) struct buf b = {0};

	(void)type;
	tree_entry(&b, TREE_DIR, "", "");
	put_done(h, ch, S_IFDIR | 0755, 0);
	put_bytes(h, ch, &b, 0);
	h->n = 0;
	h->held = ch;
	h->credit = CHAN_WINDOW - b.len;
	refill_tree(h, ch);
}

/* A file that has no end. */
static void tree_large(struct host *h, uint32_t ch, unsigned type)
{
	CLEANUP(buf_done) struct buf b = {0};
	uint8_t header[SPARSE_HEADER];

	(void)type;
	tree_entry(&b, TREE_DIR, "", "");
	tree_entry(&b, TREE_FILE, "f", "");
	sparse_encode(header, 0, UINT64_MAX);
	buf_append(&b, header, sizeof(header));
	put_done(h, ch, S_IFDIR | 0755, 0);
	put_bytes(h, ch, &b, 0);
	h->held = ch;
	h->credit = CHAN_WINDOW - b.len;
	fill(h, ch);
}

/* --- the session
 * --------------------------------------------------------------- */

static const struct deed *find_deed(const char *name, size_t n)
{
	for (const struct deed *d = deeds; d->name; d++)
		if (strlen(d->name) == n && !memcmp(d->name, name, n))
			return d;
	fprintf(stderr, "hostile agent: no deed '%.*s'\n", (int)n, name);
	_exit(5);
}

static size_t name_length(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && ((s[n] >= 'a' && s[n] <= 'z') || s[n] == '-'))
		n++;
	return n;
}

static void on_request(struct host *h, const struct frame *f, const uint8_t *p)
{
	unsigned type = f->length < 2 ? 0 : le_get16(p);
	const char *ask = memmem(p, f->length, ASK, strlen(ASK));

	if (ask) {
		ask += strlen(ASK);
		h->deed = find_deed(
		    ask, name_length(ask, f->length -
					      (size_t)(ask - (const char *)p)));
	}
	h->deed->answer(h, f->channel, type);
}

static void on_frame(struct host *h, const struct frame *f, const uint8_t *p)
{
	if (f->kind == FRAME_MSG && f->flags & FRAME_OPEN) {
		on_request(h, f, p);
	} else if (f->kind == FRAME_CREDIT && f->channel == h->held) {
		h->credit += le_get32(p);
		if (h->deed->refill)
			h->deed->refill(h, f->channel);
		else
			fill(h, f->channel);
	} else if (f->kind == FRAME_RESET && h->deed->given_up) {
		h->deed->given_up(h, f->channel);
	}
}

/* Returns whether there was a whole frame, or a HELLO. */
static bool step(struct host *h)
{
	uint8_t *p = buf_data(&h->in);
	size_t at = h->in.len ? hello_find(p, h->in.len) : 0;
	struct hello hello;
	struct frame f;

	if (at < h->in.len) {
		if (h->in.len - at < HELLO_SIZE)
			return false;
		hello_decode(&hello, p + at + HELLO_MARKER);
		buf_consume(&h->in, at + HELLO_SIZE);
		h->has_hello = true;
		h->held = 0;
		put_hello(h, hello.nonce);
		return true;
	}
	if (!h->has_hello || h->in.len < FRAME_HEADER ||
	    frame_decode(&f, p) < 0 || h->in.len < FRAME_HEADER + f.length)
		return false;
	on_frame(h, &f, p + FRAME_HEADER);
	buf_consume(&h->in, FRAME_HEADER + f.length);
	return true;
}

/* A virtio port without a host is always readable: only an edge is news. */
static void await_host(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	static int epoll = -1;

	if (epoll < 0) {
		epoll = epoll_create1(EPOLL_CLOEXEC);
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
	}
	epoll_wait(epoll, &ev, 1, -1);
}

static void serve(struct host *h)
{
	for (;;) {
		ssize_t n = read(h->fd, buf_room(&h->in, PIECE), PIECE);
		if (n < 0)
			_exit(4);
		if (!n)
			await_host(h->fd);
		buf_commit(&h->in, (size_t)n);
		while (step(h))
			;
	}
}

/* The name behind WORD on the kernel's command line; false: there is none. */
static bool read_word(char name[NAME_MAX_])
{
	char text[4096];
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *at;

	fd_closep(&fd);
	text[n < 0 ? 0 : n] = '\0';
	at = strstr(text, WORD);
	if (!at)
		return false;
	at += strlen(WORD);
	n = (ssize_t)name_length(at, NAME_MAX_ - 1);
	memcpy(name, at, (size_t)n);
	name[n] = '\0';
	return true;
}

/* The port of an agent that is not to be the real one. */
static int port_fd = -1;
static char word[NAME_MAX_];

void __real_server_set_port(struct server *s, int take_fd, enum server_eof eof);
int __real_server_run(struct server *s);
void __wrap_server_set_port(struct server *s, int take_fd, enum server_eof eof);
int __wrap_server_run(struct server *s);

void __wrap_server_set_port(struct server *s, int take_fd, enum server_eof eof)
{
	if (read_word(word))
		port_fd = take_fd;
	else
		__real_server_set_port(s, take_fd, eof);
}

int __wrap_server_run(struct server *s)
{
	struct host h = {.fd = port_fd, .random = SEED};

	if (h.fd < 0)
		return __real_server_run(s);
	fcntl(h.fd, F_SETFL, 0); /* blocking */
	h.deed = find_deed(word, strlen(word));
	if (h.deed->begin)
		h.deed->begin(&h);
	serve(&h);
	return -1;
}

static const struct deed deeds[DEEDS] = {
    {"on", well, NULL, NULL, NULL},
    {"mute", never, begin_mute, NULL, NULL},
    {"noise-first", never, begin_noise, NULL, NULL},
    {"hellos", never, begin_hellos, NULL, NULL},
    {"noise", noise, NULL, NULL, NULL},
    {"too-long", too_long, NULL, NULL, NULL},
    {"wrong-kind", wrong_kind, NULL, NULL, NULL},
    {"half", half, NULL, NULL, NULL},
    {"half-then-hello", half_then_hello, NULL, NULL, NULL},
    {"half-then-end", half_then_end, NULL, NULL, NULL},
    {"opens", opens, NULL, NULL, NULL},
    {"resets", resets, NULL, NULL, NULL},
    {"false-credit", false_credit, NULL, NULL, NULL},
    {"no-credit", no_credit, NULL, NULL, NULL},
    {"too-much", too_much, NULL, NULL, NULL},
    {"data-first", data_first, NULL, NULL, NULL},
    {"mixed", mixed, NULL, NULL, NULL},
    {"mixed-data", mixed_data, NULL, NULL, NULL},
    {"long-message", long_message, NULL, NULL, NULL},
    {"half-messages", half_messages, NULL, NULL, NULL},
    {"flood", flood, NULL, NULL, NULL},
    {"never", never, NULL, NULL, NULL},
    {"elsewhere", elsewhere, NULL, NULL, NULL},
    {"crossed", crossed, NULL, NULL, NULL},
    {"wrong-type", wrong_type, NULL, NULL, NULL},
    {"a-request", a_request, NULL, NULL, NULL},
    {"lies", lies, NULL, NULL, NULL},
    {"one-byte", one_byte, NULL, NULL, NULL},
    {"only-fin", only_fin, NULL, NULL, NULL},
    {"twice", twice, NULL, NULL, NULL},
    {"again", again, NULL, NULL, NULL},
    {"late", never, NULL, late, NULL},
    {"escapes", escapes, NULL, NULL, NULL},
    {"long-error", long_error, NULL, NULL, NULL},
    {"odd-error", odd_error, NULL, NULL, NULL},
    {"endless", endless, NULL, NULL, NULL},
    {"odd-numbers", odd_numbers, NULL, NULL, NULL},
    {"odd-names", odd_names, NULL, NULL, NULL},
    {"odd-size", odd_size, NULL, NULL, NULL},
    {"tree-above", tree_above, NULL, NULL, NULL},
    {"tree-dots", tree_dots, NULL, NULL, NULL},
    {"tree-absolute", tree_absolute, NULL, NULL, NULL},
    {"tree-nul", tree_nul, NULL, NULL, NULL},
    {"tree-link-dir", tree_link_dir, NULL, NULL, NULL},
    {"tree-link-file", tree_link_file, NULL, NULL, NULL},
    {"tree-out-of-it", tree_out_of_it, NULL, NULL, NULL},
    {"tree-half", tree_half, NULL, NULL, NULL},
    {"tree-deep", tree_deep, NULL, NULL, NULL},
    {"tree-hole", tree_hole, NULL, NULL, NULL},
    {"tree-endless", tree_endless, NULL, NULL, refill_tree},
    {"tree-large", tree_large, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
