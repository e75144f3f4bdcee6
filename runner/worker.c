/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: a worker is a process for one test file. It loads the
 * file (which registers tests), sends the plan, runs the tests, and closes
 * what is left. All it has to say goes to its parent as events; what it prints
 * otherwise would be noise.
 *
 * A file that cannot be loaded is one file_error event. That is an outcome,
 * not a failure of the worker: its exit status says only whether every event
 * was written.
 */
#include "runner/worker.h"

#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "runner/baseline.h"
#include "runner/bind_fixture.h"
#include "runner/bind_lab.h"
#include "runner/claims.h"
#include "runner/evidence.h"
#include "runner/interrupt.h"
#include "runner/load.h"
#include "runner/park.h"
#include "runner/select.h"
#include "runner/vm_factory.h"
#include "runner/worker_proc.h"
#include "streams/disk_err.h"
#include "streams/io.h"
#include "vmm/snapshot.h"

/* A chunk may boot several VMs: more than one test's time. */
#define CHUNK_TIMEOUT_NS (300 * NS_PER_SEC)
/* Of a fixture's: what takes long is done there. */
#define FIXTURE_TIMEOUT_NS (3600 * NS_PER_SEC)

void worker_emit(struct worker *w, json_t *take_ev)
{
	if (w->job->display)
		json_object_set_new(
		    take_ev, "file",
		    event_string(w->job->display, strlen(w->job->display)));
	w->sink->event(w->sink, take_ev);
	json_decref(take_ev);
}

struct vm_factory *worker_vms(struct worker *w)
{
	if (!w->vms)
		w->vms = vm_factory_new(w->loop, &w->config, w->job->run_dir);
	return w->vms;
}

struct net *worker_net(struct worker *w)
{
	if (!w->net)
		w->net = net_new(w->loop, rundir_spool());
	return w->net;
}

char *worker_new_snapshot_dir(struct worker *w, struct err *err)
{
	if (w->snapshot_base) {
		char *dir = mem_printf("%s/%u", w->snapshot_base,
				       ++w->snapshots.n_subs);

		if (mkdir(dir, 0700) == 0)
			return dir;
		disk_err(err, -errno, dir, "cannot make '%s'", dir);
		free(dir);
		return NULL;
	}
	if (!w->snapshots.path &&
	    rundir_open(&w->snapshots, rundir_spool(), err) < 0) {
		w->snapshots.path = NULL;
		return NULL;
	}
	return rundir_new_sub(&w->snapshots, err);
}

