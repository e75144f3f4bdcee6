#!/bin/sh
# No mutable globals: every symbol in .data or .bss must be on the list.
#   globals.sh BUILD_DIR
set -eu

dir=${1:-build/release}
# What may be: signal flags, which a handler can reach in no other way.
allowed='^(signal_.*|stop_.*)$'

# By section, not by nm's letter: a const table of pointers is in .data.rel.ro.
bad=$(for a in "$dir"/lib*.a; do
	objdump -t "$a" 2>/dev/null |
	    awk -v a="$a" '
		/file format/ { file = a ":" $1 }
		/ O \.(data|bss|tdata|tbss)/ && !/ O \.data\.rel\.ro/ {
			print $NF, file
		}'
done | awk -v ok="$allowed" '{
	sym = $1
	sub(/\.[0-9]+$/, "", sym)
	if (sym !~ ok)
		print "mutable global: " $1 " in " $2
}')
[ -z "$bad" ] && exit 0
echo "$bad"
exit 1
