/* SPDX-License-Identifier: MIT */
#include "vmm/cmdline.h"

#include <ctype.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/mem.h"

/* The four ports that a PC may have, and as many on PCI. A port without an
 * address costs the kernel nothing. */
#define UARTS "8250.nr_uarts=8 "

/* CONFIG_CONSOLE_LOGLEVEL_DEFAULT and _QUIET of Linux, which distributions
 * leave alone; what `debug` sets (init/main.c, debug_kernel()). */
#define LEVEL_DEFAULT 7
#define LEVEL_QUIET   4
#define LEVEL_DEBUG   10

/* As the kernel's isspace() (lib/ctype.c): Latin-1's no-break space counts. */
static bool cmdline_is_space(char c)
{
	return isspace((unsigned char)c) || (uint8_t)c == 0xa0;
}

/* The end of the word at p; quotes protect spaces. */
static const char *word_end(const char *p)
{
	bool is_quoted = false;

	for (; *p && (is_quoted || !cmdline_is_space(*p)); p++)
		if (*p == '"')
			is_quoted = !is_quoted;
	return p;
}

static struct cmdline_span unquote(struct cmdline_span s)
{
	if (!s.n || *s.p != '"')
		return s;
	s.p++;
	s.n--;
	s.n -= s.n && s.p[s.n - 1] == '"';
	return s;
}

bool cmdline_next(const char **at, struct cmdline_word *ret)
{
	struct cmdline_span all;
	const char *equals;

	while (cmdline_is_space(**at))
		++*at;
	all.p = *at;
	all.n = (size_t)(word_end(*at) - *at);
	if (!all.n)
		return false;
	*ret = (struct cmdline_word){.text = all};
	all = unquote(all);
	equals = all.n > 1 ? memchr(all.p + 1, '=', all.n - 1) : NULL;
	ret->key = all;
	if (equals) {
		ret->key.n = (size_t)(equals - all.p);
		ret->value.p = equals + 1;
		ret->value.n = (size_t)(all.p + all.n - equals - 1);
		ret->value = unquote(ret->value);
	} else if (all.n == 2 && memcmp(all.p, "--", 2) == 0) {
		return false;
	}
	*at += ret->text.n;
	return true;
}

bool cmdline_is(const struct cmdline_word *w, const char *key)
{
	if (strlen(key) != w->key.n)
		return false;
	for (size_t i = 0; i < w->key.n; i++) {
		char a = w->key.p[i] == '-' ? '_' : w->key.p[i];
		char b = key[i] == '-' ? '_' : key[i];

		if (a != b)
			return false;
	}
	return true;
}

/* The console's level that the line asks for, the last word that sets it. *end
 * is where the words for the kernel end. */
static int level_of(const char *line, const char **end)
{
	int level = LEVEL_DEFAULT;
	bool shows_all = false;
	struct cmdline_word w;

	for (*end = line; cmdline_next(end, &w);) {
		if (cmdline_is(&w, "quiet"))
			level = LEVEL_QUIET;
		else if (cmdline_is(&w, "debug"))
			level = LEVEL_DEBUG;
		else if (cmdline_is(&w, "ignore_loglevel"))
			shows_all = true;
		else if (cmdline_is(&w, "loglevel") && w.value.p)
			level = atoi(w.value.p);
	}
	return shows_all ? INT_MAX : level;
}

static bool has_serial(const char *const *args, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(args[i], "-serial") == 0 ||
		    strcmp(args[i], "--serial") == 0)
			return true;
		/* A value of -device, as KEY=VALUE,... or as JSON. */
		if (strstr(args[i], "isa-serial") ||
		    strstr(args[i], "pci-serial"))
			return true;
	}
	return false;
}

char *cmdline_complete(const char *user, const char *const *qemu_args,
		       size_t n_qemu_args, bool has_alarms)
{
	const char *end;
	int level = level_of(user, &end);
	struct buf out = {0};

	if (has_serial(qemu_args, n_qemu_args))
		buf_append(&out, UARTS, strlen(UARTS));
	buf_append(&out, user, (size_t)(end - user));
	if (has_alarms && level < CMDLINE_WARNINGS)
		buf_printf(&out, "%sloglevel=%d%s",
			   end > user && !cmdline_is_space(end[-1]) ? " " : "",
			   CMDLINE_WARNINGS, *end ? " " : "");
	buf_append(&out, end, strlen(end) + 1);
	return (char *)out.mem;
}
