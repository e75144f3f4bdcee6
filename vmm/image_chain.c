/* SPDX-License-Identifier: MIT */
#include "vmm/image_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/disk_magic.h"
#include "vmm/qcow2.h"

#define PREFIX "file:"
/* Bytes of a name that an error quotes. */
#define QUOTED_MAX 200

/* An image of a chain. */
struct chain_image {
	char *path;
	struct qcow2_names names;
	uint8_t head[QCOW2_NAMES_AT_MAX];
	size_t n_head; /* 0: it could not be read */
	bool is_qcow2;
};

static void chain_image_free(struct chain_image **l)
{
	free((*l)->path);
	free(*l);
}

static void read_image(struct chain_image *l)
{
	CLEANUP(fd_closep)
	int fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n = 0;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		n = pread(fd, l->head, sizeof(l->head), 0);
	l->n_head = n > 0 ? (size_t)n : 0;
	l->is_qcow2 = qcow2_find_names(l->head, l->n_head, &l->names);
}

/* The path of a file that the image names; owned. */
static char *image_chain_resolve(const char *image, const char *name)
{
	const char *slash = strrchr(image, '/');

	if (!strncmp(name, PREFIX, strlen(PREFIX)))
		return mem_strdup(name + strlen(PREFIX));
	if (*name == '/' || !slash)
		return mem_strdup(name);
	return mem_printf("%.*s/%s", (int)(slash - image), image, name);
}

static int check_name(const struct chain_image *l, const char *what,
		      const char *name, struct err *err)
{
	if (name[strcspn(name, ":/")] != ':' ||
	    !strncmp(name, PREFIX, strlen(PREFIX)))
		return 0;
	return err_set(
	    err, -ENOTSUP,
	    "the %s '%.*s' of '%s' is no path: provium follows paths "
	    "only, to see that no file of an image changes",
	    what, QUOTED_MAX, name, l->path);
}

static int check_names(const struct chain_image *l, struct err *err)
{
	const char *format = l->names.format;
	int r;

	if (l->names.is_cut)
		return err_set(err, -ENOTSUP,
			       "'%s' names a file, but its first %d bytes do "
			       "not hold the name: "
			       "convert it (qemu-img convert -O qcow2)",
			       l->path, QCOW2_NAMES_AT_MAX);
	r = check_name(l, "data file", l->names.data, err);
	if (r == 0)
		r = check_name(l, "backing file", l->names.backing, err);
	if (r < 0 || !*l->names.backing || !*format || !strcmp(format, "raw") ||
	    !strcmp(format, "qcow2"))
		return r;
	return err_set(err, -ENOTSUP,
		       "the backing file '%.*s' of '%s' has the format '%s': "
		       "convert it (qemu-img convert -O qcow2)",
		       QUOTED_MAX, l->names.backing, l->path, format);
}

/* QEMU finds out the format of a backing file that the image does not tell. */
static int check_found(const struct chain_image *l, struct err *err)
{
	const struct disk_container *c = disk_magic_find(l->head, l->n_head);

	if (!c || c->is_packed)
		return 0;
	return err_set(err, -ENOTSUP,
		       "the backing file '%s' begins like %s: convert it "
		       "(qemu-img convert -O qcow2)",
		       l->path, c->name);
}

/* Adds the data file of a qcow2 image; 0, and *ret_next is the path of its
 * backing file, NULL where there is none. */
static int follow(const struct chain_image *l, struct strvec *ret,
		  char **ret_next, struct err *err)
{
	int r = check_names(l, err);

	if (r < 0)
		return r;
	if (*l->names.data) {
		CLEANUP(free_ptr)
		char *data = image_chain_resolve(l->path, l->names.data);

		strvec_add(ret, data);
	}
	if (*l->names.backing)
		*ret_next = image_chain_resolve(l->path, l->names.backing);
	return 0;
}

int image_chain(const char *path, struct strvec *ret, struct err *err)
{
	CLEANUP(chain_image_free)
	struct chain_image *l = mem_zalloc(sizeof(*l));
	size_t end = ret->n + IMAGE_CHAIN_MAX;
	bool is_known = true; /* whether the format of the next is */
	bool is_raw = false;
	int r = 0;

	l->path = mem_strdup(path);
	while (r == 0 && l->path) {
		char *next = NULL;

		strvec_add(ret, l->path);
		/* Whatever a raw one begins with, QEMU takes it as data. */
		if (is_raw || ret->n + 1 >= end)
			break;
		read_image(l);
		if (l->is_qcow2)
			r = follow(l, ret, &next, err);
		else if (!is_known)
			r = check_found(l, err);
		is_known = *l->names.format != '\0';
		is_raw = !strcmp(l->names.format, "raw");
		free(l->path);
		l->path = next;
	}
	return r;
}
