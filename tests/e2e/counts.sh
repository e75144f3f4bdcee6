#!/bin/sh
# How tests/check.sh counts a unit program: by what it prints, here that of
# stand-ins. Ends with "N passed, N failed".
set -eu

cd "$(dirname "$0")/../.."
work=$(mktemp -d "${TMPDIR:-/tmp}/provium-counts.XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# says WHAT TEXT: whether check.sh printed such a line for the last program.
says() {
	if grep -qxF -e "$2" "$work/out"; then
		passed=$((passed + 1))
		echo "  ok      $1"
	else
		failed=$((failed + 1))
		echo "  FAIL    $1: no line '$2' in"
		sed 's/^/    /' "$work/out"
	fi
}

# count NAME STATUS LINE...: counts a program that prints these lines.
count() {
	program=$work/$1
	printf '#!/bin/sh\nprintf "%%s\\n" %s\nexit %s\n' \
	    "$(shift 2; printf " '%s'" "$@")" "$2" >"$program"
	chmod +x "$program"
	sh tests/check.sh unit build/release "$program" >"$work/out" 2>&1 || true
}

count some 0 'skipped: there is no netem' '[  SKIPPED ] one' \
    'skipped: there is no netem' '[  SKIPPED ] two' \
    '[  PASSED  ] 3 test(s).' '[  SKIPPED ] 2 test(s), listed below:'
says "some tests are skipped" "  ok      $program (3, 2 skipped)"
says "their reason is shown" "            there is no netem"
says "both are counted" "3 passed, 0 failed, 2 skipped"

count none 0 'skipped: no network namespace can be made' '[  SKIPPED ] one' \
    '[  PASSED  ] 0 test(s).' '[  SKIPPED ] 1 test(s), listed below:'
says "a program that skips all its tests is skipped" \
    "  skip    $program (1 skipped)"
says "its reason is shown" "            no network namespace can be made"

count named 0 'skipped: there is no TAP' '[  SKIPPED ] one' \
    '[  PASSED  ] 0 test(s).' '[  SKIPPED ] net 2: 1 test(s), listed below:'
says "a skipped group that is named is counted" "  skip    $program (1 skipped)"

count nothing 0 '[  PASSED  ] 0 test(s).'
says "a program that runs no test fails" "  FAIL    $program ran no test"
says "that is counted" "0 passed, 1 failed"

count bad 1 'skipped: no reason' '[  PASSED  ] 0 test(s).' \
    '[  SKIPPED ] 1 test(s), listed below:'
says "a status that is not 0 fails" "  FAIL    $program (status 1)"
says "what failed is named at the end" "== what failed"

count red 1 '[  FAILED  ] a_test_of_it' '[  PASSED  ] 1 test(s).' \
    '[  FAILED  ] 1 test(s), listed below:' '[  FAILED  ] a_test_of_it'
says "the program that failed is named" "$program"
says "its failed test is named" "  a_test_of_it"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
