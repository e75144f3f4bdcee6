#!/bin/sh
# No mutable globals: every symbol in .data or .bss must be on the list.
#   globals.sh BUILD_DIR
set -eu

dir=${1:-build/release}
# What may be: signal flags, which a handler can reach in no other way.
allowed='^(signal_.*|stop_.*)$'

bad=$(for a in "$dir"/lib*.a; do
	nm -A "$a" 2>/dev/null |
	    awk '$(NF-1) ~ /^[bBdDC]$/ { print $NF, $1 }'
done | awk -v ok="$allowed" '{
	sym = $1
	sub(/\.[0-9]+$/, "", sym)
	if (sym !~ ok)
		print "mutable global: " $1 " in " $2
}')
[ -z "$bad" ] && exit 0
echo "$bad"
exit 1
