#!/bin/sh
# Every static check, one line each; exits 1 when one complains.
set -u

fail=0
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT

check() {
	name=$1
	shift
	if "$@" >"$log" 2>&1; then
		echo "  ok      $name"
		sed -n 's/^note: /          /p' "$log"
	else
		echo "  FAIL    $name"
		sed 's/^/    /' "$log" | head -n 60
		fail=1
	fi
}

files() {
	git ls-files --cached --others --exclude-standard "$@"
}
ch_files=$(files '*.c' '*.h')
sh_files=$(files '*.sh' .ci/run)

headers_alone() {
	for h in $(files '*.h'); do
		# shellcheck disable=SC2046 # a list of words
		gcc -std=gnu11 -D_GNU_SOURCE -I. -Wall -Wextra \
		    -Wno-unused-function $(pkg-config --cflags luajit) \
		    -fsyntax-only -x c "$h" || return 1
	done
}

tidy() {
	files '*.c' | grep -v '^tests/' |
	    xargs -P "$(nproc)" -n 4 sh tests/lint/tidy.sh
}

# It looks into no system header; the queues' macros it must know to parse.
cppcheck_all() {
	queues=$(echo '#include <sys/queue.h>' | gcc -E -x c - |
	    sed -n 's/^# 1 "\(.*queue\.h\)".*/\1/p')
	cppcheck --include="$queues" --quiet --error-exitcode=1 --std=c11 \
	    --inline-suppr --enable=warning,performance,portability -I. -D_GNU_SOURCE \
	    -D__linux__ -j "$(nproc)" \
	    --suppressions-list=tests/lint/cppcheck.txt \
	    agent-proto streams vmm runner cmd
}

codespell_all() {
	# shellcheck disable=SC2046 # a list of words
	codespell -q 3 -L "$(tr '\n' ',' <tests/lint/words.txt)" \
	    $(files '*.c' '*.h' '*.md' '*.sh' '*.lua' '*.1' Makefile)
}

man_pages() {
	mandoc -Tlint -W warning docs/*.1
}

# shellcheck disable=SC2086 # lists of words, all through
check "clang-format" clang-format --dry-run -Werror $ch_files
check "sizes" sh tests/lint/limits.sh
check "headers compile alone" headers_alone
check "names of static functions" python3 tests/lint/names.py
built=
[ ! -e build/release/libagent-proto.a ] || built=build/release
# shellcheck disable=SC2086 # a directory or none
check "arrows between folders" python3 tests/lint/layers.py $built
[ -z "$built" ] || check "mutable globals" sh tests/lint/globals.sh "$built"
# shellcheck disable=SC2086
check "shellcheck" shellcheck $sh_files
check "codespell" codespell_all
check "man pages" man_pages
check "protocol page" python3 tests/lint/protocol.py --check
check "API reference" python3 tests/lint/api.py --check
check "cppcheck" cppcheck_all
check "clang-tidy" tidy
exit $fail
