/* SPDX-License-Identifier: MIT */
/*
 * The one engine behind Tail, Capture and ConsoleStream. A source delivers
 * frames; the engine holds them as pending bytes and answers next,
 * read_until, expect, drain, eof and close, which are written here once.
 *
 * Matching is linear in the bytes received, whatever the sizes of frames: a
 * waiter's scan resumes where it stopped, across frame borders, over all its
 * patterns at once. Nothing is lost by a time-out: what arrived stays
 * pending. Bytes past a match stay pending too, and are the next frame.
 *
 * Memory is bounded by flow control: the engine tells the source how much it
 * may bring on (consumed), which is what the reader took, and while a
 * read_until or expect waits also what that has searched, so that a match may
 * lie any distance ahead; a next does so for the rest of a frame of which a
 * part is there, a take for what it wants, a drain for what it collects. What
 * was paid for early is not paid for again when it is taken: once everything is
 * read, the sum of consumed is the sum delivered. The bytes themselves stay
 * pending, up to STREAM_PENDING_MAX: a match that has not come by then is
 * -ENOBUFS (and still nothing is lost), a drain lets its source wait. With no
 * waiter, only what the source's own window lets through is held.
 *
 * Deadlines: one in the past still sees what is pending, and what the next
 * loop turn brings, for a turn runs timers after I/O.
 *
 * One waiter at a time: starting a second finishes it with -EBUSY.
 */
#ifndef STREAMS_STREAM_H
#define STREAMS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "streams/loop.h"
#include "streams/match.h"
#include "streams/op.h"

enum stream_type { STREAM_TAIL, STREAM_CAPTURE, STREAM_CONSOLE };
#define STREAM_TYPES 3

struct stream;

/* What a source does for its stream. ctx is the source's. */
struct stream_source {
	/* n more bytes are welcome. May come from inside stream_deliver(),
	 * which then must not be called again from here: a source that has
	 * more at once notes it and goes on when its call has returned. Never
	 * after close. */
	void (*consumed)(void *ctx, size_t n);
	/* The stream was closed: release everything, ctx included. Called
	 * exactly once, by stream_close() or stream_free(). May come from
	 * inside stream_deliver() and stream_end(), whose caller so must not
	 * touch the source afterwards without knowing better. */
	void (*close)(void *ctx);
	/* Somebody begins to wait: deliver what is there and was not looked for
	 * yet. May be NULL. */
	void (*look)(void *ctx);
};

/* Who opened it and on what: for diagnostics. Strings are copied. */
struct stream_label {
	const char *kind;   /* "tail_file", "proc_stdout_stream", ... */
	const char *detail; /* the path, fd, ... */
	const char *file;   /* the author's file, or NULL */
	int line;
	const char *test; /* the running test, or NULL */
	uint64_t process; /* handle of the process whose output it is; or 0 */
};

/* All the open streams of one VM: what a snapshot must refuse on. */
TAILQ_HEAD(stream_list, stream);

/* Joins list (borrowed) until closed. */
struct stream *stream_new(struct loop *l, enum stream_type type,
			  const struct stream_label *label,
			  struct stream_list *list,
			  const struct stream_source *source, void *source_ctx);
/* Closes first. A waiter in flight is cancelled. */
struct stream *stream_free(struct stream *s);

/*
 * Source side. One frame, copied; more: the next one continues it, and the
 * reader sees them as one. A frame that would be longer than STREAM_FRAME_MAX
 * is cut there. Ignored after stream_end() and stream_close().
 */
void stream_deliver(struct stream *s, const void *p, size_t n, bool more);
/* No more frames. err: NULL for an honest end; else why it broke, which
 * finishes a waiter at once and fails those that come later when they run
 * out of pending bytes. Idempotent. */
void stream_end(struct stream *s, const struct err *err);

/*
 * Reader side. Each starts w->op; w is the caller's and must outlive it.
 *
 * stream_next: result 1 with one frame in w->bytes; 0 at end, after close or
 * at the deadline (never an error, unless the stream broke). A frame of which
 * only a part has come is not handed out before the end of the stream.
 * With skip, so many frames are dropped before the one that is handed out, or
 * at the end of the stream; until then they stay, too.
 *
 * stream_match: result 0 once a pattern occurs; w->index says which (0-based;
 * the match that ends first in the stream wins, then the earlier listed). With
 * keep, w->bytes holds everything up to and including it. Else:
 * -ETIMEDOUT "expect timed out waiting for `X`" + the last bytes,
 * -EPIPE "stream EOF" (ConsoleStream: "console EOF (stream EOF)") + the same,
 * -ESHUTDOWN "stream closed", "console closed", "capture closed",
 * -ENOBUFS see above, -EINVAL an empty or too long pattern, too many or none.
 * The patterns' bytes are borrowed until the op is done.
 *
 * stream_take: the next n bytes, whatever the frames: result = their number,
 * in w->bytes. Fewer only at the end of the stream (0 behind it, and after
 * close). At the deadline -ETIMEDOUT "X timed out: 3 of 16 bytes there", X
 * being the verb. n above STREAM_TAKE_MAX: -EINVAL.
 *
 * stream_read: what there is, at least one byte, max (>= 1) at the most,
 * whatever the frames: result = their number, in w->bytes; 0 as stream_next.
 *
 * stream_drain: result = number of frames in w->frames: the pending bytes,
 * then every frame that arrives before the deadline; ends early only at EOF.
 *
 * The end of a stream that broke fails a waiter in flight at once with the
 * reason; what is pending can still be read, and then later calls fail so.
 * A cancelled waiter has taken nothing.
 *
 * With hold, a wait that found something leaves it where it is: the bytes move
 * to w, and count as taken, by stream_wait_accept(). Until then w is still the
 * stream's waiter. Without it (w started anew, or done) they stay pending, as
 * if the call had never been made; so a reader that is given up between the
 * end of the wait and its own turn loses nothing. Closing the stream accepts.
 */
