/* SPDX-License-Identifier: MIT */
#include "vmm/nbd_proto.h"

#include <errno.h>
#include <string.h>

#define MAGIC	       UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define OPTION_MAGIC   UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define ANSWER_MAGIC   UINT64_C(0x0003e889045565a9)
#define REQUEST_MAGIC  UINT32_C(0x25609513)
#define REPLY_MAGIC    UINT32_C(0x67446698)

#define FIXED_NEWSTYLE 1u
#define NO_ZEROES      2u

enum { OPTION_EXPORT_NAME = 1, OPTION_ABORT = 2, OPTION_INFO = 6, OPTION_GO };
enum { ANSWER_ACK = 1, ANSWER_INFO = 3 };
#define ANSWER_UNSUPPORTED ((UINT32_C(1) << 31) + 1)
#define ANSWER_INVALID	   ((UINT32_C(1) << 31) + 3)
enum { INFO_EXPORT = 0, INFO_BLOCK_SIZE = 3 };

/* Of an export. */
#define HAS_FLAGS   1u
#define READ_ONLY   2u
#define HAS_FLUSH   4u
#define HAS_FUA	    8u

#define COMMAND_FUA 1u

#define OPTION_LEN  16
#define REQUEST_LEN 28
#define BLOCK_MIN   512u
#define BLOCK_BEST  4096u

