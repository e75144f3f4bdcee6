/* SPDX-License-Identifier: MIT */
/* The runner's own Lua files (runner/lua), embedded at build time. */
#ifndef RUNNER_LUA_BLOB_H
#define RUNNER_LUA_BLOB_H

struct lua_blob {
	const char *name; /* "runner/lua/assert.lua"; NULL ends the table */
	const char *text;
};

extern const struct lua_blob lua_blobs[];

#endif