struct stream_wait {
	struct op op;
	struct stream *stream;
	const char *verb; /* "expect", "read_until", ...: for messages */
	const struct stream_pattern *patterns;
	size_t n_patterns;
	bool keep;
	size_t skip;	/* the caller's, for a next, set like hold */
	bool hold;	/* the caller's, set after stream_wait_init() */
	bool is_held;	/* finished, not accepted yet */
	size_t n_bytes; /* that a take wants, or a read at the most */
	size_t n_due;	/* the engine's */
	unsigned mode;	/* the engine's */
	size_t index;
	struct buf bytes;
	struct buf *frames; /* owned array */
	size_t n_frames;
	void *matcher; /* the engine's */
};

#define STREAM_PATTERNS_MAX 64
#define STREAM_PATTERN_MAX  ((size_t)1 << 20) /* bytes of one */
#define STREAM_FRAME_MAX    ((uint32_t)1 << 20)
#define STREAM_PENDING_MAX  ((uint64_t)1 << 30)
/* Frames that one drain collects; what comes after them stays pending. */
#define STREAM_DRAIN_MAX ((size_t)1 << 24)

/* Bytes that one take may ask for. */
#define STREAM_TAKE_MAX ((size_t)128 << 20)

void stream_wait_init(struct stream_wait *w, struct stream *s);
void stream_wait_done(struct stream_wait *w);

void stream_wait_accept(struct stream_wait *w);

void stream_next(struct stream_wait *w, int64_t deadline_ns);
void stream_match(struct stream_wait *w, const char *verb,
		  const struct stream_pattern *patterns, size_t n, bool keep,
		  int64_t deadline_ns);
void stream_drain(struct stream_wait *w, int64_t deadline_ns);
void stream_take(struct stream_wait *w, const char *verb, size_t n,
		 int64_t deadline_ns);
void stream_read(struct stream_wait *w, size_t max, int64_t deadline_ns);

/* A wait is in flight, or holds: another would be refused. */
bool stream_is_busy(const struct stream *s);

/* Appends "; nobody reads its ..." for each stream of list that holds up the
 * process with this handle (not 0): which output it is, where it was opened,
 * and how many bytes wait. list may be NULL. */
void stream_list_tell_held_up(const struct stream_list *list, uint64_t process,
			      struct buf *out);
/* The same for the process that writes s; nothing if s is no output of one. */
void stream_tell_held_up(const struct stream *s, struct buf *out);

/* Finishes the waiters of the streams in list with err; the streams go on, and
 * nothing is lost. Only from the loop. */
void stream_list_interrupt(struct stream_list *list, const struct err *err);

/* Drops pending bytes; idempotent; a waiter finishes as if it came later. */
void stream_close(struct stream *s);
bool stream_is_closed(const struct stream *s);
/* The source ended and nothing is pending. */
bool stream_eof(const struct stream *s);
/* The next frame is the rest of one whose beginning was taken. */
bool stream_is_cut(const struct stream *s);
/* Bytes delivered so far. */
uint64_t stream_bytes(const struct stream *s);
/* Bytes of those that the reader got, or skipped with an expect. */
uint64_t stream_taken(const struct stream *s);
/* Bytes examined by all searches: for tests of linearity. */
uint64_t stream_work(const struct stream *s);
enum stream_type stream_type(const struct stream *s);
const struct stream_label *stream_label(const struct stream *s);

/* The one behind s in its list, or NULL: with TAILQ_FIRST(), a walk. */
struct stream *stream_list_next(const struct stream *s);

/* Escapes the last max bytes of p[0..n) for a message: printable ASCII as it
 * is, the rest as \n, \r, \t, \xNN. Appends to out. */
void stream_escape_tail(struct buf *out, const void *p, size_t n, size_t max);

#define STREAM_EXCERPT_MAX 200

/* Appends "last bytes: "..."" of what is pending, or "nothing is pending", as
 * the errors of stream_match do. */
void stream_pending_text(const struct stream *s, struct buf *out);

#endif
