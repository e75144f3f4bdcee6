/* SPDX-License-Identifier: MIT */
/*
 * The provium program: finds the command, reads its options, runs it. The
 * commands are in cmd_*.c, what they do is the runner's.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium/settings.h"
#include "runner/text.h"

int complain(const char *fmt, ...)
{
	CLEANUP(buf_done) struct buf line = {0};
	CLEANUP(free_ptr) char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	text_escape(&line, text, strlen(text));
	fprintf(stderr, "provium: %.*s\n", (int)line.len,
		(char *)buf_data(&line));
	return STATUS_BROKEN;
}

/* Descriptors 0 to 2 are open from here on: a socket must not become one. */
static void open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

static int run_command(const struct command *cmd, const char **argv, size_t n)
{
	CLEANUP(settings_done) struct settings s;
	struct err err;

	if (settings_parse(&s, cmd, argv, n, &err) < 0)
		return complain("%s", err.text);
	if (s.wants_help) {
		help_print_command(stdout, cmd);
		return STATUS_OK;
	}
	if (s.wants_version) {
		puts("provium " PROVIUM_VERSION);
		return STATUS_OK;
	}
	return cmd->run(&s);
}

/* The first word is no command: it is a path, an option of run, or a typo. */
static int run_without_command(const char **argv, size_t n)
{
	const char *near = command_nearest(argv[0]);

	if (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h")) {
		help_print(stdout);
		return STATUS_OK;
	}
	if (argv[0][0] != '-' && near && access(argv[0], F_OK) < 0)
		return complain("no such file or directory: '%s'; did you mean "
				"the command '%s'?",
				argv[0], near);
	return run_command(command_find("run"), argv, n);
}

static int dispatch(const char **argv, size_t n)
{
	const struct command *cmd = n ? command_find(argv[0]) : NULL;

	if (!n) {
		help_print(stderr);
		return STATUS_BROKEN;
	}
	if (cmd)
		return run_command(cmd, argv + 1, n - 1);
	return run_without_command(argv, n);
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? (size_t)argc - 1 : 0;
	int status;

	open_standard_fds();
	CLEANUP(free_ptr) const char **words = mem_zalloc(n * sizeof(*words));
	for (size_t i = 0; i < n; i++)
		words[i] = argv[i + 1];
	status = dispatch(words, n);
	if (fflush(stdout) != 0 || ferror(stdout))
		return complain("cannot write to standard output");
	return status;
}
