/* SPDX-License-Identifier: MIT */
#include "vmm/printk.h"

#include <stddef.h>
#include <string.h>

/* Behind the number at p, which spaces may precede; NULL: there is none. */
static const char *printk_skip_number(const char *p)
{
	p += strspn(p, " ");
	size_t n = strspn(p, "0123456789");

	return n ? p + n : NULL;
}

const char *printk_text(const char *p)
{
	if (*p != '[' || !(p = printk_skip_number(p + 1)) || *p != '.' ||
	    !(p = printk_skip_number(p + 1)) || *p != ']')
		return NULL;
	p++;
	if (*p == '[') {
		p++;
		p += strspn(p, " ");
		if (*p != 'T' && *p != 'C')
			return NULL;
		p = printk_skip_number(p + 1);
		if (!p || *p != ']')
			return NULL;
		p++;
	}
	return *p == ' ' ? p + 1 : NULL;
}
