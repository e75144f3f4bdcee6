/* SPDX-License-Identifier: MIT */
/* Nothing here makes an interface in the network namespace of this process. */
#include "vmm/net/kernel_host.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "vmm/host.h"
#include "vmm/net/kernel_link.h"
#include "vmm/net/kernel_run.h"
#include "vmm/net/kernel_sweep.h"
#include "vmm/net/tap.h"
#include "vmm/program.h"

#define TRY_TIMEOUT_NS (10 * NS_PER_SEC)
#define BR_NETFILTER   "/proc/sys/net/bridge/bridge-nf-call-iptables"

static const char *const packages[] = {
    [KERNEL_IP] = "iproute2",
    [KERNEL_FDB] = "iproute2",
    [KERNEL_TC] = "iproute2",
    [KERNEL_NFT] = "nftables",
};

static void kernel_host_add_reason(struct buf *why, const char *text)
{
	buf_printf(why, "%s%s", why->len ? "; " : "", text);
}

static void look_for_programs(struct buf *why)
{
	for (unsigned p = 0; p < KERNEL_PROGRAMS; p++) {
		const char *name = kernel_program_name(p);
		CLEANUP(free_ptr) char *path = host_find_program(name);
		CLEANUP(free_ptr)
		char *text = mem_printf("no program '%s' (package %s)", name,
					packages[p]);

		if (!path)
			kernel_host_add_reason(why, text);
	}
}

static void look_for_rights(struct buf *why)
{
	CLEANUP(fd_closep) int fd = -1;
	struct err err;

	if (!kernel_link_may_change())
		kernel_host_add_reason(
		    why, "no CAP_NET_ADMIN in this network namespace");
	fd = tap_open_tun(&err);
	if (fd < 0)
		kernel_host_add_reason(why, err.text);
}

int kernel_host_check(struct err *err)
{
	CLEANUP(buf_done) struct buf why = {0};

	look_for_programs(&why);
	look_for_rights(&why);
	if (!why.len)
		return 0;
	return err_set(err, -EPERM, "%.*s", (int)why.len,
		       (char *)buf_data(&why));
}

/* --- hints ---------------------------------------------------------------- */

/* In a network namespace that is gone with it. Where it cannot make one nothing
 * is said; the first test that wants a netem says it. */
static void look_for_netem(struct strvec *ret)
{
	CLEANUP(free_ptr) char *unshare = host_find_program("unshare");
	CLEANUP(free_ptr) char *tc = host_find_program("tc");
	const char *argv[] = {unshare, "-n",   tc,	"qdisc", "add", "dev",
			      "lo",    "root", "netem", "delay", "1ms", NULL};
	struct err err;

	if (!unshare || !tc ||
	    program_run(argv, NULL, clock_deadline_ns(TRY_TIMEOUT_NS), NULL,
			&err) == 0 ||
	    !strstr(err.text, "qdisc kind is unknown"))
		return;
	strvec_add(ret, "this kernel has no netem (sch_netem): between guests "
			"it can cut and limit, but not delay, lose, duplicate, "
			"reorder or corrupt");
}

static void look_for_firewall(struct strvec *ret)
{
	CLEANUP(file_closep) FILE *f = fopen(BR_NETFILTER, "re");

	if (f && fgetc(f) == '1')
		strvec_add(ret,
			   "br_netfilter sends what bridges forward through "
			   "this host's iptables, too: sysctl "
			   "net.bridge.bridge-nf-call-iptables=0 ends that");
}

static void look_for_remains(struct strvec *ret)
{
	CLEANUP(strvec_done) struct strvec found = {0};

	kernel_sweep_find(&found);
	if (found.n)
		strvec_addf(ret,
			    "runs that died have left %zu interface%s, %s: the "
			    "next kernel bridge removes what they left",
			    found.n, found.n == 1 ? "" : "s", found.v[0]);
}

void kernel_host_hints(struct strvec *ret)
{
	look_for_netem(ret);
	look_for_firewall(ret);
	look_for_remains(ret);
}
