/* SPDX-License-Identifier: MIT */
/* The machine's power button, as ACPI tells of it: for process 1 of an image
 * that has no init of its own. */
#ifndef AGENT_BUTTON_H
#define AGENT_BUTTON_H

#include <stdbool.h>

/* A socket that can be read when the button may have been pressed, or -1 where
 * the kernel has no ACPI. Needs the module `button`. */
int button_open(void);
/* Takes what is to be read. */
bool button_was_pressed(int fd);

#endif
