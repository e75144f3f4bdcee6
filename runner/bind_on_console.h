/* SPDX-License-Identifier: MIT */
/* provium.on_console: which lines of a console fail a test. */
#ifndef RUNNER_BIND_ON_CONSOLE_H
#define RUNNER_BIND_ON_CONSOLE_H

#include <lua.h>

#include "vmm/alarm_rules.h"

/* Replaces the rules by those of the list at idx: texts, and tables of one text
 * and `except`, a text or a list of them. Raises where it is none, and leaves
 * the rules alone then. */
void bind_on_console(lua_State *L, int idx, struct alarm_rules *ret);

#endif
