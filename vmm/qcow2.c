/* SPDX-License-Identifier: MIT */
/*
 * An empty image is four things of a cluster each, the last of which may be
 * longer:
 *
 *	0	header
 *	1	refcount table: where the refcount blocks are
 *	2	the first of these: every cluster of this list is in use once
 *	3...	first-level table, all zero: nothing is there
 */
#include "vmm/qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/disk_err.h"

#define MAGIC	       UINT32_C(0x514649fb) /* "QFI\xfb" */
#define CLUSTER_BITS   16
#define CLUSTER	       (UINT64_C(1) << CLUSTER_BITS)
#define HEADER_V2_LEN  72
#define HEADER_V3_LEN  104
#define REFCOUNT_ORDER 4 /* 16 bits each */
/* What an entry of the first-level table stands for. */
#define L1_SPAN (CLUSTER * (CLUSTER / 8))
/* Incompatible feature: the data is in a file of its own. */
#define FEATURE_DATA_FILE UINT64_C(4)
/* Header extensions. */
#define EXT_BACKING_FORMAT UINT32_C(0xe2792aca)
#define EXT_DATA_FILE	   UINT32_C(0x44415441)
#define EXT_HEAD	   8 /* type and length */

static void qcow2_put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void put64(uint8_t *p, uint64_t v)
{
	qcow2_put32(p, (uint32_t)(v >> 32));
	qcow2_put32(p + 4, (uint32_t)v);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static uint64_t qcow2_get64(const uint8_t *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

bool qcow2_is(const uint8_t *p, size_t n)
{
	return n >= 4 && get32(p) == MAGIC;
}

int qcow2_parse(const uint8_t *p, size_t n, struct qcow2_info *ret,
		struct err *err)
{
	uint32_t version;

	if (n < HEADER_V2_LEN || !qcow2_is(p, n))
		return err_set(err, -EBADMSG, "it is no qcow2 image");
	version = get32(p + 4);
	if (version != 2 && version != 3)
		return err_set(err, -EBADMSG, "it is qcow2 of version %u",
			       (unsigned)version);
	if (version == 3 && n < HEADER_V3_LEN)
		return err_set(err, -EBADMSG, "its qcow2 header is cut");
	*ret = (struct qcow2_info){
	    .size = qcow2_get64(p + 24),
	    .names_files =
		qcow2_get64(p + 8) != 0 ||
		(version == 3 && (qcow2_get64(p + 72) & FEATURE_DATA_FILE)),
	    .is_encrypted = get32(p + 32) != 0,
	};
	return 0;
}

/* A name that does not fit stays empty. */
static void copy_name(char ret[QCOW2_NAME_MAX], const uint8_t *p, size_t n)
{
	if (n >= QCOW2_NAME_MAX)
		return;
	memcpy(ret, p, n);
	ret[n] = '\0';
}

static void copy_format(char ret[QCOW2_FORMAT_MAX], const uint8_t *p, size_t n)
{
	if (n >= QCOW2_FORMAT_MAX)
		n = QCOW2_FORMAT_MAX - 1;
	memcpy(ret, p, n);
	ret[n] = '\0';
}

static void find_in_extensions(const uint8_t *p, size_t n, size_t at,
			       struct qcow2_names *ret)
{
	while (at < n && n - at >= EXT_HEAD) {
		uint32_t type = get32(p + at), len = get32(p + at + 4);

		at += EXT_HEAD;
		if (!type || len > n - at)
			return;
		if (type == EXT_BACKING_FORMAT)
			copy_format(ret->format, p + at, len);
		else if (type == EXT_DATA_FILE)
			copy_name(ret->data, p + at, len);
		at += (len + (size_t)7) / 8 * 8;
	}
}

bool qcow2_find_names(const uint8_t *p, size_t n, struct qcow2_names *ret)
{
	struct qcow2_info info = {0};
	struct err err;
	uint64_t at;
	bool is_v2, has_data;

	*ret = (struct qcow2_names){0};
	if (qcow2_parse(p, n, &info, &err) < 0)
		return false;
	is_v2 = get32(p + 4) == 2;
	if (!info.names_files)
		return true;
	at = qcow2_get64(p + 8);
	if (at && at <= n && get32(p + 16) <= n - at)
		copy_name(ret->backing, p + at, get32(p + 16));
	find_in_extensions(p, n, is_v2 ? HEADER_V2_LEN : get32(p + 100), ret);
	has_data = !is_v2 && (qcow2_get64(p + 72) & FEATURE_DATA_FILE);
	if (!has_data)
		ret->data[0] = '\0';
	ret->is_cut = (at && !*ret->backing) || (has_data && !*ret->data);
	return true;
}

static void fill_header(uint8_t *p, uint64_t size, uint32_t n_l1)
{
	qcow2_put32(p, MAGIC);
	qcow2_put32(p + 4, 3);
	qcow2_put32(p + 20, CLUSTER_BITS);
	put64(p + 24, size);
	qcow2_put32(p + 36, n_l1);
	put64(p + 40, 3 * CLUSTER); /* first-level table */
	put64(p + 48, 1 * CLUSTER); /* refcount table */
	qcow2_put32(p + 56, 1);	    /* its clusters */
	qcow2_put32(p + 96, REFCOUNT_ORDER);
	qcow2_put32(p + 100, HEADER_V3_LEN);
}

static int put_at(int fd, const uint8_t *p, size_t n, uint64_t at)
{
	ssize_t r = pwrite(fd, p, n, (off_t)at);

	if (r == (ssize_t)n)
		return 0;
	return r < 0 ? -errno : -ENOSPC;
}

static uint32_t count_l1(uint64_t size)
{
	return (uint32_t)((size + L1_SPAN - 1) / L1_SPAN);
}

uint64_t qcow2_empty_bytes(uint64_t size)
{
	return (3 + (count_l1(size) * UINT64_C(8) + CLUSTER - 1) / CLUSTER) *
	       CLUSTER;
}

static int qcow2_fill(int fd, uint64_t size)
{
	uint64_t clusters = qcow2_empty_bytes(size) / CLUSTER;
	uint8_t header[HEADER_V3_LEN] = {0};
	uint8_t table[8];
	uint8_t refcounts[64] = {0};
	int r;

	fill_header(header, size, count_l1(size));
	put64(table, 2 * CLUSTER);
	for (uint64_t i = 0; i < clusters; i++)
		refcounts[2 * i + 1] = 1;
	r = put_at(fd, header, sizeof(header), 0);
	if (r == 0)
		r = put_at(fd, table, sizeof(table), CLUSTER);
	if (r == 0)
		r = put_at(fd, refcounts, sizeof(refcounts), 2 * CLUSTER);
	if (r == 0 && ftruncate(fd, (off_t)(clusters * CLUSTER)) < 0)
		r = -errno;
	return r;
}

int qcow2_create(const char *path, uint64_t size, struct err *err)
{
	CLEANUP(fd_closep)
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : 0;

	if (r == 0 && (!size || size % 512 || size > QCOW2_SIZE_MAX))
		r = -EINVAL;
	if (r == 0)
		r = qcow2_fill(fd, size);
	if (r < 0 && fd >= 0)
		unlink(path);
	return r < 0 ? disk_err(err, r, path, "cannot create '%s'", path) : 0;
}
