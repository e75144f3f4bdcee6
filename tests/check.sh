#!/bin/sh
# Runs tests and counts. Ends with the names of what failed and a line
# "N passed, N failed", which counts the unit tests that were skipped where
# there are any.
#   check.sh unit BUILD_DIR PROGRAM...   cmocka programs
#   check.sh memcheck PROGRAM...         cmocka programs under valgrind
#   check.sh fuzz BUILD_DIR SECONDS      every fuzz target
#   check.sh all                         everything, with real guests
# As many at a time as there are processors.
set -u

jobs=$(nproc)
# A place of this run's own for temporary files and runtime directories, whose
# name also marks, in their environment, the processes of this run: others may
# be on the machine.
own=$(mktemp -d "${TMPDIR:-/tmp}/c.XXXXXX") || exit 2
trap 'rm -rf "$own"' EXIT
trap 'exit 130' INT TERM HUP
mkdir -m 700 "$own/t" "$own/r"
export TMPDIR="$own/t" XDG_RUNTIME_DIR="$own/r" CHECK_LOGS="$own/logs"
: >"$own/counts"
: >"$own/queue"

marked() {
	TMPDIR='' grep -lsxz "TMPDIR=$own/t" /proc/[0-9]*/environ
}

count() {
	echo "$1 $2" >>"$own/counts"
}

left() {
	echo "  FAIL    $1"
	echo "$1" >>"$own/counts.failed"
	count 0 1
}

# What the tests left behind counts as failures. A process may be on its way
# out, on a busy machine.
leftovers() {
	i=0
	while [ -n "$(marked)" ] && [ $i -lt 60 ]; do
		sleep 1
		i=$((i + 1))
	done
	for f in $(marked); do
		left "still running: $(ps -o pid=,args= -p \
		    "$(basename "${f%/environ}")")"
		kill -9 "$(basename "${f%/environ}")"
	done
	for f in $(cd "$own" && find t r -mindepth 1 -maxdepth 1); do
		left "left behind: $f"
	done
}

# Items are told apart by lines: see check-one.sh.
queue() {
	echo "$*" >>"$own/queue"
}

run_queue() {
	xargs -P "$jobs" -d '\n' -n 1 -a "$own/queue" \
	    sh tests/check-one.sh "$own/counts"
	: >"$own/queue"
}

units_in() {
	find "$1/unit" -type f -perm -100 ! -name '*.d' | sort
}

case ${1-} in
unit)
	export PROVIUM_B="$2"
	shift 2
	for t in "$@"; do
		queue unit "$t"
	done
	run_queue
	;;
memcheck)
	shift
	for t in "$@"; do
		queue unit valgrind -q --error-exitcode=9 --leak-check=full \
		    --errors-for-leak-kinds=definite \
		    --suppressions=tests/valgrind.supp "$t"
	done
	run_queue
	;;
fuzz)
	find "$2/fuzz" -name 'fuzz_*' ! -name '*.d' | sort |
	    xargs -P "$jobs" -n 1 sh tests/fuzz/run.sh "$2" "$3" |
	    tee "$own/log"
	count "$(grep -c '^  ok' "$own/log")" "$(grep -c '^  FAIL' "$own/log")"
	;;
all)
	. tests/check-all.sh
	;;
*)
	echo "check.sh: say unit, memcheck, fuzz or all" >&2
	exit 2
	;;
esac

leftovers
if [ -s "$own/counts.failed" ]; then
	echo "== what failed"
	cat "$own/counts.failed"
fi
# Nothing counted is a failure, too.
awk '{ p += $1; f += $2; s += $3 } END {
	if (!p && !f) f++
	print p + 0 " passed, " f + 0 " failed" (s ? ", " s " skipped" : "")
	exit f > 0
}' "$own/counts"
