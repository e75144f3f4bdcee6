/* SPDX-License-Identifier: MIT */
/* A real guest for tests: QEMU, the default image, a private run_dir. */
#ifndef TESTS_UNIT_VMM_LIB_VM_H
#define TESTS_UNIT_VMM_LIB_VM_H

#include "agent-proto/clock.h"
#include "streams/exec.h"
#include "vmm/guest.h"
#include "vmm/vm.h"

/* For what must come; a slow machine under sanitizers needs it. */
#define BOOT_NS	    (240 * NS_PER_SEC)
#define PATIENCE_NS (120 * NS_PER_SEC)

struct fixture {
	struct loop *loop;
	struct guest_image image;
	struct strvec modules;
	char *run_dir;
	char *qemu;
	struct vm_spec spec; /* change it before vm_make() */
	struct vm *vm;
	struct op op;
	struct exec *exec;
	struct call *call;
	unsigned deaths;
	struct err death;
	bool free_on_death;
	pid_t pid;  /* of the QEMU that boot() started */
	void *user; /* the test's */
};

int vm_setup(void **state);
int vm_teardown(void **state);

void vm_make(struct fixture *f);
/* Waits for f->op; its result. */
int vm_wait_op(struct fixture *f);
/* vm_make() and boot, to the end; the op's result. */
int vm_try_boot(struct fixture *f, int64_t span_ns);
/* Fails the test where it does not boot. */
void vm_must_boot(struct fixture *f);

/* Starts `/bin/sh -c script` in the guest as f->exec. */
void vm_exec(struct fixture *f, const char *script);
/* Its stdout, when it exited with 0; else fails the test. */
char *vm_exec_out(struct fixture *f, const char *script);
/* A PING that must be answered. */
void vm_ping(struct fixture *f);
/* Pings until one is answered; fails after BOOT_NS. */
void vm_wait_ping(struct fixture *f);

/* Turns the loop until the state is that one; fails after PATIENCE_NS. */
void vm_wait_state(struct fixture *f, enum vm_state s);
bool vm_is_running(pid_t pid);
/* The console log holds text. */
bool vm_logged(struct fixture *f, const char *text);
void vm_expect_text(const char *have, const char *want);

#endif
