/* SPDX-License-Identifier: MIT */
/*
 * A snapshot on disk: a folder with what a machine was at one instant.
 *
 *	info.json	what it is, and the size and hash of each other file;
 *			written last: without it a folder holds no snapshot
 *	ram		an image (vmm/ram.h); of a guest that was restored
 *			itself, that which it began with: a hard link
 *	delta		what such a guest has changed since
 *	state		of the devices (QEMU: xen-save-devices-state)
 *	bios		which that leaves out
 *	initrd		with the agent in it, for a reset
 *	console		the log up to then
 *	disk<i>.<k>	the files of its disks, each on that of the k before,
 *			the first on the user's image, which is not in here
 *
 * Files are never changed, only replaced: guests have them mapped. Folders may
 * be moved and copied.
 */
#ifndef VMM_SNAPSHOT_H
#define VMM_SNAPSHOT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "vmm/net/addr.h"
#include "vmm/vm.h"

/* Of info.json; a folder of another one is refused. */
#define SNAPSHOT_VERSION  1
#define SNAPSHOT_INFO_MAX (4u << 20)
/* Guest-physical, where the BIOS ends, and the most bytes of one. */
#define SNAPSHOT_BIOS_END (UINT64_C(1) << 32)
#define SNAPSHOT_BIOS_MAX (UINT64_C(16) << 20)

enum snapshot_file {
	SNAPSHOT_RAM,
	SNAPSHOT_DELTA,
	SNAPSHOT_STATE,
	SNAPSHOT_BIOS,
	SNAPSHOT_INITRD,
	SNAPSHOT_CONSOLE,
	SNAPSHOT_FILES
};

/* A NIC of the machine. */
struct snapshot_nic {
	const char *bridge; /* where its cable went; NULL: nowhere */
	uint8_t mac[MAC_LEN];
};

/* A disk of the machine. */
struct snapshot_disk {
	struct disk_spec spec;	/* its size is that of the disk */
	const json_t *image_id; /* snapshot_image_id() of its path */
	size_t n_layers;
};

/* What info.json holds; strings are borrowed from json. */
struct snapshot {
	char *dir;
	json_t *json;
	const char *qemu; /* its version, as qmp_version() says it */
	const char *kernel, *cmdline;
	const char *net_setup; /* or NULL */
	uint64_t memory;
	unsigned cpus;
	int64_t initial_time;
	bool may_suspend, may_panic, has_rng_seed;
	uint64_t rng_seed;
	enum accel accel;
	enum transport transport;
	char **qemu_args; /* owned array */
	size_t n_qemu_args;
	struct snapshot_nic nics[VM_NICS_MAX];
	size_t n_nics;
	struct snapshot_disk disks[VM_DISKS_MAX];
	struct disk_spec specs[VM_DISKS_MAX]; /* the same, for a vm_spec */
	size_t n_disks;
	uint64_t next_handle;  /* the client's (streams/client.h) */
	uint64_t console_mark; /* where its last boot begins in the log */
	uint64_t bios_addr;    /* guest-physical */
	const json_t *note;    /* the owner's, or NULL */
	bool has[SNAPSHOT_FILES];
};

/*
 * Reads info.json of dir and checks that it is for this provium and kernel, and
 * that every file has its size. -ENOENT: there is no snapshot; -ESTALE: it is
 * for another kernel or provium; -EBADMSG: it is damaged.
 */
int snapshot_open(struct snapshot *s, const char *dir, struct err *err);
/* Compares what files hold with their hashes: all, or those that are quick to
 * read (without RAM). -EBADMSG: it is damaged. */
int snapshot_verify(const struct snapshot *s, bool all, struct err *err);
void snapshot_done(struct snapshot *s);

/* Fills what the snapshot says of the machine; borrowed from s. What is the
 * caller's: name, run_dir, qemu, alarms. */
void snapshot_spec(const struct snapshot *s, struct vm_spec *ret);

/* Opens one of its files to read. */
int snapshot_open_file(const struct snapshot *s, enum snapshot_file f,
		       struct err *err);
/* Appends what one holds to out. */
int snapshot_read_file(const struct snapshot *s, enum snapshot_file f,
		       struct buf *out, struct err *err);
/* The file of a disk, to read; and its hash, "" where it has none. */
int snapshot_open_layer(const struct snapshot *s, size_t disk, size_t layer,
			struct err *err);
const char *snapshot_layer_hash(const struct snapshot *s, size_t disk,
				size_t layer);
/* Bytes on the disk that only this snapshot takes. */
uint64_t snapshot_disk_size(const char *dir);
/* Removes the folder if it is one of a snapshot, whole or not, or empty:
 * -EEXIST where it holds other things, and then all stays. One that is not
 * there is fine. */
int snapshot_remove(const char *dir, struct err *err);

/* --- writing ---------------------------------------------------------------
 */

struct snapshot_draft {
	char *dir; /* absolute */
	json_t *json;
	json_t *files;
};

/* Makes the folder, or empties an older snapshot's. */
int snapshot_draft_init(struct snapshot_draft *d, const char *dir,
			struct err *err);
/* Path of a file in it; owned by the caller. */
char *snapshot_draft_path(const struct snapshot_draft *d, enum snapshot_file f);
/* A new file, read-write. */
int snapshot_draft_create(const struct snapshot_draft *d, enum snapshot_file f,
			  struct err *err);
/* One that is there already. */
int snapshot_draft_open(const struct snapshot_draft *d, enum snapshot_file f,
			struct err *err);
/* The same with these bytes, noted. */
int snapshot_draft_write(struct snapshot_draft *d, enum snapshot_file f,
			 const void *p, size_t n, struct err *err);
/* The same as an open file: a hard link, or where there can be none, or that
 * is asked for, a copy. Not noted. */
int snapshot_draft_link(const struct snapshot_draft *d, enum snapshot_file f,
			int fd, bool as_copy, struct err *err);
/* Notes size and hash of a file that is complete. hash: NULL to find it. */
int snapshot_draft_note(struct snapshot_draft *d, enum snapshot_file f,
			const char *hash, struct err *err);
/* Has the open file be one of a disk, and notes it; hash: its own. */
int snapshot_draft_add_layer(struct snapshot_draft *d, size_t disk,
			     size_t layer, int fd, const char *hash,
			     struct err *err);
/* What info.json says of a disk; owned by the caller. */
json_t *snapshot_describe_disk(const struct disk_spec *spec, uint64_t size,
			       size_t n_layers);
/* What a spec says of the machine. -EINVAL: some of it is no UTF-8. */
int snapshot_draft_describe(struct snapshot_draft *d,
			    const struct vm_spec *spec, const char *qemu,
			    struct err *err);
/* Writes info.json: from now on it is a snapshot. */
int snapshot_draft_commit(struct snapshot_draft *d, struct err *err);
/* Without a commit the folder is removed. */
void snapshot_draft_done(struct snapshot_draft *d);

#endif
