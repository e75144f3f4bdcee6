/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/ops/ops.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/mem.h"

/* A directory being listed: a piece of names at a time. */
struct listing {
	struct task t;
	DIR *dir;
	char *path;
	struct buf names;
	bool at_end;
	int errnum;
};

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static void read_names(struct listing *l)
{
	while (!l->at_end && l->names.len < PIECE_MAX) {
		errno = 0;
		struct dirent *d = readdir(l->dir);
		if (!d) {
			l->errnum = errno;
			l->at_end = true;
		} else if (!is_dot(d->d_name)) {
			buf_append(&l->names, d->d_name, strlen(d->d_name) + 1);
		}
	}
}

static void listing_step(struct task *t)
{
	struct listing *l = CONTAINER_OF(t, struct listing, t);
	size_t n = task_room(t);

	read_names(l);
	if (n > l->names.len)
		n = l->names.len;
	if (l->at_end && n == l->names.len) {
		if (l->errnum)
			task_end_error(t, l->errnum, "list '%s'", l->path);
		else
			task_end_write(t, buf_data(&l->names), n);
		return;
	}
	task_write(t, buf_data(&l->names), n);
	buf_consume(&l->names, n);
}

static void listing_stop(struct task *t)
{
	struct listing *l = CONTAINER_OF(t, struct listing, t);

	closedir(l->dir);
	free(l->path);
	buf_done(&l->names);
	free(l);
}

static const struct task_ops listing_ops = {
    .step = listing_step,
    .stop = listing_stop,
};

void op_listdir(const struct req *r)
{
	const char *path = r->m->listdir.path;
	DIR *dir = opendir(path);
	struct listing *l;

	if (!dir) {
		req_error(r, errno, "list '%s'", path);
		return;
	}
	l = mem_zalloc(sizeof(*l));
	l->dir = dir;
	l->path = mem_strdup(path);
	task_start(&l->t, r, &listing_ops);
	task_send_done(&l->t, 0);
	task_wake(&l->t);
}
