/* SPDX-License-Identifier: MIT */
/*
 * What VMs take of the pool: before they boot, until they end.
 */
#ifndef RUNNER_BIND_CLAIM_H
#define RUNNER_BIND_CLAIM_H

#include <lua.h>

#include "runner/pool.h"

struct vm_object;
struct vm_request;
struct worker;

/* acquire(method, vm, ...): waits, in one go, for what those that can boot
 * need. release(vm, ...): those that did not boot give it back.
 */
int bind_claim_l_acquire(lua_State *L);
int bind_claim_l_release(lua_State *L);
/* lab:claim{memory=, cpus=}. */
int bind_claim_l_claim(lua_State *L);

/* What a VM takes that was asked for like that. */
struct pool_amount bind_claim_need(const struct worker *w,
				   const struct vm_object *v,
				   const struct vm_request *r);

/* What the VM (a struct vm_object) has is free again. */
void bind_claim_give_back(void *vm_object);

/* After the class vm. */
void bind_claim_register(lua_State *L);

#endif
