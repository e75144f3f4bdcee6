#!/bin/sh
# Prints how many lines of each parser the corpora reach:
#   coverage.sh BUILD_DIR
# BUILD_DIR holds targets of MODE=cover. Inputs: tests/fuzz/corpus, and what
# fuzzing has found in build/fuzz/corpus.
set -eu

dir=$1
data=$dir/profraw
rm -rf "$data"
mkdir -p "$data"
objects=
for target in "$dir"/fuzz/fuzz_*; do
	case $target in *.d) continue ;; esac
	name=${target##*/}
	set --
	for corpus in "tests/fuzz/corpus/$name" "build/fuzz/corpus/$name"; do
		[ ! -d "$corpus" ] || set -- "$@" "$corpus"
	done
	[ $# -gt 0 ] || continue
	LLVM_PROFILE_FILE="$data/$name.profraw" \
	    "$target" -runs=0 "$@" >"$data/$name.log" 2>&1 || {
		echo "coverage.sh: $name failed on its corpus:" >&2
		tail -n 5 "$data/$name.log" >&2
		exit 1
	}
	objects="$objects${objects:+ -object }$target"
done
llvm-profdata merge -sparse -o "$data/all" "$data"/*.profraw
# The columns of lines: the file, how many, how many were missed, how many
# percent were reached.
# shellcheck disable=SC2086 # a list of options
llvm-cov report $objects -instr-profile "$data/all" \
    agent-proto/frame.c agent-proto/msg.c agent-proto/session.c \
    agent-proto/session_in.c streams/reply.c streams/match.c \
    streams/client.c streams/call.c streams/console_alarm.c vmm/qmp.c vmm/qmp_msg.c vmm/kmod.c \
    vmm/kmod_elf.c vmm/vmlinux.c vmm/unpack.c vmm/net/packet.c \
    vmm/net/packet6.c vmm/net/dhcp.c vmm/net/dns.c vmm/net/dns_name.c \
    vmm/net/gateway.c vmm/net/gateway6.c vmm/net/switch.c runner/event.c \
    runner/event_schema.c runner/replay.c runner/history.c |
    awk '/\.c / { printf "%-34s %5d lines, %5d missed, %s\n",
		  $1, $8, $9, $10 } /^TOTAL/ { print "in all: " $10 }'
