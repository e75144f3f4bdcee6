/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/init/config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"

#define CONFIG_MAX (64u << 10)

static void set_transport(struct config *c, const char *value)
{
	c->transport =
	    strcmp(value, "vsock") ? TRANSPORT_SERIAL : TRANSPORT_VSOCK;
}

static void set_port(struct config *c, const char *value)
{
	c->port = (uint32_t)strtoul(value, NULL, 10);
}

static void add_module(struct config *c, const char *value)
{
	strvec_add(&c->modules, value);
}

static void set_files(struct config *c, const char *value)
{
	c->n_files = strtoul(value, NULL, 10);
}

static const struct config_key {
	const char *name;
	void (*set)(struct config *c, const char *value);
} keys[] = {
    {"transport", set_transport},
    {"port", set_port},
    {"module", add_module},
    {"files", set_files},
};

static void parse_line(struct config *c, char *line)
{
	char *value = line + strcspn(line, " \t");

	if (!*value)
		return;
	*value++ = '\0';
	value += strspn(value, " \t");
	value[strcspn(value, " \t\r")] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (!strcmp(line, keys[i].name))
			keys[i].set(c, value);
}

void config_parse(struct config *c, char *text)
{
	char *line;

	*c = (struct config){0};
	while ((line = strsep(&text, "\n")))
		parse_line(c, line);
}

void config_load(struct config *c, const char *path)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP(free_ptr) char *text = mem_zalloc(CONFIG_MAX + 1);

	if (fd >= 0 && read(fd, text, CONFIG_MAX) < 0)
		*text = '\0';
	config_parse(c, text);
}

void config_done(struct config *c)
{
	strvec_done(&c->modules);
}