static void nbd_proto_put(struct buf *b, uint64_t v, size_t bytes)
{
	uint8_t *p = buf_room(b, bytes);

	for (size_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
	buf_commit(b, bytes);
}

static uint64_t nbd_proto_get(const uint8_t *p, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static int broken(struct err *err, const char *what)
{
	return err_set(err, -EPROTO, "NBD: %s", what);
}

void nbd_begin(struct nbd_session *s, uint64_t size, bool is_readonly,
	       struct buf *out)
{
	*s = (struct nbd_session){.size = size, .is_readonly = is_readonly};
	nbd_proto_put(out, MAGIC, 8);
	nbd_proto_put(out, OPTION_MAGIC, 8);
	nbd_proto_put(out, FIXED_NEWSTYLE | NO_ZEROES, 2);
}

/* --- the handshake ---------------------------------------------------------
 */

static int nbd_proto_take_hello(struct nbd_session *s, struct buf *in,
				struct err *err)
{
	uint32_t flags;

	if (in->len < 4)
		return 0;
	flags = (uint32_t)nbd_proto_get(buf_data(in), 4);
	if (!(flags & FIXED_NEWSTYLE) || flags & ~(FIXED_NEWSTYLE | NO_ZEROES))
		return broken(err, "a client of another kind");
	s->no_zeroes = flags & NO_ZEROES;
	s->stage = NBD_OPTIONS;
	buf_consume(in, 4);
	return 1;
}

static unsigned export_flags(const struct nbd_session *s)
{
	return HAS_FLAGS | HAS_FLUSH | HAS_FUA |
	       (s->is_readonly ? READ_ONLY : 0);
}

static void answer_option(struct buf *out, uint32_t option, uint32_t answer,
			  uint32_t length)
{
	nbd_proto_put(out, ANSWER_MAGIC, 8);
	nbd_proto_put(out, option, 4);
	nbd_proto_put(out, answer, 4);
	nbd_proto_put(out, length, 4);
}

/* u32 length of the name, the name, u16 number of wishes, u16 each: all that is
 * known is told, whatever was wished for. */
static bool is_good_go(const uint8_t *p, uint32_t n)
{
	uint32_t name = n >= 6 ? (uint32_t)nbd_proto_get(p, 4) : 0;

	return n >= 6 && name <= n - 6 &&
	       n - 6 - name == 2 * (uint32_t)nbd_proto_get(p + 4 + name, 2);
}

static void answer_go(struct nbd_session *s, struct buf *out, uint32_t option)
{
	answer_option(out, option, ANSWER_INFO, 12);
	nbd_proto_put(out, INFO_EXPORT, 2);
	nbd_proto_put(out, s->size, 8);
	nbd_proto_put(out, export_flags(s), 2);
	answer_option(out, option, ANSWER_INFO, 14);
	nbd_proto_put(out, INFO_BLOCK_SIZE, 2);
	nbd_proto_put(out, BLOCK_MIN, 4);
	nbd_proto_put(out, BLOCK_BEST, 4);
	nbd_proto_put(out, NBD_LENGTH_MAX, 4);
	answer_option(out, option, ANSWER_ACK, 0);
	if (option == OPTION_GO)
		s->stage = NBD_REQUESTS;
}

static void answer_name(struct nbd_session *s, struct buf *out)
{
	nbd_proto_put(out, s->size, 8);
	nbd_proto_put(out, export_flags(s), 2);
	for (int i = 0; i < 124 && !s->no_zeroes; i++)
		nbd_proto_put(out, 0, 1);
	s->stage = NBD_REQUESTS;
}

static int nbd_proto_take_option(struct nbd_session *s, struct buf *in,
				 struct buf *out, struct err *err)
{
	const uint8_t *p = buf_data(in);
	uint32_t option, n;

	if (in->len < OPTION_LEN)
		return 0;
	option = (uint32_t)nbd_proto_get(p + 8, 4);
	n = (uint32_t)nbd_proto_get(p + 12, 4);
	if (nbd_proto_get(p, 8) != OPTION_MAGIC)
		return broken(err, "an option without its magic number");
	if (n > NBD_OPTION_MAX)
		return broken(err, "an option that is too long");
	if (in->len < OPTION_LEN + n)
		return 0;
	if (option == OPTION_EXPORT_NAME)
		answer_name(s, out);
	else if (option == OPTION_ABORT)
		return err_set(err, -ECONNRESET, "NBD: the client left");
	else if (option != OPTION_GO && option != OPTION_INFO)
		answer_option(out, option, ANSWER_UNSUPPORTED, 0);
	else if (!is_good_go(p + OPTION_LEN, n))
		answer_option(out, option, ANSWER_INVALID, 0);
	else
		answer_go(s, out, option);
	buf_consume(in, OPTION_LEN + n);
	return 1;
}

/* --- requests --------------------------------------------------------------
 */

static uint32_t error_number(int code)
{
	switch (-code) {
	case 0:
	case EPERM:
	case EIO:
	case ENOMEM:
	case EINVAL:
	case ENOSPC:
		return (uint32_t)-code; /* the same in the protocol */
	default:
		return EIO;
	}
}

void nbd_answer(struct buf *out, uint64_t handle, int code)
{
	nbd_proto_put(out, REPLY_MAGIC, 4);
	nbd_proto_put(out, error_number(code), 4);
	nbd_proto_put(out, handle, 8);
}

/* A client in its right mind asks for no such thing: 0, or what it is told. */
static int nbd_proto_judge(const struct nbd_session *s, unsigned flags,
			   const struct nbd_request *r)
{
	bool is_known = r->type == NBD_READ || r->type == NBD_WRITE ||
			r->type == NBD_FLUSH || r->type == NBD_DISC;

	if (!is_known || flags & ~COMMAND_FUA)
		return -EINVAL;
	if (r->type == NBD_FLUSH || r->type == NBD_DISC)
		return r->offset || r->length ? -EINVAL : 0;
	if (r->type == NBD_WRITE && s->is_readonly)
		return -EPERM;
	if (r->offset > s->size || r->length > s->size - r->offset)
		return r->type == NBD_WRITE ? -ENOSPC : -EINVAL;
	return r->length ? 0 : -EINVAL;
}

/* Takes one: 1 and *ret_bad 0: it is good. */
static int take_request(struct nbd_session *s, struct buf *in,
			struct nbd_request *ret, int *ret_bad, struct err *err)
{
	const uint8_t *p = buf_data(in);
	unsigned flags;
	size_t all = REQUEST_LEN;

	if (in->len < REQUEST_LEN)
		return 0;
	if (nbd_proto_get(p, 4) != REQUEST_MAGIC)
		return broken(err, "a request without its magic number");
	flags = (unsigned)nbd_proto_get(p + 4, 2);
	*ret = (struct nbd_request){
	    .type = (enum nbd_type)nbd_proto_get(p + 6, 2),
	    .is_fua = flags & COMMAND_FUA,
	    .handle = nbd_proto_get(p + 8, 8),
	    .offset = nbd_proto_get(p + 16, 8),
	    .length = (uint32_t)nbd_proto_get(p + 24, 4),
	};
	if (ret->type == NBD_DISC)
		return err_set(err, -ECONNRESET, "NBD: the client left");
	if (ret->length > NBD_LENGTH_MAX)
		return broken(err, "a request that is too long");
	if (ret->type == NBD_WRITE)
		all += ret->length;
	if (in->len < all)
		return 0;
	ret->data = ret->type == NBD_WRITE ? p + REQUEST_LEN : NULL;
	*ret_bad = nbd_proto_judge(s, flags, ret);
	s->taken = all;
	return 1;
}

int nbd_next(struct nbd_session *s, struct buf *in, struct buf *out,
	     struct nbd_request *ret, struct err *err)
{
	int r = 1, bad = 0;

	while (r > 0) {
		buf_consume(in, s->taken);
		s->taken = 0;
		if (s->stage == NBD_HELLO) {
			r = nbd_proto_take_hello(s, in, err);
		} else if (s->stage == NBD_OPTIONS) {
			r = nbd_proto_take_option(s, in, out, err);
		} else {
			r = take_request(s, in, ret, &bad, err);
			if (r > 0 && !bad)
				return 1;
			if (r > 0)
				nbd_answer(out, ret->handle, bad);
		}
	}
	return r;
}
