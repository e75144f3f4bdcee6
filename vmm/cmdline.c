/* SPDX-License-Identifier: MIT */
#include "vmm/cmdline.h"

#include <ctype.h>
#include <limits.h>
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

/* A word of the line, without the quotes around it. */
struct word {
	const char *p;
	size_t n;
};

/* The word at *at, which moves behind it; false at the end, which `--` is as
 * well: behind it are the arguments of init. Quotes protect spaces (Linux,
 * lib/cmdline.c, next_arg()). */
static bool next_word(const char **at, struct word *ret)
{
	const char *p = *at;
	bool is_quoted = false;

	while (isspace((unsigned char)*p))
		p++;
	*at = p;
	ret->p = *p == '"' ? p + 1 : p;
	for (; *p && (is_quoted || !isspace((unsigned char)*p)); p++)
		if (*p == '"')
			is_quoted = !is_quoted;
	ret->n = p > ret->p ? (size_t)(p - ret->p) : 0;
	if (p == *at || (p - *at == 2 && memcmp(*at, "--", 2) == 0))
		return false;
	*at = p;
	return true;
}

/* The word is `key`, or key=VALUE. */
static bool is_key(struct word w, const char *key)
{
	size_t n = strlen(key);

	return w.n >= n && memcmp(w.p, key, n) == 0 &&
	       (w.n == n || w.p[n] == '=' || w.p[n] == '"');
}

/* The console's level that the line asks for, the last word that sets it. *end
 * is where the words for the kernel end. */
static int level_of(const char *line, const char **end)
{
	static const char key[] = "loglevel=";
	int level = LEVEL_DEFAULT;
	bool shows_all = false;
	struct word w;

	for (*end = line; next_word(end, &w);) {
		if (is_key(w, "quiet"))
			level = LEVEL_QUIET;
		else if (is_key(w, "debug"))
			level = LEVEL_DEBUG;
		else if (is_key(w, "ignore_loglevel"))
			shows_all = true;
		else if (w.n >= strlen(key) &&
			 memcmp(w.p, key, strlen(key)) == 0)
			level = atoi(w.p + strlen(key));
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
			   end > user && !isspace((unsigned char)end[-1]) ? " "
									  : "",
			   CMDLINE_WARNINGS, *end ? " " : "");
	buf_append(&out, end, strlen(end) + 1);
	return (char *)out.mem;
}
