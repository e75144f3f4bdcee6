/* SPDX-License-Identifier: MIT */
#include "runner/report_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/json_text.h"
#include "runner/log_tail.h"
#include "runner/report_kept.h"
#include "runner/text.h"
#include "streams/disk_err.h"

#define VMS_MAX	 10000 /* events of VMs that a file's entry holds */
#define POOL_MAX 20000 /* of the pool, in all */

struct document {
	char *path; /* or NULL */
	FILE *out;  /* borrowed; where path is NULL */
	tree_writer write;
};

struct report_tree {
	struct event_sink sink;
	json_t *tree;
	json_t *by_name; /* file -> its entry in the tree */
	json_t *open;	 /* file -> what is known of the test that runs */
	struct document *documents;
	size_t n_documents;
	size_t transcripts_left; /* bytes that they may still have */
	bool keeps_all;		 /* transcripts, and each line of the logs */
	bool is_written;
	struct err err;
};

const char *tree_string(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

struct tree_text tree_text_of(const json_t *string)
{
	if (!json_is_string(string))
		return (struct tree_text){"", 0};
	return (struct tree_text){json_string_value(string),
				  json_string_length(string)};
}

struct tree_text tree_text(const json_t *o, const char *key)
{
	return tree_text_of(json_object_get(o, key));
}

struct tree_text tree_text_c(const char *s)
{
	return (struct tree_text){s, strlen(s)};
}

struct tree_text tree_first_line(struct tree_text t)
{
	const char *newline = memchr(t.p, '\n', t.n);

	if (newline)
		t.n = (size_t)(newline - t.p);
	return t;
}

double tree_number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* --- the tree -------------------------------------------------------------*/

static json_t *file_of(struct report_tree *t, const json_t *ev)
{
	static const char *const lists[] = {"tests", "errors", "vms",
					    "artifacts"};
	const char *name = tree_string(ev, "file");
	json_t *file = json_object_get(t->by_name, name);

	if (file)
		return file;
	file = json_object();
	json_object_set_new(file, "file", event_string(name, strlen(name)));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		json_object_set_new(file, lists[i], json_array());
	json_array_append_new(json_object_get(t->tree, "files"), file);
	json_object_set(t->by_name, name, file);
	return file;
}

/* The test that runs in the file; made if there is none. */
static json_t *open_of(struct report_tree *t, const json_t *ev)
{
	const char *name = tree_string(ev, "file");
	json_t *open = json_object_get(t->open, name);

	if (open)
		return open;
	open = json_object();
	json_object_set_new(open, "attempts_failed", json_array());
	json_object_set_new(t->open, name, open);
	return open;
}

static void copy_time(json_t *o, const char *key, const json_t *ev)
{
	json_t *time = json_object_get(ev, "time");

	if (time)
		json_object_set(o, key, time);
}

static json_int_t report_tree_add_to(json_t *o, const char *key, size_t n)
{
	json_int_t sum =
	    json_integer_value(json_object_get(o, key)) + (json_int_t)n;

	json_object_set_new(o, key, json_integer(sum));
	return sum;
}

/* Drops the n oldest texts, and counts their lines in "dropped". */
static void drop_texts(json_t *o, size_t n)
{
	const json_t *texts = json_object_get(o, "texts");
	json_t *kept = json_array();
	struct log_tail gone = {0};

	for (size_t i = 0; i < json_array_size(texts); i++) {
		json_t *text = json_array_get(texts, i);

		if (i >= n)
			json_array_append(kept, text);
		else
			log_tail_add(&gone, json_string_value(text),
				     json_string_length(text));
	}
	report_tree_add_to(o, "dropped", gone.dropped_lines + gone.lines);
	log_tail_done(&gone);
	json_object_set_new(o, "texts", kept);
}

/* Texts gather in "texts", their bytes in "bytes". The oldest go when there is
 * twice too much, so that each is looked at once. */
static void add_log(json_t *o, const json_t *ev)
{
	json_t *text = json_object_get(ev, "text");
	json_t *texts = json_object_get(o, "texts");
	size_t n = 0, gone = 0;

	if (!texts) {
		texts = json_array();
		json_object_set_new(o, "texts", texts);
	}
	json_array_append_new(texts, json_deep_copy(text));
	json_int_t bytes =
	    report_tree_add_to(o, "bytes", json_string_length(text) + 1);
	if (bytes <= 2 * TREE_LOG_MAX)
		return;
	for (; bytes - (json_int_t)gone > TREE_LOG_MAX &&
	       n + 1 < json_array_size(texts);
	     n++)
		gone += json_string_length(json_array_get(texts, n)) + 1;
	json_object_set_new(o, "bytes", json_integer(bytes - (json_int_t)gone));
	drop_texts(o, n);
}

/* Makes "log" of the texts, each ending its line. */
static void join_log(json_t *o, size_t max_lines)
{
	const json_t *texts = json_object_get(o, "texts");
	const json_t *dropped = json_object_get(o, "dropped");
	struct log_tail tail = {.dropped_lines =
				    (size_t)json_integer_value(dropped)};
	CLEANUP(buf_done) struct buf log = {0};

	for (size_t i = 0; i < json_array_size(texts); i++) {
		const json_t *text = json_array_get(texts, i);

		log_tail_add(&tail, json_string_value(text),
			     json_string_length(text));
	}
	log_tail_write(&tail, max_lines, 2 * TREE_LOG_MAX, &log);
	log_tail_done(&tail);
	if (log.len)
		json_object_set_new(
		    o, "log", event_string((char *)buf_data(&log), log.len));
	json_object_del(o, "texts");
	json_object_del(o, "bytes");
	json_object_del(o, "dropped");
}

static void report_tree_on_run_start(struct report_tree *t, const json_t *ev)
{
	json_object_set_new(t->tree, "run", json_deep_copy(ev));
}

static void report_tree_on_file_start(struct report_tree *t, const json_t *ev)
{
	json_t *file = file_of(t, ev);

	if (!json_object_get(file, "start"))
		copy_time(file, "start", ev);
}

/* A copy of an event without the members that a document adds: an event of any
 * origin may have members of these names. Owned. */
static json_t *copy_event(const json_t *ev)
{
	static const char *const added[] = {
	    "transcripts", "packets", "made", "kept",
	    "log",	   "start",   "end",  "attempts_failed"};
	json_t *copy = json_deep_copy(ev);

	for (size_t i = 0; i < ARRAY_LEN(added); i++)
		json_object_del(copy, added[i]);
	return copy;
}

/* What an earlier event has told of the failure of ev. */
static void take_evidence(struct report_tree *t, const json_t *ev,
			  json_t *failure)
{
	static const char *const keys[] = {"transcripts", "packets", "made"};
	json_t *open = json_object_get(t->open, tree_string(ev, "file"));

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		json_t *v = json_object_get(open, keys[i]);

		if (v)
			json_object_set(failure, keys[i], v);
		json_object_del(open, keys[i]);
	}
}

