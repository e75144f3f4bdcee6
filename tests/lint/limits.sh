#!/bin/sh
# Sizes that keep a file readable in one sitting: 600 lines a file, 60 lines
# a function, 80 columns (tabs of 8). A flat table or switch may say so with
# a comment "lint: flat" inside.
set -eu

bad=0
for f in $(git ls-files 'agent-proto/*.[ch]' 'streams/*.[ch]' 'vmm/*.[ch]' \
    'runner/*.[ch]' 'cmd/*.[ch]'); do
	[ -e "$f" ] || continue
	n=$(wc -l <"$f")
	if [ "$n" -gt 600 ]; then
		echo "$f: $n lines, 600 at most"
		bad=1
	fi
	expand -t 8 "$f" | awk -v f="$f" '
		length($0) > 80 {
			print f ":" NR ": " length($0) " columns"
			bad = 1
		}
		/^\{/ { start = NR; flat = 0 }
		/lint: flat/ { flat = 1 }
		/^\}/ {
			if (start && !flat && NR - start > 60) {
				print f ":" start ": function of " \
				    NR - start " lines, 60 at most"
				bad = 1
			}
			start = 0
		}
		END { exit bad }' || bad=1
done
exit $bad
