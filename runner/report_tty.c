/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. On a terminal the last line tells what goes on. The
 * report for people writes into memory; after each event, what it wrote, and
 * the line, go out in one write: the line is erased (CR, ECMA-48 ED), the text
 * printed where it stood, the line drawn again below. So nothing is ever
 * printed behind it, and it does not flicker. It is cut at the width of the
 * terminal, which is asked each time.
 *
 * The cursor waits at the start of the line. When the window shrinks, most
 * terminals wrap the line, and keep the cursor with the character that it is
 * on; others cut the line. On both, what begins at the cursor is the line.
 */
#include "runner/report.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/report_tree.h"
#include "runner/text.h"

#define ERASE	      "\r\033[J"
#define WIDTH_DEFAULT 80
#define WIDTH_MIN     20
#define REDRAW_NS     (NS_PER_SEC / 10)

struct report_tty {
	struct event_sink sink;
	struct event_sink *next; /* owned; writes to mem */
	FILE *out;
	FILE *mem;
	char *text; /* of mem */
	size_t n_text;
	int64_t started_ns;
	int64_t drawn_ns;
	json_t *running; /* file -> the test that runs, or "" */
	json_t *vms;	 /* file -> object of the VMs that are up */
	json_int_t files;
	json_int_t waiting; /* boots, for memory or vCPUs */
	unsigned files_done;
	unsigned planned;
	unsigned done;
	unsigned failed;
	bool is_drawn;
	bool is_live; /* between run_start and run_end */
};

/* --- drawing --------------------------------------------------------------*/

static size_t width_of(FILE *out)
{
	struct winsize w;

	if (ioctl(fileno(out), TIOCGWINSZ, &w) < 0 || !w.ws_col)
		return WIDTH_DEFAULT;
	return w.ws_col;
}

static size_t count_vms(const struct report_tty *r)
{
	const char *file;
	json_t *vms;
	size_t n = 0;

	json_object_foreach (r->vms, file, vms)
		n += json_object_size(vms);
	return n;
}

static void report_tty_put_running(const struct report_tty *r, struct buf *line)
{
	const char *file;
	json_t *test;
	size_t n = 0;

	json_object_foreach (r->running, file, test) {
		const char *name = json_string_value(test);

		buf_printf(line, "%s", n++ ? ", " : "  ");
		text_escape(line, file, strlen(file));
		if (*name)
			buf_printf(line, ": ");
		text_escape(line, name, strlen(name));
	}
}

/* The first characters of the line; each is taken for two columns wide that
 * may be. */
static size_t fit(const struct buf *line, size_t columns)
{
	const char *s = (const char *)buf_data(line);
	size_t used = 0, i = 0;
	uint32_t code;

	while (i < line->len) {
		size_t len = text_utf8(s + i, line->len - i, &code);

		if (!len)
			break;
		used += code >= 0x1100 ? 2 : 1;
		if (used > columns)
			break;
		i += len;
	}
	return i;
}

static void report_tty_put_line(struct report_tty *r, struct buf *out)
{
	size_t width = width_of(r->out);
	long s = (long)((clock_now_ns() - r->started_ns) / NS_PER_SEC);
	CLEANUP(buf_done) struct buf line = {0};
	size_t vms = count_vms(r);

	if (width < WIDTH_MIN)
		return;
	buf_printf(&line, "[%ld:%02ld] %u/%lld files, %u/%u tests", s / 60,
		   s % 60, r->files_done, (long long)r->files, r->done,
		   r->planned);
	if (r->failed)
		buf_printf(&line, ", %u failed", r->failed);
	if (vms)
		buf_printf(&line, ", %zu VM%s", vms, vms == 1 ? "" : "s");
	if (r->waiting)
		buf_printf(&line, ", %lld waiting", (long long)r->waiting);
	report_tty_put_running(r, &line);
	/* The last column stays free: writing to it may wrap. */
	buf_append(out, buf_data(&line), fit(&line, width - 1));
	buf_append(out, "\r", 1);
	r->is_drawn = true;
}

static void report_tty_draw(struct report_tty *r)
{
	struct buf out = {0};
	int64_t now_ns = clock_now_ns();

	fflush(r->mem);
	if (!r->n_text && r->is_live && r->is_drawn &&
	    now_ns - r->drawn_ns < REDRAW_NS)
		return;
	if (r->is_drawn)
		buf_append(&out, ERASE, strlen(ERASE));
	r->is_drawn = false;
	buf_append(&out, r->text, r->n_text);
	rewind(r->mem);
	if (r->is_live)
		report_tty_put_line(r, &out);
	if (out.len)
		fwrite(buf_data(&out), 1, out.len, r->out);
	fflush(r->out);
	buf_done(&out);
	r->drawn_ns = now_ns;
}