static void on_failure_console(struct report_tree *t, const json_t *ev)
{
	json_t *open = open_of(t, ev);
	json_t *list = json_object_get(open, "transcripts");
	size_t n = tree_text(ev, "text").n;
	json_t *copy = json_deep_copy(ev);

	if (n > t->transcripts_left) {
		json_int_t left_out =
		    json_integer_value(json_object_get(ev, "left_out"));
		json_int_t more = (json_int_t)n;

		if (left_out > INT64_MAX - more)
			left_out = INT64_MAX - more;
		json_object_set_new(copy, "text", json_string(""));
		json_object_set_new(copy, "left_out",
				    json_integer(left_out + more));
		n = 0;
	}
	t->transcripts_left -= n;
	if (!list) {
		list = json_array();
		json_object_set_new(open, "transcripts", list);
	}
	json_array_append_new(list, copy);
}

static void on_failure_packets(struct report_tree *t, const json_t *ev)
{
	json_t *open = open_of(t, ev);
	json_t *list = json_object_get(open, "packets");

	if (!list) {
		list = json_array();
		json_object_set_new(open, "packets", list);
	}
	json_array_append_new(list, json_deep_copy(ev));
}

static void on_failure_calls(struct report_tree *t, const json_t *ev)
{
	json_object_set_new(open_of(t, ev), "made", json_deep_copy(ev));
}

static void report_tree_on_file_error(struct report_tree *t, const json_t *ev)
{
	json_t *error = copy_event(ev);

	take_evidence(t, ev, error);
	json_array_append_new(json_object_get(file_of(t, ev), "errors"), error);
}

