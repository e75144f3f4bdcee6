/* SPDX-License-Identifier: MIT */
/* lsp-setup: tells an editor's Lua language server what tests may call. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium/settings.h"
#include "runner/lua_blob.h"

#define STUBS "runner/lua/stubs.lua"

/* Of lua-language-server: where it looks, and which Lua it is. */
static const char luarc[] = "{\n"
			    "  \"runtime.version\": \"LuaJIT\",\n"
			    "  \"workspace.library\": [\".provium\"]\n"
			    "}\n";

static const char *stubs_text(void)
{
	for (const struct lua_blob *b = lua_blobs; b->name; b++)
		if (!strcmp(b->name, STUBS))
			return b->text;
	return "";
}

/* flags: O_TRUNC to replace it, O_EXCL to leave it alone (-EEXIST). */
static int cmd_lsp_put_file(const char *path, int flags, const char *text)
{
	CLEANUP(fd_closep)
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
	size_t n = strlen(text);

	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < n;) {
		ssize_t done = write(fd, text + at, n - at);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0)
			at += (size_t)done;
	}
	return 0;
}

int cmd_lsp(const struct settings *s)
{
	const char *dir = s->n_args ? s->args[0] : ".";
	CLEANUP(free_ptr) char *lib = mem_printf("%s/.provium", dir);
	CLEANUP(free_ptr) char *stubs = mem_printf("%s/provium.lua", lib);
	CLEANUP(free_ptr) char *config = mem_printf("%s/.luarc.json", dir);
	int r;

	if (s->n_args > 1)
		return complain("lsp-setup: one directory, not '%s' too",
				s->args[1]);
	if (mkdir(lib, 0755) < 0 && errno != EEXIST)
		return complain("cannot make '%s': %s", lib, strerror(errno));
	r = cmd_lsp_put_file(stubs, O_TRUNC, stubs_text());
	if (r < 0)
		return complain("cannot write '%s': %s", stubs, strerror(-r));
	printf("wrote %s\n", stubs);
	r = cmd_lsp_put_file(config, O_EXCL, luarc);
	if (r == -EEXIST)
		printf("kept %s: it needs \"workspace.library\": "
		       "[\".provium\"] and \"runtime.version\": \"LuaJIT\"\n",
		       config);
	else if (r < 0)
		return complain("cannot write '%s': %s", config, strerror(-r));
	else
		printf("wrote %s\n", config);
	return STATUS_OK;
}
