/* SPDX-License-Identifier: MIT */
/*
 * The messages of messages.def as C structs, and their codecs.
 *
 * On the wire a message is its code (u16) and then its fields in order,
 * little-endian, without padding:
 *
 *	U8 U16 U32 U64 I32 I64	the integer
 *	STR	u32 length, the bytes, a NUL that the length does not count
 *	BYTES	u32 length, the bytes, such a NUL
 *	LIST	u32 count, u32 length of all items, each item as BYTES
 *
 * A STR holds no NUL, so a decoded one is a C string in place. Decoding
 * copies nothing: STR, BYTES and LIST borrow from the decoded bytes. Decoders
 * are total: any bytes give a message or -EBADMSG, trailing bytes are an
 * error, and no memory is allocated.
 */
#ifndef AGENT_PROTO_MSG_H
#define AGENT_PROTO_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"

struct msg_bytes {
	const uint8_t *p;
	uint32_t n;
};

/* Packed items; build with msg_list_add(), walk with msg_list_next(). */
struct msg_list {
	const uint8_t *p;
	uint32_t n; /* bytes at p */
	uint32_t count;
};

/* clang-format off */
#define MSG_ERROR_FIELDS(F)   F(I32, errnum) F(STR, text)
#define MSG_DONE_FIELDS(F)    F(I64, value)
#define MSG_PING_FIELDS(F)    F(I64, value)
#define MSG_SPAWN_FIELDS(F)                                                    \
	F(U64, handle) F(U32, flags) F(LIST, argv) F(LIST, env) F(STR, cwd)
#define MSG_PROC_OUTPUT_FIELDS(F) F(U64, handle) F(U8, fd) F(U8, flags)
/* close: close stdin after the data. */
#define MSG_PROC_STDIN_FIELDS(F) F(U64, handle) F(U8, close)
#define MSG_PROC_WAIT_FIELDS(F)  F(U64, handle)
/* status: exit code, or the signal's number when signalled is 1. */
#define MSG_EXITED_FIELDS(F)                                                   \
	F(U8, signalled) F(I32, status) F(I64, duration_ns)
/* group: 1 signals the whole process group. */
#define MSG_PROC_SIGNAL_FIELDS(F) F(U64, handle) F(I32, signo) F(U8, group)
#define MSG_RELEASE_FIELDS(F)     F(U64, handle)
#define MSG_PROC_STATUS_FIELDS(F) F(U64, handle)
#define MSG_WORKER_SPAWN_FIELDS(F) F(U64, handle)
#define MSG_WORKER_LINK_FIELDS(F)  F(U64, handle)
#define MSG_WORKER_ABANDON_FIELDS(F) F(U64, handle) F(U32, channel)
#define MSG_STAT_FIELDS(F)        F(STR, path) F(U8, nofollow)
#define MSG_FILE_STATUS_FIELDS(F)                                              \
	F(U64, size) F(I64, mtime_sec) F(U32, mtime_nsec) F(U32, mode)         \
	F(U32, uid) F(U32, gid) F(U64, nlink) F(U64, dev) F(U64, ino)
#define MSG_LISTDIR_FIELDS(F)    F(STR, path)
#define MSG_MKDIR_FIELDS(F)      F(STR, path) F(U32, perm) F(U8, parents)
#define MSG_UNLINK_FIELDS(F)     F(STR, path)
#define MSG_RENAME_FIELDS(F)     F(STR, from) F(STR, to)
#define MSG_READ_FILE_FIELDS(F)  F(STR, path) F(U8, flags)
/* perm: MSG_PERM_DEFAULT keeps an existing file's mode, 0644 for a new one. */
#define MSG_WRITE_FILE_FIELDS(F) F(STR, path) F(U32, perm) F(U8, flags)
#define MSG_FILE_OPEN_FIELDS(F)                                                \
	F(U64, handle) F(STR, path) F(U32, flags) F(U32, perm)
#define MSG_FILE_READ_FIELDS(F)   F(U64, handle) F(U64, count)
#define MSG_FILE_WRITE_FIELDS(F)  F(U64, handle)
#define MSG_FILE_SEEK_FIELDS(F)   F(U64, handle) F(I64, offset) F(U8, whence)
#define MSG_TAIL_FIELDS(F)        F(STR, path) F(U8, whence) F(I64, offset)
#define MSG_TAIL_HANDLE_FIELDS(F) F(U64, handle) F(U8, whence) F(I64, offset)
#define MSG_FD_STREAM_FIELDS(F)   F(I32, fd)
#define MSG_DIAL_FIELDS(F)        F(U32, port)
#define MSG_BUTTON_READY_FIELDS(F) F(U8, button)
#define MSG_RESTORED_FIELDS(F)    F(I64, realtime_ns) F(BYTES, entropy)
#define MSG_BOOT_FILES_FIELDS(F)  F(U64, count)
#define MSG_SYSCALL_FIELDS(F)                                                  \
	F(I64, nr) F(U64, a0) F(U64, a1) F(U64, a2) F(U64, a3) F(U64, a4)      \
	F(U64, a5) F(LIST, bufs) F(BYTES, ptrs) F(BYTES, nested) F(U8, flags)
