#!/bin/sh
# clang-tidy over some files: tidy.sh FILE...
set -u

status=0
for f in "$@"; do
	# shellcheck disable=SC2046 # a list of words
	clang-tidy --quiet "$f" -- -std=gnu11 -D_GNU_SOURCE \
	    '-DPROVIUM_VERSION="0"' -I. $(pkg-config --cflags luajit) \
	    2>/dev/null || status=1
done
exit $status