static void report_tree_on_test_start(struct report_tree *t, const json_t *ev)
{
	json_object_del(t->open, tree_string(ev, "file"));
	json_t *open = open_of(t, ev);

	copy_time(open, "start", ev);
	json_object_set_new(open, "test",
			    json_deep_copy(json_object_get(ev, "test")));
}

static void report_tree_on_attempt(struct report_tree *t, const json_t *ev)
{
	json_t *attempt = copy_event(ev);

	take_evidence(t, ev, attempt);
	json_array_append_new(
	    json_object_get(open_of(t, ev), "attempts_failed"), attempt);
}

static void report_tree_on_log(struct report_tree *t, const json_t *ev)
{
	json_t *open = json_object_get(t->open, tree_string(ev, "file"));

	if (json_is_string(json_object_get(ev, "text")))
		add_log(open ? open : file_of(t, ev), ev);
}

static void report_tree_on_vm(struct report_tree *t, const json_t *ev)
{
	json_t *vms = json_object_get(file_of(t, ev), "vms");

	if (json_array_size(vms) < VMS_MAX)
		json_array_append_new(vms, json_deep_copy(ev));
}

static void report_tree_on_pool(struct report_tree *t, const json_t *ev)
{
	json_t *pool = json_object_get(t->tree, "pool");

	if (json_array_size(pool) < POOL_MAX)
		json_array_append_new(pool, json_deep_copy(ev));
}

static void report_tree_on_test_end(struct report_tree *t, const json_t *ev)
{
	json_t *test = copy_event(ev);
	json_t *open = open_of(t, ev);

	bool is_failed = !strcmp(tree_string(ev, "status"), "failed");

	json_object_del(open, "test");
	join_log(open, is_failed && !t->keeps_all ? LOG_TAIL_LINES : SIZE_MAX);
	json_object_update(test, open);
	copy_time(test, "end", ev);
	json_object_del(t->open, tree_string(ev, "file"));
	json_array_append_new(json_object_get(file_of(t, ev), "tests"), test);
}

static void report_tree_on_artifacts(struct report_tree *t, const json_t *ev)
{
	json_t *paths = json_deep_copy(json_object_get(ev, "paths"));

	json_array_extend(json_object_get(file_of(t, ev), "artifacts"), paths);
	json_decref(paths);
}

static void report_tree_on_file_end(struct report_tree *t, const json_t *ev)
{
	json_t *file = file_of(t, ev);
	json_t *duration = json_object_get(ev, "duration");

	copy_time(file, "end", ev);
	if (duration)
		json_object_set_new(file, "duration",
				    json_real(json_number_value(duration) +
					      tree_number(file, "duration")));
	json_object_del(t->open, tree_string(ev, "file"));
}

/* --- documents ------------------------------------------------------------*/

static int flush_file(FILE *f)
{
	bool is_bad = fflush(f) != 0 || ferror(f);

	return is_bad ? (errno ? -errno : -EIO) : 0;
}

/* Beside the path, under a name of its own, then renamed. A path that exists
 * and is no regular file (/dev/stdout, a pipe) is written itself. */
static int write_path(const struct document *d, const json_t *tree)
{
	CLEANUP(free_ptr) char *aside = mem_printf("%s.XXXXXX", d->path);
	CLEANUP(file_closep) FILE *f = NULL;
	struct stat st;
	bool is_direct = stat(d->path, &st) == 0 && !S_ISREG(st.st_mode);
	int fd = is_direct ? open(d->path, O_WRONLY | O_CLOEXEC)
			   : mkostemp(aside, O_CLOEXEC);
	mode_t mask = umask(0);
	int r;

	umask(mask);
	if (fd < 0)
		return -errno;
	f = fdopen(fd, "we");
	d->write(f, tree);
	r = flush_file(f);
	if (is_direct)
		return r;
	if (!r && (fchmod(fd, 0666 & ~mask) < 0 || rename(aside, d->path) < 0))
		r = -errno;
	if (r < 0)
		unlink(aside);
	return r;
}

