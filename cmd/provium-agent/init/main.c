/* SPDX-License-Identifier: MIT */
/*
 * provium-agent: the program that provium puts into every guest. As process 1
 * it brings the machine as far as its transport needs (init.c); everywhere it
 * serves one session with the host (server.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/session.h"
#include "cmd/provium-agent/core/guest.h"
#include "cmd/provium-agent/core/server.h"
#include "cmd/provium-agent/init/config.h"
#include "cmd/provium-agent/init/init.h"
#include "cmd/provium-agent/init/modules.h"
#include "cmd/provium-agent/init/transport.h"
#include "cmd/provium-agent/ops/ops.h"

#define KEPT_MAX (16 << 20)

static int serve_fd(const char *arg)
{
	struct server *s;
	struct guest g;
	char *end;
	long n = strtol(arg, &end, 10);
	int fd = *end ? -1 : fcntl((int)n, F_DUPFD_CLOEXEC, 3);

	if (fd < 0) {
		fprintf(stderr, "provium-agent: --fd %s: %s\n", arg,
			strerror(*end ? EINVAL : errno));
		return 2;
	}
	close((int)n);
	guest_init_mounted(&g);
	guest_protect_agent(&g);
	s = server_new(&ops_server_kind, &g);
	server_set_port(s, fd, EOF_EXITS);
	server_run(s);
	server_free(s);
	guest_done(&g);
	return 0;
}

static int serve_unix(const char *path)
{
	struct server *s;
	struct guest g;
	struct err err;
	int fd = transport_listen_unix(path, &err);

	if (fd < 0) {
		fprintf(stderr, "provium-agent: %s\n", err.text);
		return 1;
	}
	guest_init_mounted(&g);
	guest_protect_agent(&g);
	s = server_new(&ops_server_kind, &g);
	server_set_listener(s, fd);
	server_run(s);
	server_free(s);
	guest_done(&g);
	return 0;
}

/* For images that start the agent themselves. */
static int serve_guest(const char *arg)
{
	struct guest g;
	struct config c;

	(void)arg;
	guest_init_mounted(&g);
	config_load(&c, CONFIG_PATH);
	modules_load(&c.modules);
	return init_serve(&g, &c);
}

static int print_version(const char *arg)
{
	(void)arg;
	printf("provium-agent %s, protocol %u\n", PROVIUM_VERSION,
	       PROTO_VERSION);
	return 0;
}

static const struct mode {
	const char *name;
	const char *arg; /* NULL: takes none */
	int (*run)(const char *arg);
	const char *doc;
} modes[] = {
    {"--guest", NULL, serve_guest, "serve this machine; not as process 1"},
    {"--fd", "N", serve_fd, "serve a connected socket, exit at its end"},
    {"--unix", "PATH", serve_unix, "serve who connects to a unix socket"},
    {"--version", NULL, print_version, "print the version"},
};

static int usage(void)
{
	fprintf(stderr, "usage: as process 1 of a guest, or one of\n");
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		fprintf(stderr, "  %-9s %-5s %s\n", modes[i].name,
			modes[i].arg ? modes[i].arg : "", modes[i].doc);
	return 2;
}

/* Large blocks come and go all the time: given back to the kernel, each would
 * be faulted in anew, page by page, which costs more than to fill it. */
static void keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, KEPT_MAX);
	mallopt(M_TRIM_THRESHOLD, KEPT_MAX);
}

int main(int argc, char **argv)
{
	keep_memory();
	if (getpid() == 1)
		init_main(argv);
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(modes); i++)
		if (!strcmp(argv[1], modes[i].name) &&
		    argc == (modes[i].arg ? 3 : 2))
			return modes[i].run(argv[2]);
	return usage();
}
