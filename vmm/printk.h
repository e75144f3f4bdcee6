/* SPDX-License-Identifier: MIT */
/* Lines that a guest's kernel prints on its console. */
#ifndef VMM_PRINTK_H
#define VMM_PRINTK_H

/* The text behind the time stamp with which p begins, "[    1.234567] ", and
 * behind the caller that may follow it, "[    T1]"; NULL: it begins with none
 * (Linux, kernel/printk/printk.c, info_print_prefix()). */
const char *printk_text(const char *p);

#endif