static void write_document(struct report_tree *t, const struct document *d)
{
	int r;

	errno = 0;
	if (d->path) {
		r = write_path(d, t->tree);
	} else {
		d->write(d->out, t->tree);
		r = flush_file(d->out);
	}
	if (r < 0 && !t->err.code)
		disk_err(&t->err, r, d->path ? d->path : "/dev/fd/1",
			 "cannot write '%s'",
			 d->path ? d->path : "standard output");
}

static void write_documents(struct report_tree *t)
{
	json_t *file;
	size_t at;

	if (t->is_written)
		return;
	t->is_written = true;
	json_array_foreach (json_object_get(t->tree, "files"), at, file) {
		join_log(file, SIZE_MAX);
		report_kept_share(file);
	}
	for (size_t i = 0; i < t->n_documents; i++)
		write_document(t, &t->documents[i]);
}

static void report_tree_on_run_end(struct report_tree *t, const json_t *ev)
{
	json_object_set_new(t->tree, "end", json_deep_copy(ev));
	write_documents(t);
}

/* --- the sink -------------------------------------------------------------*/

static const struct tree_handler {
	const char *event;
	void (*handle)(struct report_tree *t, const json_t *ev);
} handlers[] = {
    {"run_start", report_tree_on_run_start},
    {"file_start", report_tree_on_file_start},
    {"file_error", report_tree_on_file_error},
    {"test_start", report_tree_on_test_start},
    {"test_attempt", report_tree_on_attempt},
    {"failure_console", on_failure_console},
    {"failure_calls", on_failure_calls},
    {"failure_packets", on_failure_packets},
    {"log", report_tree_on_log},
    {"output", report_tree_on_log},
    {"vm", report_tree_on_vm},
    {"pool", report_tree_on_pool},
    {"test_end", report_tree_on_test_end},
    {"artifacts", report_tree_on_artifacts},
    {"file_end", report_tree_on_file_end},
    {"run_end", report_tree_on_run_end},
};

static void tree_event(struct event_sink *sink, const json_t *ev)
{
	struct report_tree *t = CONTAINER_OF(sink, struct report_tree, sink);
	const char *name = tree_string(ev, "event");

	for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
		if (!strcmp(handlers[i].event, name))
			handlers[i].handle(t, ev);
}

static void tree_free(struct event_sink *sink)
{
	struct report_tree *t = CONTAINER_OF(sink, struct report_tree, sink);

	if (json_object_get(t->tree, "run"))
		write_documents(t);
	for (size_t i = 0; i < t->n_documents; i++)
		free(t->documents[i].path);
	free(t->documents);
	json_decref(t->by_name);
	json_decref(t->open);
	json_decref(t->tree);
	free(t);
}

struct event_sink *report_tree_new(void)
{
	struct report_tree *t = mem_zalloc(sizeof(*t));

	t->sink = (struct event_sink){tree_event, tree_free, NULL};
	t->tree = json_pack("{s:[], s:[]}", "files", "pool");
	t->transcripts_left = TREE_TRANSCRIPTS_MAX;
	t->by_name = json_object();
	t->open = json_object();
	return &t->sink;
}

void report_tree_add(struct event_sink *sink, const char *path, FILE *out,
		     tree_writer write)
{
	struct report_tree *t = CONTAINER_OF(sink, struct report_tree, sink);

	t->documents = mem_realloc_array(t->documents, t->n_documents + 1,
					 sizeof(*t->documents));
	t->documents[t->n_documents++] =
	    (struct document){path ? mem_strdup(path) : NULL, out, write};
}

void report_tree_keep_all(struct event_sink *sink)
{
	struct report_tree *t = CONTAINER_OF(sink, struct report_tree, sink);

	t->keeps_all = true;
	t->transcripts_left = SIZE_MAX;
}

const json_t *report_tree_document(struct event_sink *sink)
{
	return CONTAINER_OF(sink, struct report_tree, sink)->tree;
}

int report_tree_error(struct event_sink *sink, struct err *err)
{
	struct report_tree *t = CONTAINER_OF(sink, struct report_tree, sink);

	return t->err.code ? err_set(err, t->err.code, "%s", t->err.text) : 0;
}

void report_json_write(FILE *out, const json_t *tree)
{
	CLEANUP(free_ptr) char *text = json_text(tree, JSON_INDENT(1));

	if (text)
		fputs(text, out);
	fputc('\n', out);
}
