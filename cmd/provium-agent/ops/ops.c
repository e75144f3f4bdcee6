/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/ops/ops.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/guest.h"
#include "cmd/provium-agent/core/handle.h"
#include "cmd/provium-agent/ops/proc.h"
#include "cmd/provium-agent/ops/raw_call.h"
#include "cmd/provium-agent/ops/tail.h"

#define OP_PATHS 1u /* looks paths up: in PID 1's root of now */

struct op_entry {
	void (*run)(const struct req *r);
	unsigned flags;
};

static const struct op_entry ops[MSG_SHUTDOWN + 1];

static void ops_dispatch(const struct req *r)
{
	const struct op_entry *op = &ops[r->m->type];

	if (op->flags & OP_PATHS)
		guest_follow_root(server_guest(r->srv));
	op->run(r);
}

const struct server_kind ops_server_kind = {
    ops_dispatch,
    {&procs_service, &tails_service, &raw_threads_service},
};

void op_ping(const struct req *r)
{
	req_done(r, r->m->ping.value);
}

void op_release(const struct req *r)
{
	uint64_t id = r->m->release.handle;
	struct handle_table *handles = server_handles(r->srv);
	struct handle *h = handle_find(handles, id);

	if (!h) {
		req_error(r, EBADF, "release handle %" PRIu64, id);
		return;
	}
	handle_release(handles, h);
	req_done(r, 0);
}

void op_shutdown(const struct req *r)
{
	if (r->m->shutdown.how > MSG_SHUTDOWN_REBOOT) {
		req_error(r, EINVAL, "shutdown how %u", r->m->shutdown.how);
		return;
	}
	if (!server_guest(r->srv)->is_worker)
		sync();
	req_done(r, 0);
	server_shutdown(r->srv, r->m->shutdown.how);
}

void op_boot_files(const struct req *r)
{
	const struct guest *g = server_guest(r->srv);
	struct msg m = {.type = MSG_ERROR};

	if (g->files_err.code) {
		m.error.errnum = -g->files_err.code;
		m.error.text = g->files_err.text;
		req_reply(r, &m);
	} else if (r->m->boot_files.count != g->n_files) {
		req_error(r, ENOENT,
			  "%" PRIu64 " of %" PRIu64 " files for the guest are "
			  "in their places",
			  g->n_files, r->m->boot_files.count);
	} else {
		req_done(r, 0);
	}
}

/* Decoded requests only get here: each of them has its entry. */
static const struct op_entry ops[MSG_SHUTDOWN + 1] = {
    [MSG_PING] = {op_ping, 0},
    [MSG_SPAWN] = {op_spawn, OP_PATHS},
    [MSG_PROC_OUTPUT] = {op_proc_output, 0},
    [MSG_PROC_STDIN] = {op_proc_stdin, 0},
    [MSG_PROC_WAIT] = {op_proc_wait, 0},
    [MSG_PROC_SIGNAL] = {op_proc_signal, 0},
    [MSG_RELEASE] = {op_release, 0},
    [MSG_PROC_STATUS] = {op_proc_status, 0},
    [MSG_WORKER_SPAWN] = {op_worker_spawn, 0},
    [MSG_WORKER_LINK] = {op_worker_link, 0},
    [MSG_WORKER_ABANDON] = {op_worker_abandon, 0},
    [MSG_STAT] = {op_stat, OP_PATHS},
    [MSG_LISTDIR] = {op_listdir, OP_PATHS},
    [MSG_MKDIR] = {op_mkdir, OP_PATHS},
    [MSG_UNLINK] = {op_unlink, OP_PATHS},
    [MSG_RENAME] = {op_rename, OP_PATHS},
    [MSG_READ_FILE] = {op_read_file, OP_PATHS},
    [MSG_WRITE_FILE] = {op_write_file, OP_PATHS},
    [MSG_FILE_OPEN] = {op_file_open, OP_PATHS},
    [MSG_FILE_READ] = {op_file_read, 0},
    [MSG_FILE_WRITE] = {op_file_write, 0},
    [MSG_FILE_SEEK] = {op_file_seek, 0},
    [MSG_TAIL] = {op_tail, OP_PATHS},
    [MSG_TAIL_HANDLE] = {op_tail_handle, 0},
    [MSG_FD_STREAM] = {op_fd_stream, 0},
    [MSG_DIAL] = {op_dial, 0},
    [MSG_BUTTON_READY] = {op_button_ready, 0},
    [MSG_RESTORED] = {op_restored, 0},
    [MSG_BOOT_FILES] = {op_boot_files, 0},
    [MSG_SYSCALL] = {op_syscall, OP_PATHS},
    [MSG_READ_MEM] = {op_read_mem, 0},
    [MSG_SHUTDOWN] = {op_shutdown, 0},
};

#define REQUEST_AGENT 0
#define REQUEST_HOST  1
#define M(name, NAME, code, sender)                                            \
	_Static_assert(!REQUEST_##sender || (code) <= MSG_SHUTDOWN,            \
		       "the table must reach " #NAME);
#include "agent-proto/messages.def"
#undef M
