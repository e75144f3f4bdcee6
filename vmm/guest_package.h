/* SPDX-License-Identifier: MIT */
/*
 * Packages of the distribution, fetched and unpacked without installing them,
 * as an ordinary user: apt-get download, dpkg-deb --extract.
 */
#ifndef VMM_GUEST_PACKAGE_H
#define VMM_GUEST_PACKAGE_H

#include <stddef.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "vmm/guest.h"

/*
 * Unpacks a kernel below <tmp_dir>/root (boot/, lib/modules or
 * usr/lib/modules): the packages that the distribution's smallest kernel for
 * VMs depends on.
 */
int guest_package_fetch(const char *tmp_dir, guest_progress_cb progress,
			void *ctx, struct err *err);

/* The packages that carry a kernel or its modules among the dependencies in
 * the control text that `apt-cache show` prints; appended, each once. */
void guest_package_parse(const char *text, size_t n, struct strvec *ret);

#endif
