/* SPDX-License-Identifier: MIT */
#include "vmm/net/kernel_link.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"

struct state_request {
	struct nlmsghdr head;
	struct ifinfomsg link;
	struct nlattr port; /* IFLA_PROTINFO, nested */
	struct nlattr state;
	uint8_t value;
	uint8_t padding[3];
};

struct answer {
	struct nlmsghdr head;
	struct nlmsgerr error;
};

/* The kernel answers before send() returns. */
static int transact(const struct state_request *rq)
{
	CLEANUP(fd_closep)
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct answer answer;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (send(fd, rq, sizeof(*rq), 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(answer) || answer.head.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.error.error;
}

static int set_state(int index, uint8_t state)
{
	const struct state_request rq = {
	    .head =
		{
		    .nlmsg_len = sizeof(rq),
		    .nlmsg_type = RTM_SETLINK,
		    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
	    .link = {.ifi_family = AF_BRIDGE, .ifi_index = index},
	    .port =
		{
		    .nla_len = 2 * sizeof(struct nlattr) + sizeof(uint32_t),
		    .nla_type = IFLA_PROTINFO | NLA_F_NESTED,
		},
	    .state =
		{
		    .nla_len = sizeof(struct nlattr) + 1,
		    .nla_type = IFLA_BRPORT_STATE,
		},
	    .value = state,
	};

	return transact(&rq);
}

int kernel_link_pass(const char *port, bool is_passing)
{
	unsigned index = if_nametoindex(port);

	if (!index)
		return -ENODEV;
	return set_state((int)index,
			 is_passing ? BR_STATE_FORWARDING : BR_STATE_DISABLED);
}

/* The kernel looks at rights before it looks for the interface. */
bool kernel_link_may_change(void)
{
	return set_state(INT32_MAX, BR_STATE_DISABLED) != -EPERM;
}
