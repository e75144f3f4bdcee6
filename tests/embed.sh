#!/bin/sh
# Prints a C file that holds the named Lua files as strings, and a table of
# them: struct lua_blob (runner/lua_blob.h).
set -eu
echo '/* Generated from the Lua part of the runner. */'
echo '#include "runner/lua_blob.h"'
echo 'const struct lua_blob lua_blobs[] = {'
for f in "$@"; do
	printf '{"%s",\n' "$f"
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$/\\n"/' "$f"
	echo '},'
done
echo '{0, 0}};'
