#!/bin/sh
# Runs a command as an ordinary user, where this is root; else as who this is.
# What it needs is copied to where that user may read it, and it is run there:
# provium, tests/ and the guest's image.
#   as-user.sh PROVIUM COMMAND...
set -eu

provium=$(readlink -f "$1")
shift
here=$(dirname "$(readlink -f "$0")")
# Not below TMPDIR, which may be for its owner only.
work=$(mktemp -d /tmp/as-user.XXXXXX)
trap 'rm -rf "$work"' EXIT

image=$("$provium" guest path)
mkdir -p "$work/cache/guests" "$work/tmp"
cp "$provium" "$work/provium"
cp -R "$here" "$work/tests"
cp -R "$image" "$work/cache/guests/"
export PROVIUM_CACHE_DIR="$work/cache" TMPDIR="$work/tmp" HOME="$work/tmp"
unset XDG_RUNTIME_DIR XDG_CACHE_HOME XDG_STATE_HOME
cd "$work"
if [ "$(id -u)" = 0 ]; then
	chown -R nobody:nogroup "$work"
	setpriv --reuid nobody --regid nogroup --clear-groups "$@"
else
	"$@"
fi
