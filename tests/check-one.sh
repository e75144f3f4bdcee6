#!/bin/sh
# One item of check.sh's queue: check-one.sh COUNTS "KIND COMMAND...", with
# words that have no spaces. What it prints comes in one piece, when it is
# over: others run beside it. A line "passed failed skipped" is added to COUNTS.
#   unit   a cmocka program: its summary is counted, its output shown when it
#          fails; a test is skipped by skip_because(), whose reasons are shown
#   suite  anything that ends with "N passed, N failed": that is counted
# A unit has UNIT_MAX seconds and a suite SUITE_MAX: an item that hangs is a
# failure that has a name, and the others are still run.
# What failed is named in COUNTS.failed, too: check.sh ends with these names.
# The ends of the logs that `run --artifacts $CHECK_LOGS` kept of what failed
# are shown: where this runs unattended, nobody can look at them later.
set -u

counts=$1
# shellcheck disable=SC2086 # words
set -- $2
kind=$1
shift
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM HUP
start=$(date +%s)
UNIT_MAX=900
SUITE_MAX=3600
NAMES_MAX=20 # of the failures of one item

unit() {
	if [ "$status" != 0 ]; then
		echo "  FAIL    $* (status $status)"
		sed 's/^/    /' "$log" | tail -n 500
		failed=1
		return
	fi
	passed=$(tests_that PASSED)
	skipped=$(tests_that SKIPPED)
	case $passed-$skipped in
	0-0)
		echo "  FAIL    $* ran no test"
		failed=1
		;;
	*-0) echo "  ok      $* ($passed)" ;;
	0-*) echo "  skip    $* ($skipped skipped)" ;;
	*) echo "  ok      $* ($passed, $skipped skipped)" ;;
	esac
	sed -n 's/^skipped: /            /p' "$log" | sort -u
}

# tests_that PASSED|SKIPPED: how many, by cmocka's summaries. That of Debian 13
# names the group of the skipped ones: "[  SKIPPED ] group: 1 test(s), ...".
tests_that() {
	awk -v what="$1" '$1 == "[" && $2 == what &&
	    match($0, /[0-9]+ test\(s\)/) { n += substr($0, RSTART) }
	    END { print n + 0 }' "$log"
}

show_logs() {
	find "$CHECK_LOGS" -type f 2>/dev/null | sort | while read -r f; do
		echo "  ---- ${f#"$CHECK_LOGS/"} ends:"
		tail -n 60 "$f" | sed 's/^/    /'
	done
}

suite() {
	echo "== $*, $(($(date +%s) - start)) s"
	cat "$log"
	line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
	if [ -z "$line" ]; then
		echo "  FAIL    $*: no summary (status $status)"
		failed=1
		return
	fi
	passed=${line%% passed*}
	failed=${line#*, }
	failed=${failed%% failed*}
	[ "$failed" = 0 ] || show_logs
}

# By what was printed: cmocka's list of the failed tests, and the lines of a
# suite that begin with FAIL.
names_that_failed() {
	sed -nE 's/^ *\[  FAILED  \] ([^ ]+)$/  \1/p
		s/^ *FAIL +(.*)$/  \1/p' | sort -u | head -n "$NAMES_MAX"
}

case $kind in
unit) max=$UNIT_MAX ;;
suite) max=$SUITE_MAX ;;
*)
	echo "check-one.sh: say unit or suite" >&2
	exit 2
	;;
esac
passed=0
failed=0
skipped=0
timeout --foreground -k 10 "$max" "$@" >"$log" 2>&1
status=$?
[ $status != 124 ] || echo "stopped after $max s without an end" >>"$log"
out=$($kind "$@"; echo "$passed $failed $skipped" >>"$counts")
printf '%s\n' "$out"
names=$(printf '%s\n' "$out" | names_that_failed)
[ -z "$names" ] || printf '%s\n%s\n' "$*" "$names" >>"$counts.failed"
