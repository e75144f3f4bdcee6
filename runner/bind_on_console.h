/* SPDX-License-Identifier: MIT */
/* provium.on_console: which lines of a console fail a test. */
#ifndef RUNNER_BIND_ON_CONSOLE_H
#define RUNNER_BIND_ON_CONSOLE_H

#include <lua.h>

#include "vmm/alarm_rules.h"

/* Replaces the rules by those of the list at idx: each is a text, or a table of
 * one text and `except`, a text or a list of texts. Raises if the list is
 * wrong, and then leaves the rules as they were. */
void bind_on_console(lua_State *L, int idx, struct alarm_rules *ret);

#endif
