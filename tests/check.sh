#!/bin/sh
# Runs tests and counts. Ends with a line "N passed, N failed".
#   check.sh unit BUILD_DIR PROGRAM...   cmocka programs
#   check.sh memcheck PROGRAM...         cmocka programs under valgrind
#   check.sh fuzz BUILD_DIR SECONDS      every fuzz target
#   check.sh all                         everything, with real guests
set -u

passed=0
failed=0
log=$(mktemp) || exit 2
# A place of this run's own for temporary files and runtime directories, whose
# name also marks, in their environment, the processes of this run: others may
# be on the machine.
own=$(mktemp -d "${TMPDIR:-/tmp}/c.XXXXXX") || exit 2
trap 'rm -rf "$log" "$own"' EXIT
trap 'exit 130' INT TERM HUP
mkdir -m 700 "$own/t" "$own/r"
export TMPDIR="$own/t" XDG_RUNTIME_DIR="$own/r" CHECK_LOGS="$own/logs"

marked() {
	TMPDIR='' grep -lsxz "TMPDIR=$own/t" /proc/[0-9]*/environ
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
		echo "  FAIL    still running: $(ps -o pid=,args= -p \
		    "$(basename "${f%/environ}")")"
		kill -9 "$(basename "${f%/environ}")"
		failed=$((failed + 1))
	done
	for f in $(cd "$own" && find t r -mindepth 1 -maxdepth 1); do
		echo "  FAIL    left behind: $f"
		failed=$((failed + 1))
	done
}

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
		sed 's/^/    /' "$log" | tail -n 500
		failed=$((failed + 1))
	fi
}

# The ends of the logs that `run --artifacts $CHECK_LOGS` kept of what failed:
# where this runs unattended, nobody can look at them later.
show_logs() {
	find "$CHECK_LOGS" -type f 2>/dev/null | sort | while read -r f; do
		echo "  ---- ${f#"$CHECK_LOGS/"} ends:"
		tail -n 60 "$f" | sed 's/^/    /'
	done
	rm -rf "$CHECK_LOGS"
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
	[ "$f" = 0 ] || show_logs
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
memcheck)
	shift
	for t in "$@"; do
		unit valgrind -q --error-exitcode=9 --leak-check=full \
		    --errors-for-leak-kinds=definite \
		    --suppressions=tests/valgrind.supp "$t"
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
	echo "check.sh: say unit, memcheck, fuzz or all" >&2
	exit 2
	;;
esac

leftovers
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
