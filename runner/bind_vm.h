/* SPDX-License-Identifier: MIT */
/*
 * The type vm, as other bindings need it. Its methods are spread over
 * bind_vm.c (life), bind_run.c (commands), bind_vm_files.c, bind_syscall.c;
 * each has a table of them.
 */
#ifndef RUNNER_BIND_VM_H
#define RUNNER_BIND_VM_H

#include <lua.h>
#include <sys/queue.h>

#include "runner/attachment.h"
#include "runner/bind.h"
#include "runner/lineage.h"
#include "runner/pool.h"
#include "runner/vm_factory.h"
#include "streams/client.h"
#include "vmm/vm.h"

struct vm_object {
	struct object obj;
	struct vm *vm;			    /* NULL before the first boot */
	struct worker *worker;		    /* borrowed */
	char *name;			    /* owned */
	char *profile;			    /* owned; NULL: the default */
	int64_t agent_timeout_ns;	    /* of the last boot */
	struct pool_amount need;	    /* what its boot takes */
	struct claims *claims;		    /* where held came from; borrowed */
	struct pool_amount held;	    /* what the pool gave it */
	unsigned alarm_mark;		    /* suite.marks of its last alarm */
	struct attachment_list attachments; /* bridges; owned */
	SLIST_HEAD(vm_forwards, vm_forward) forwards; /* owned */
	unsigned boots; /* with vm_restarts(): grows when handles get void */
	struct restoring *restoring; /* owned; between prepare and start */
	bool is_restored;	     /* vm is not what the options say */
	unsigned restored_epoch;     /* in which lineage holds */
	struct lineage lineage;
};

/* It is told of what its guest does: a struct vm was made for it. */
void vm_object_watch(struct vm_object *v);
/* Frees the struct vm, if there is one. Its logs stay those of the test. */
void vm_object_drop(struct vm_object *v);
/* bind_restore.c: its guest is gone at once, with what hangs on it; as before
 * its first boot. */
void vm_object_discard(struct vm_object *v);
/* bind_restore.c: what vm:restore() prepared is not wanted. */
void bind_restore_forget(struct vm_object *v);

extern const struct object_class vm_class;
extern const struct guest_ops vm_guest_ops;

/* vm:resume() without its options, which lua/clock.lua reads. */
int vm_l_resume(lua_State *L);
/* bind_vm_event.c: the event that says what became of it. seconds below 0:
 * that it took is not known. Nothing once the file is over. */
void vm_object_tell(const struct vm_object *v, const char *state,
		    double seconds);
/* The event of an operation on the VM that is over: its state, or "failed". For
 * the release of a call: that runs for one that was cut off, too. */
void vm_object_tell_end(const struct vm_object *v, const struct op *op);

/* The same, for vm_on_end(): it uses no memory of the host any more. */
void vm_object_ended(void *vm_object);

/* Pushes a VM in the state created. profile may be NULL; opts_idx: the table
 * of options, checked here, or 0. */
struct vm_object *vm_object_new(lua_State *L, const char *method,
				const char *name, const char *profile,
				int opts_idx);

/* The VM at idx; raises when it is something else, or closed. */
struct vm_object *vm_check(lua_State *L, int idx, const char *method);
/* The same, and it must be booted: raises with its name, its state and the
 * call that would help. */
struct client *vm_check_client(lua_State *L, int idx, const char *method);
/* For objects on a VM (a file, a process): the client, or the same error. */
struct client *vm_object_client(lua_State *L, const struct vm_object *v,
				const char *method);
enum vm_state vm_object_state(const struct vm_object *v);
/* Raises: with its name, its state and the call that would help. */
_Noreturn void vm_object_fail_state(lua_State *L, const char *method,
				    const struct vm_object *v);
/* The two halves of vm:boot, around the wait for the pool (lua/vm.lua):
 * prepare(vm, options) checks all and makes the struct vm, start(vm) waits. */
int vm_l_prepare(lua_State *L);
int vm_l_start(lua_State *L);

/* More methods of vm; each ends with NULL. */
extern const struct bind_method vm_run_methods[];
extern const struct bind_method vm_file_methods[];
extern const struct bind_method vm_syscall_methods[];

void bind_vm_register(lua_State *L);
/* bind_batch.c: vm:batch; bind_clock.c: vm:clock. */
void bind_batch_register(lua_State *L);
void bind_clock_register(lua_State *L);
/* bind_dmesg.c: vm:dmesg. */
void bind_dmesg_register(lua_State *L);
/* bind_counts.c: what hangs on a VM. */
void bind_counts_register(lua_State *L);
/* bind_forward.c: vm:forward, and the end of them all. */
void bind_forward_register(lua_State *L);
void bind_forward_close_all(struct vm_object *v);

#endif
