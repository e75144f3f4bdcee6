/* SPDX-License-Identifier: MIT */
/*
 * What this machine offers: accelerator, transport, QEMU. Each choice comes
 * with its reason in words, for `provium doctor` and -v.
 */
#ifndef VMM_HOST_H
#define VMM_HOST_H

#include <stdbool.h>

#include "agent-proto/err.h"

enum accel { ACCEL_AUTO, ACCEL_KVM, ACCEL_TCG };
enum transport { TRANSPORT_AUTO, TRANSPORT_VSOCK, TRANSPORT_SERIAL };
/* What bridges are made of. */
enum network { NETWORK_USER, NETWORK_KERNEL };

struct host_choice {
	int value;	  /* enum accel or enum transport, never AUTO */
	char why[256];	  /* "/dev/kvm opens and the CPU has vmx" */
	char faster[256]; /* what would make it faster, or "" */
};

/*
 * AUTO is KVM only where /dev/kvm opens read-write and the CPU shows vmx or
 * svm (there are hosts with a /dev/kvm under which a guest hangs). An explicit
 * wish is honoured, or is an error where it cannot be.
 */
int host_choose_accel(enum accel wish, struct host_choice *ret,
		      struct err *err);
/* AUTO is vsock where /dev/vhost-vsock opens, else virtio-serial. */
int host_choose_transport(enum transport wish, struct host_choice *ret,
			  struct err *err);

/* The files that the choices above look at; tests give their own. */
struct host_probe {
	const char *kvm;
	const char *vsock;
	const char *cpuinfo;
};
int host_probe_accel(const struct host_probe *p, enum accel wish,
		     struct host_choice *ret, struct err *err);
int host_probe_transport(const struct host_probe *p, enum transport wish,
			 struct host_choice *ret, struct err *err);

/* Path of a program in PATH or the sbin folders, which an ordinary user's PATH
 * lacks; owned by the caller, NULL where there is none. */
char *host_find_program(const char *name);

/* Path of the QEMU binary ($PROVIUM_QEMU, else qemu-system-x86_64 in PATH;
 * owned by the caller), or NULL with what to install. */
char *host_find_qemu(struct err *err);
/* First line of its --version; owned, NULL with err. */
char *host_qemu_version(const char *qemu, struct err *err);

/* Whether it can carry frames over a socket that it is given, which networks
 * need: QEMU 7.2 and later, built with networking. 0, or a negative errno with
 * err. */
int host_qemu_check_net(const char *qemu, struct err *err);

const char *accel_name(enum accel a);	      /* "auto", "kvm", "tcg" */
const char *transport_name(enum transport t); /* "auto", "vsock", "serial" */
/* -EINVAL for an unknown name. */
int accel_parse(const char *s, enum accel *ret);
int transport_parse(const char *s, enum transport *ret);
const char *network_name(enum network n); /* "user", "kernel" */
int network_parse(const char *s, enum network *ret);

#endif