/* Files of snapshots are never written to again, only replaced. */
int worker_verify_snapshot(struct worker *w, const struct snapshot *s,
			   struct err *err)
{
	CLEANUP(fd_closep) int fd = snapshot_open_file(s, SNAPSHOT_RAM, err);
	CLEANUP(free_ptr) char *id = NULL;
	bool is_known = false;
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot look at '%s': %s", s->dir,
			       strerror(errno));
	id = mem_printf("%ju:%ju:%ju:%jd.%09ld", (uintmax_t)st.st_dev,
			(uintmax_t)st.st_ino, (uintmax_t)st.st_size,
			(intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	for (size_t i = 0; i < w->verified.n; i++)
		is_known |= !strcmp(w->verified.v[i], id);
	int r = snapshot_verify(s, !is_known, err);
	if (r == 0 && !is_known)
		strvec_add(&w->verified, id);
	return r;
}

int worker_init(struct worker *w, const struct job *job,
		struct event_sink *sink, lua_State *take_L, struct err *err)
{
	int rc;

	*w = (struct worker){.job = job, .sink = sink, .L = take_L};
	await_init(&w->await);
	suite_init(&w->suite, w);
	w->selection = selection_new(&job->select, err);
	if (!w->selection)
		return err->code;
	/* Without a path it is looked for again, and found missing again. */
	rc = config_load(&w->config,
			 job->config && *job->config ? job->config : NULL, err);
	if (rc)
		return rc;
	w->has_config = true;
	w->loop = loop_new(err);
	if (!w->loop)
		return err->code;
	w->claims = claims_new(w->loop, sink, -1);
	if (!w->L)
		w->L = lua_state_new(err);
	if (!w->L)
		return err->code;
	lua_state_give(w->L, w);
	interrupt_init(w->L);
	w->file_scope = scope_new(w->L, NULL);
	w->scope = w->file_scope;
	return bind_lab_install(w->L, err);
}

void worker_connect(struct worker *w, int fd)
{
	claims_free(w->claims);
	w->claims = claims_new(w->loop, w->sink, fd);
}

void worker_done(struct worker *w)
{
	w->file_scope = scope_free(w->file_scope);
	w->scope = NULL;
	if (w->snapshots.path)
		rundir_close(&w->snapshots);
	strvec_done(&w->verified);
	if (w->L)
		lua_close(w->L);
	w->L = NULL;
	await_done(&w->await);
	failure_done(&w->origin);
	suite_done(&w->suite);
	w->selection = selection_free(w->selection);
	w->vms = vm_factory_free(w->vms);
	if (w->net)
		w->net = net_free(w->net);
	w->claims = claims_free(w->claims);
	loop_free(w->loop);
	w->loop = NULL;
	for (size_t i = 0; i < w->n_kept_fds; i++)
		close(w->kept_fds[i]);
	free(w->kept_fds);
	if (w->has_config)
		config_done(&w->config);
	w->has_config = false;
}

static void emit_file_start(struct worker *w)
{
	json_t *ev = event_begin("file_start");

	json_object_set_new(ev, "timeout",
			    json_integer(CHUNK_TIMEOUT_NS / NS_PER_SEC));
	worker_emit(w, ev);
}

static void emit_file_end(struct worker *w, int64_t started_ns)
{
	json_t *ev = event_begin("file_end");
	double span = (double)(clock_now_ns() - started_ns) / 1e9;

	json_object_set_new(ev, "duration", json_real(span));
	worker_emit(w, ev);
	w->is_over = true;
}

static void emit_file_error(struct worker *w, const struct failure *f)
{
	json_t *ev = event_begin("file_error");
	CLEANUP(buf_done) struct buf message = {0};

	if (f->site.file[0] && f->site.line)
		buf_printf(&message, "%s:%d: ", f->site.file, f->site.line);
	buf_append(&message, f->message, f->message_n);
	json_object_set_new(
	    ev, "message",
	    event_string((char *)buf_data(&message), message.len));
	json_object_set_new(ev, "trace",
			    event_string(f->trace, strlen(f->trace)));
	evidence_set_source(w, ev, &f->site);
	evidence_emit(w);
	evidence_set_artifacts(w, ev, true);
	worker_emit(w, ev);
}

static void set_path(struct worker *w)
{
	CLEANUP(free_ptr) char *dir = mem_strdup(w->job->file);
	char *slash = strrchr(dir, '/');

	if (slash)
		*slash = '\0';
	load_set_path(w->L, &w->config.roots, slash ? dir : ".");
}

static int run_chunk(struct worker *w, int n_results, struct failure *f)
{
	const char *display = w->job->display ? w->job->display : w->job->file;

	if (lua_state_load_file(w->L, w->job->file, display, f))
		return -EINVAL;
	await_set_timeout(&w->await,
			  w->deps ? FIXTURE_TIMEOUT_NS : CHUNK_TIMEOUT_NS);
	interrupt_arm(w->L, w->await.deadline_ns);
	int rc = lua_state_call(w->L, 0, n_results, f);
	interrupt_disarm();
	suite_settle(&w->suite);
	await_set_timeout(&w->await, CLOCK_NEVER);
	lua_settop(w->L, rc ? 0 : n_results);
	return rc;
}

/* Loads the file; false, and said, when that is the end of it. */
static bool worker_load_file(struct worker *w)
{
	struct failure f = {0}, early = {0};
	bool is_ok = !run_chunk(w, 0, &f);

	if (is_ok && w->suite.resets && baseline_check(w, &f))
		is_ok = false;
	if (!is_ok)
		emit_file_error(w, &f);
	/* It outlives the pcall that may have swallowed it. */
	if (suite_take_early(&w->suite, &early)) {
		if (is_ok || !memmem(f.message, f.message_n, early.message,
				     early.message_n))
			emit_file_error(w, &early);
		is_ok = false;
	}
	failure_done(&f);
	failure_done(&early);
	return is_ok;
}

int worker_run_fixture(struct worker *w, struct failure *f)
{
	struct failure early = {0};
	int r;

	set_path(w);
	bind_fixture_watch_env(w->L);
	r = run_chunk(w, 1, f);
	if (suite_take_early(&w->suite, &early) && r == 0) {
		*f = early;
		early = (struct failure){0};
		r = -1;
	}
	failure_done(&early);
	return r ? -1 : 0;
}

void worker_keep_fd(struct worker *w, int take_fd)
{
	w->kept_fds = mem_realloc_array(w->kept_fds, w->n_kept_fds + 1,
					sizeof(*w->kept_fds));
	w->kept_fds[w->n_kept_fds++] = take_fd;
}

static void run_tests(struct worker *w)
{
	struct failure f = {0};

	if (suite_take_baseline(&w->suite, &f))
		suite_run(&w->suite);
	else
		emit_file_error(w, &f);
	failure_done(&f);
}

void worker_run_file(struct worker *w)
{
	int64_t started = clock_now_ns();

	emit_file_start(w);
	set_path(w);
	if (!worker_load_file(w)) {
		/* Said. */
	} else if (w->job->is_shared && !w->job->list_only &&
		   suite_is_serial(&w->suite)) {
		worker_emit(w, event_begin("deferred"));
	} else {
		w->suite.is_closed = true;
		suite_shuffle(&w->suite);
		suite_emit_plan(&w->suite);
		if (!w->job->list_only)
			run_tests(w);
	}
	emit_file_end(w, started);
}

/* --- the process --- */

struct fd_sink {
	struct event_sink sink;
	int fd;
	const struct output_mark *mark; /* or NULL */
	uint64_t n_events;		/* sent */
	bool is_broken;
};

/* Nobody hears of what it does from here on: its parent is to know at once, and
 * not to wait for a word. The reason takes the other way. */
static void worker_give_up(struct fd_sink *s, int code)
{
	s->is_broken = true;
	fprintf(stderr, "provium worker: cannot write to its parent: %s\n",
		strerror(code));
	shutdown(s->fd, SHUT_RDWR);
}

static void fd_sink_event(struct event_sink *sink, const json_t *ev)
{
	struct fd_sink *s = CONTAINER_OF(sink, struct fd_sink, sink);
	struct buf line = {0};

	/* What was printed until now is before it. */
	fflush(stdout);
	if (s->mark)
		output_mark_write(s->mark, WORKER_OUTPUT_FD, ++s->n_events);
	event_encode(ev, &line);
	int r = s->is_broken ? 0 : io_write(s->fd, buf_data(&line), line.len);
	if (r < 0)
		worker_give_up(s, -r);
	buf_done(&line);
}

int worker_main(lua_State *take_L, const struct job *job, int fd)
{
	struct fd_sink sink = {
	    .sink = {.event = fd_sink_event}, .fd = fd, .mark = job->mark};
	struct worker w;
	struct err err = {0};

	if (worker_init(&w, job, &sink.sink, take_L, &err)) {
		struct failure f = {.trace = mem_strdup("")};

		failure_set_text(&f, err.text);
		emit_file_error(&w, &f);
		failure_done(&f);
	} else {
		worker_connect(&w, fd);
		park_listen(&w);
		worker_run_file(&w);
	}
	signal(SIGUSR1, SIG_IGN);
	worker_done(&w);
	return sink.is_broken ? 1 : 0;
}
