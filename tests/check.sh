#!/bin/sh
# Runs tests and counts. Ends with a line "N passed, N failed".
#   check.sh unit BUILD_DIR PROGRAM...   cmocka programs
#   check.sh fuzz BUILD_DIR SECONDS      every fuzz target
#   check.sh all                         everything, with real guests
set -u

passed=0
failed=0
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT

# A cmocka program: its summary is counted, its output shown when it fails.
unit() {
	if "$@" >"$log" 2>&1; then
		n=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" |
		    awk '{ n += $1 } END { print n + 0 }')
		if [ "$n" = 0 ]; then
			echo "  FAIL    $* ran no test"
			failed=$((failed + 1))
			return
		fi
		passed=$((passed + n))
		echo "  ok      $* ($n)"
	else
		status=$?
		echo "  FAIL    $* (status $status)"
		sed 's/^/    /' "$log" | tail -n 60
		failed=$((failed + 1))
	fi
}

# Tests that provium runs: the closing "N passed, N failed" is counted.
suite() {
	"$@" 2>&1 | tee "$log"
	line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
	if [ -z "$line" ]; then
		echo "  FAIL    $*: no summary"
		failed=$((failed + 1))
		return
	fi
	p=${line%% passed*}
	f=${line#*, }
	f=${f%% failed*}
	passed=$((passed + p))
	failed=$((failed + f))
}

units_in() {
	find "$1/unit" -type f -perm -100 ! -name '*.d' | sort
}

case ${1-} in
unit)
	export PROVIUM_B="$2"
	shift 2
	for t in "$@"; do
		unit "$t"
	done
	;;
fuzz)
	# As many at a time as there are processors.
	find "$2/fuzz" -name 'fuzz_*' ! -name '*.d' | sort |
	    xargs -P "$(nproc)" -n 1 sh tests/fuzz/run.sh "$2" "$3" |
	    tee "$log"
	passed=$(grep -c '^  ok' "$log")
	failed=$(grep -c '^  FAIL' "$log")
	[ "$passed" -gt 0 ] || failed=$((failed + 1))
	;;
all)
	. tests/check-all.sh
	;;
*)
	echo "check.sh: say unit, fuzz or all" >&2
	exit 2
	;;
esac

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
