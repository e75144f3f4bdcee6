/* SPDX-License-Identifier: MIT */
/*
 * From what an author asked for to a VM: the profile, the defaults, the guest
 * image, and what the host offers, resolved once per worker.
 */
#ifndef RUNNER_VM_FACTORY_H
#define RUNNER_VM_FACTORY_H

#include <jansson.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "runner/config.h"
#include "streams/loop.h"
#include "vmm/vm.h"

#define VM_AGENT_TIMEOUT_NS (60 * NS_PER_SEC)
#define VM_CPUS_MAX	    255
#define VM_TIME_MAX	    INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define VM_MEMORY_MIN	    (UINT64_C(32) << 20)

/* What an author said of one VM; zero where nothing was. All borrowed. */
struct vm_request {
	const char *name;
	const char *profile; /* NULL: the default one */
	uint64_t memory;     /* bytes */
	int64_t cpus;
	int64_t initial_time; /* as vm_spec's */
	bool has_rng_seed;
	uint64_t rng_seed;
	int64_t spare_nics;	    /* as vm_spec's */
	bool suspend;		    /* it may suspend to RAM */
	bool panic;		    /* it may panic, and go on */
	const char *kernel_cmdline; /* in place of the profile's */
	const char *kernel_cmdline_append;
	int64_t agent_timeout_ns;
	const struct overlay_file *files; /* after the profile's, and over it */
	size_t n_files;
	const struct disk_spec *disks; /* after the profile's; id may be NULL */
	size_t n_disks;
	struct strvec qemu_args; /* after the profile's */
};

struct vm_factory;

/* All borrowed for its life. It never fails: what is missing on this host is
 * an error of the first VM. */
struct vm_factory *vm_factory_new(struct loop *l, const struct config *c,
				  const char *run_dir);
struct vm_factory *vm_factory_free(struct vm_factory *f);

/* Lines of the console that fail a test, beside a panic: to be changed by the
 * caller. They hold for VMs that are made from then on. */
struct alarm_rules *vm_factory_alarms(struct vm_factory *f);

/* -ENOENT with err listing the profiles there are; NULL: the default. */
int vm_factory_check_profile(struct vm_factory *f, const char *name,
			     struct err *err);

/* A VM in the state created, or NULL with err. May take long the first time:
 * the default guest is built then. */
struct vm *vm_factory_make(struct vm_factory *f, const struct vm_request *r,
			   vm_dead_cb on_dead, void *ctx, struct err *err);

/* What a profile (NULL: the default one) is on this host, so that two machines
 * of which this is equal differ by their options only; "files" lists what it
 * reads besides. The caller's; NULL with err. */
json_t *vm_factory_identify(struct vm_factory *f, const char *profile,
			    struct err *err);

/* One that is to be restored from a snapshot: vm_restore_start(). */
struct snapshot;
struct vm *vm_factory_restore(struct vm_factory *f, const char *name,
			      const struct snapshot *s, void *ctx,
			      struct err *err);

#endif