/* --- events ---------------------------------------------------------------*/

static void report_tty_on_run_start(struct report_tty *r, const json_t *ev)
{
	r->files = json_integer_value(json_object_get(ev, "files"));
	r->started_ns = clock_now_ns();
	r->is_live = true;
}

static void set_running(struct report_tty *r, const json_t *ev)
{
	const char *test = tree_string(ev, "test");

	json_object_set_new(r->running, tree_string(ev, "file"),
			    event_string(test, strlen(test)));
}

static void report_tty_on_plan(struct report_tty *r, const json_t *ev)
{
	r->planned += (unsigned)json_array_size(json_object_get(ev, "tests"));
}

static void report_tty_on_test_end(struct report_tty *r, const json_t *ev)
{
	r->done++;
	r->failed += !strcmp(tree_string(ev, "status"), "failed");
	json_object_set_new(r->running, tree_string(ev, "file"),
			    json_string(""));
}

static void report_tty_on_file_error(struct report_tty *r, const json_t *ev)
{
	(void)ev;
	r->failed++;
}

static void report_tty_on_vm(struct report_tty *r, const json_t *ev)
{
	static const char *const gone[] = {"ended", "closed"};
	const char *file = tree_string(ev, "file");
	const char *vm = tree_string(ev, "vm");
	const char *state = tree_string(ev, "state");
	json_t *vms = json_object_get(r->vms, file);

	if (!vms) {
		vms = json_object();
		json_object_set_new(r->vms, file, vms);
	}
	for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
		if (!strcmp(gone[i], state)) {
			json_object_del(vms, vm);
			return;
		}
	}
	/* What cannot be paused or reset goes on. */
	if (!strcmp(state, "failed") && json_is_false(json_object_get(vms, vm)))
		json_object_del(vms, vm);
	/* A shutdown call that returns follows "ended". */
	if (!strcmp(state, "booting") || !strcmp(state, "booted"))
		json_object_set_new(vms, vm,
				    json_boolean(!strcmp(state, "booted")));
}

static void report_tty_on_pool(struct report_tty *r, const json_t *ev)
{
	r->waiting = json_integer_value(json_object_get(ev, "waiting"));
}

static void report_tty_on_file_end(struct report_tty *r, const json_t *ev)
{
	r->files_done++;
	json_object_del(r->running, tree_string(ev, "file"));
	json_object_del(r->vms, tree_string(ev, "file"));
}

static void report_tty_on_run_end(struct report_tty *r, const json_t *ev)
{
	(void)ev;
	r->is_live = false;
}

static const struct tty_handler {
	const char *event;
	void (*handle)(struct report_tty *r, const json_t *ev);
} handlers[] = {
    {"run_start", report_tty_on_run_start},
    {"file_start", set_running},
    {"plan", report_tty_on_plan},
    {"test_start", set_running},
    {"test_end", report_tty_on_test_end},
    {"file_error", report_tty_on_file_error},
    {"vm", report_tty_on_vm},
    {"pool", report_tty_on_pool},
    {"file_end", report_tty_on_file_end},
    {"run_end", report_tty_on_run_end},
};

static void tty_event(struct event_sink *sink, const json_t *ev)
{
	struct report_tty *r = CONTAINER_OF(sink, struct report_tty, sink);
	const char *name = tree_string(ev, "event");

	r->next->event(r->next, ev);
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
		if (!strcmp(handlers[i].event, name))
			handlers[i].handle(r, ev);
	report_tty_draw(r);
}

static void tty_tick(struct event_sink *sink)
{
	report_tty_draw(CONTAINER_OF(sink, struct report_tty, sink));
}

static void tty_free(struct event_sink *sink)
{
	struct report_tty *r = CONTAINER_OF(sink, struct report_tty, sink);

	r->is_live = false;
	report_free(r->next);
	report_tty_draw(r);
	fclose(r->mem);
	free(r->text);
	json_decref(r->running);
	json_decref(r->vms);
	free(r);
}

struct event_sink *report_tty_new(FILE *out, const struct report_options *opts)
{
	struct report_tty *r = mem_zalloc(sizeof(*r));

	r->mem = open_memstream(&r->text, &r->n_text);
	if (!r->mem) /* for want of memory only */
		abort();
	r->sink = (struct event_sink){tty_event, tty_free, tty_tick};
	r->next = report_group_new(report_plain_new(r->mem, opts));
	r->out = out;
	r->running = json_object();
	r->vms = json_object();
	return &r->sink;
}
