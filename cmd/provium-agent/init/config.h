/* SPDX-License-Identifier: MIT */
/*
 * What the host wants of the agent: /.provium/config, lines "key value".
 *	transport serial|vsock
 *	port N			of AF_VSOCK
 *	module NAME		in the order to load; see modules.h
 *	files N			of the boot options; see files.h
 * Unknown keys are ignored: an older agent is no reason not to boot.
 */
#ifndef AGENT_CONFIG_H
#define AGENT_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/mem.h"

#define CONFIG_PATH "/.provium/config"

enum config_transport { TRANSPORT_SERIAL, TRANSPORT_VSOCK };

struct config {
	enum config_transport transport; /* serial unless told */
	uint32_t port;
	struct strvec modules;
	size_t n_files;
};

/* text is NUL-terminated and changed. */
void config_parse(struct config *c, char *text);
/* No file is an empty one. */
void config_load(struct config *c, const char *path);
void config_done(struct config *c);

#endif
