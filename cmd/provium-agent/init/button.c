/* SPDX-License-Identifier: MIT */
/*
 * ACPI events come by generic netlink: from the multicast group acpi_mc_group
 * of the family acpi_event, whose numbers the kernel gives when they are asked
 * for by name (Linux: drivers/acpi/event.c, include/uapi/linux/genetlink.h).
 */
#include "cmd/provium-agent/init/button.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"

#define FAMILY "acpi_event"
#define GROUP  "acpi_mc_group"
/* An event's one attribute: device class, then other things. */
#define ATTR_EVENT   1
#define CLASS_SIZE   20
#define CLASS_BUTTON "button/power"
#define REPLY_MAX    8192
#define ANSWER_MS    1000

/* A view of netlink attributes. */
struct attrs {
	const uint8_t *p;
	size_t n;
};

/* Takes the next attribute off; false: there is no whole one. */
static bool next(struct attrs *a, uint16_t *ret_type, struct attrs *ret)
{
	struct nlattr h;
	size_t step;

	if (a->n < sizeof(h))
		return false;
	memcpy(&h, a->p, sizeof(h));
	if (h.nla_len < sizeof(h) || h.nla_len > a->n)
		return false;
	*ret_type = h.nla_type & NLA_TYPE_MASK;
	*ret = (struct attrs){a->p + sizeof(h), h.nla_len - sizeof(h)};
	step = NLA_ALIGN((size_t)h.nla_len);
	if (step > a->n)
		step = a->n;
	a->p += step;
	a->n -= step;
	return true;
}

static bool button_find(struct attrs in, uint16_t type, struct attrs *ret)
{
	uint16_t t;

	while (next(&in, &t, ret))
		if (t == type)
			return true;
	return false;
}

/* The attributes of the first message. */
static bool open_message(const uint8_t *p, size_t n, struct attrs *ret)
{
	struct nlmsghdr h;

	if (n < NLMSG_HDRLEN + GENL_HDRLEN)
		return false;
	memcpy(&h, p, sizeof(h));
	if (h.nlmsg_len < NLMSG_HDRLEN + GENL_HDRLEN || h.nlmsg_len > n ||
	    h.nlmsg_type == NLMSG_ERROR)
		return false;
	*ret = (struct attrs){p + NLMSG_HDRLEN + GENL_HDRLEN,
			      h.nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN};
	return true;
}

static bool ask_for_family(int fd)
{
	struct {
		struct nlmsghdr nl;
		struct genlmsghdr genl;
		struct nlattr attr;
		char name[NLA_ALIGN(sizeof(FAMILY))];
	} m = {
	    .nl = {.nlmsg_len = sizeof(m),
		   .nlmsg_type = GENL_ID_CTRL,
		   .nlmsg_flags = NLM_F_REQUEST},
	    .genl = {.cmd = CTRL_CMD_GETFAMILY, .version = 1},
	    .attr = {.nla_len = sizeof(m.attr) + sizeof(FAMILY),
		     .nla_type = CTRL_ATTR_FAMILY_NAME},
	    .name = FAMILY,
	};

	return send(fd, &m, sizeof(m), 0) == (ssize_t)sizeof(m);
}

/* Of the group, from the answer; 0: it is not there. */
static uint32_t group_id(const uint8_t *p, size_t n)
{
	struct attrs all, groups, group, name, id;
	uint32_t number = 0;
	uint16_t type;

	if (!open_message(p, n, &all) ||
	    !button_find(all, CTRL_ATTR_MCAST_GROUPS, &groups))
		return 0;
	while (!number && next(&groups, &type, &group))
		if (button_find(group, CTRL_ATTR_MCAST_GRP_NAME, &name) &&
		    button_find(group, CTRL_ATTR_MCAST_GRP_ID, &id) &&
		    name.n == sizeof(GROUP) && id.n == sizeof(number) &&
		    !memcmp(name.p, GROUP, name.n))
			memcpy(&number, id.p, sizeof(number));
	return number;
}

int button_open(void)
{
	CLEANUP(fd_closep)
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	const struct timeval patience = {.tv_sec = ANSWER_MS / 1000};
	uint8_t reply[REPLY_MAX];
	uint32_t group;
	ssize_t n;

	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) < 0 ||
	    !ask_for_family(fd))
		return -1;
	n = recv(fd, reply, sizeof(reply), 0);
	if (n <= 0)
		return -1;
	group = group_id(reply, (size_t)n);
	if (!group || setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
				 &group, sizeof(group)) < 0)
		return -1;
	return TAKE_FD(fd);
}

static bool is_press(const uint8_t *p, size_t n)
{
	struct attrs all, event;

	return open_message(p, n, &all) &&
	       button_find(all, ATTR_EVENT, &event) && event.n >= CLASS_SIZE &&
	       !memcmp(event.p, CLASS_BUTTON, sizeof(CLASS_BUTTON));
}

bool button_was_pressed(int fd)
{
	uint8_t event[REPLY_MAX];
	bool is_pressed = false;
	ssize_t n;

	while ((n = recv(fd, event, sizeof(event), MSG_DONTWAIT)) > 0 ||
	       (n < 0 && errno == EINTR))
		is_pressed |= n > 0 && is_press(event, (size_t)n);
	return is_pressed;
}