#define MSG_SYSCALL_DONE_FIELDS(F) F(I64, ret) F(I32, errnum) F(LIST, bufs)
#define MSG_READ_MEM_FIELDS(F)     F(U64, address) F(U64, n)
#define MSG_SHUTDOWN_FIELDS(F)     F(U8, how)
/* clang-format on */

/* SPAWN flags. env entries are NAME=VALUE, added to the agent's own unless
 * ENV_CLEAR; argv[0] is searched in PATH when it holds no slash; an empty cwd
 * means "/", in a worker its own. Without STDIN_PIPE stdin is /dev/null. With
 * READ the host asks for each output later (PROC_OUTPUT): every byte is kept
 * until then. */
#define MSG_SPAWN_ENV_CLEAR  1u
#define MSG_SPAWN_STDIN_PIPE 2u
#define MSG_SPAWN_READ	     4u

/* PROC_OUTPUT flags. */
#define MSG_OUTPUT_UNTIL_EXIT 1u
#define MSG_OUTPUT_HELD	      2u

/* Bytes that the agent keeps of each output of a process. */
#define MSG_OUTPUT_KEPT_MAX (8u << 20)

/* PROC_SIGNAL to a worker: ends the system call it blocks in with EINTR, and
 * has no other effect. The last of Linux's real-time signals. */
#define MSG_SIGNAL_INTERRUPT 64

/* BUTTON_READY: the one button there is. */
#define MSG_BUTTON_POWER 0

/* RESTORED: the most bytes of entropy; more is EINVAL. */
#define MSG_ENTROPY_MAX	 256

#define MSG_PERM_DEFAULT UINT32_MAX

/* READ_FILE and WRITE_FILE flags. SPARSE: the data are records, see sparse.h.
 * TREE: those of a directory are a tree, see tree.h. */
#define MSG_FILE_SPARSE 1u
#define MSG_FILE_TREE	2u

/* FILE_OPEN flags; at least one of the first three. */
#define MSG_OPEN_READ	   1u
#define MSG_OPEN_WRITE	   2u
#define MSG_OPEN_APPEND	   4u
#define MSG_OPEN_CREATE	   8u
#define MSG_OPEN_TRUNCATE  16u
#define MSG_OPEN_EXCLUSIVE 32u

/* FILE_SEEK whence: as SEEK_SET, SEEK_CUR, SEEK_END of POSIX, 0 1 2. */

#define MSG_TAIL_END	      0 /* at the end; offset is ignored */
#define MSG_TAIL_START	      1 /* offset from the start, may pass the end */
#define MSG_TAIL_BEFORE	      2 /* offset bytes before the end, clamped at 0 */

#define MSG_PTR_NONE	      0xff
#define MSG_SYSCALL_BUFS      64
#define MSG_NESTED_RECORD     16
#define MSG_SYSCALL_THREAD    1u

#define MSG_READ_MEM_MAX      (UINT64_C(64) << 20)

#define MSG_SHUTDOWN_POWEROFF 0
#define MSG_SHUTDOWN_REBOOT   1

#define MSG_CTYPE_U8	      uint8_t
#define MSG_CTYPE_U16	      uint16_t
#define MSG_CTYPE_U32	      uint32_t
#define MSG_CTYPE_U64	      uint64_t
#define MSG_CTYPE_I32	      int32_t
#define MSG_CTYPE_I64	      int64_t
#define MSG_CTYPE_STR	      const char *
#define MSG_CTYPE_BYTES	      struct msg_bytes
#define MSG_CTYPE_LIST	      struct msg_list

enum msg_type {
#define M(name, NAME, code, sender) MSG_##NAME = (code),
#include "agent-proto/messages.def"
#undef M
};

#define MSG_FIELD(kind, name) MSG_CTYPE_##kind name;
#define M(name, NAME, code, sender)                                            \
	struct msg_##name {                                                    \
		MSG_##NAME##_FIELDS(MSG_FIELD)                                 \
	};
#include "agent-proto/messages.def"
#undef M
#undef MSG_FIELD

/* Any message; decoding fills the member that type names. */
struct msg {
	enum msg_type type;
	union {
#define M(name, NAME, code, sender) struct msg_##name name;
#include "agent-proto/messages.def"
#undef M
	};
};

/*
 * Appends the encoded message to out. NULL strings encode as "". Returns 0,
 * or -EMSGSIZE when it would be larger than MSG_MAX (session.h); out is then
 * as before.
 */
int msg_encode(const struct msg *m, struct buf *out);

/* Returns 0 or -EBADMSG. m borrows from bytes. */
int msg_decode(struct msg *m, const void *bytes, size_t n);

/* "SPAWN", or NULL for an unknown code. */
const char *msg_name(unsigned type);
/* Whether this message may be sent by the host (else by the agent). */
bool msg_is_request(unsigned type);

/* Appends one item; when all are there, make the view with msg_list_of(). */
void msg_list_add(struct buf *items, uint32_t *count, const void *p, size_t n);
struct msg_list msg_list_of(const struct buf *items, uint32_t count);
/* Takes the first item off the view; false when it is empty. item->p[item->n]
 * is NUL. */
bool msg_list_next(struct msg_list *list, struct msg_bytes *item);

#endif
