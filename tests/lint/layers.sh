#!/bin/sh
# Include lines may only point down the layers. Reads every
# #include "folder/..." and compares it with the arrows allowed below.
set -eu

allowed() {
	case $1 in
	agent-proto) echo agent-proto ;;
	streams) echo streams agent-proto ;;
	vmm | vmm/net) echo vmm vmm/net streams agent-proto ;;
	runner) echo runner vmm vmm/net streams agent-proto ;;
	cmd/provium) echo cmd/provium runner vmm vmm/net streams agent-proto ;;
	cmd/provium-agent) echo cmd/provium-agent agent-proto ;;
	esac
}

bad=0
for from in agent-proto streams vmm vmm/net runner cmd/provium \
    cmd/provium-agent; do
	ok=$(allowed "$from")
	for f in "$from"/*.[ch]; do
		[ -e "$f" ] || continue
		for inc in $(sed -n 's/^#[ ]*include "\(.*\)"/\1/p' "$f"); do
			case " $ok " in
			*" ${inc%/*} "*) ;;
			*)
				echo "$f: includes \"$inc\"; $from may: $ok"
				bad=1
				;;
			esac
		done
	done
done

# Libraries that belong to certain layers.
own() {
	pattern=$1
	shift
	for f in $(grep -lE "^#[ ]*include <($pattern)" -r --include='*.[ch]' \
	    agent-proto streams vmm runner cmd || true); do
		for d in "$@"; do
			case $f in "$d"/*) continue 2 ;; esac
		done
		echo "$f: includes <$pattern>, which belongs to: $*"
		bad=1
	done
}
own 'event2/.*|event\.h' streams
own 'pcap.*' streams
own 'lua.*|lauxlib\.h' runner cmd/provium
own 'jansson\.h' vmm runner
exit $bad
