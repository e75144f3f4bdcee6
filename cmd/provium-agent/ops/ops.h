/* SPDX-License-Identifier: MIT */
/*
 * The operations: one function a request. Each answers, fails, or leaves a
 * task on the channel (server.h).
 */
#ifndef AGENT_OPS_H
#define AGENT_OPS_H

#include "cmd/provium-agent/core/server.h"
#include "cmd/provium-agent/core/task.h"

/* A server that looks the request's type up in the table and runs it. */
extern const struct server_kind ops_server_kind;

/* ops_file.c: open files */
void op_file_open(const struct req *r);
void op_file_read(const struct req *r);
void op_file_write(const struct req *r);
void op_file_seek(const struct req *r);

/* ops_path.c: what takes a path and one system call */
void op_stat(const struct req *r);
void op_mkdir(const struct req *r);
void op_unlink(const struct req *r);
void op_rename(const struct req *r);

/* ops_listdir.c */
void op_listdir(const struct req *r);

/* ops_transfer.c: whole files and descriptors */
void op_read_file(const struct req *r);
void op_write_file(const struct req *r);
void op_fd_stream(const struct req *r);

/* ops_proc.c: processes */
void op_spawn(const struct req *r);
void op_proc_output(const struct req *r);
void op_proc_stdin(const struct req *r);
void op_proc_wait(const struct req *r);
void op_proc_signal(const struct req *r);
void op_proc_status(const struct req *r);

/* worker.c */
void op_worker_spawn(const struct req *r);
void op_worker_link(const struct req *r);
void op_worker_abandon(const struct req *r);

/* dial.c */
void op_dial(const struct req *r);

/* ops_button.c */
void op_button_ready(const struct req *r);

/* ops_restored.c */
void op_restored(const struct req *r);

/* tail.c */
void op_tail(const struct req *r);
void op_tail_handle(const struct req *r);

/* ops_syscall.c */
void op_syscall(const struct req *r);

/* ops_mem.c */
void op_read_mem(const struct req *r);

/* ops.c: the rest */
void op_ping(const struct req *r);
void op_release(const struct req *r);
void op_shutdown(const struct req *r);
void op_boot_files(const struct req *r);

#endif
