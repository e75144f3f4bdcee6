#!/bin/sh
# The first commands in a checkout: make says nothing of tools that it is about
# to install, a user who may not install them reads one clear line, and provium
# loads every test file that it finds. Stand-ins for id, dpkg-query and sudo
# play the fresh machine. Ends with "N passed, N failed".
#   fresh.sh PROVIUM
set -eu

provium=$(readlink -f "$1")
cd "$(dirname "$0")/../.."
fake=$(mktemp -d "${TMPDIR:-/tmp}/provium-fresh.XXXXXX")
trap 'rm -rf "$fake"' EXIT
passed=0
failed=0

# is WHAT GOT EXPECTED
is() {
	if [ "$2" = "$3" ]; then
		passed=$((passed + 1))
		echo "  ok      $1"
	else
		failed=$((failed + 1))
		echo "  FAIL    $1: got '$2', expected '$3'"
	fi
}

# stand_in NAME BODY: the next calls of NAME run BODY.
stand_in() {
	printf '#!/bin/sh\n%s\n' "$2" >"$fake/$1"
	chmod +x "$fake/$1"
}

said=$(MAKEFLAGS="" make --no-print-directory -n deps PKG_CONFIG="$fake/pkg-config" 2>&1 >"$fake/plan") || true
is "make deps is silent where pkg-config is absent" "$said" ""
is "make deps runs deps.sh" "$(cat "$fake/plan")" "sh tests/deps.sh build"

stand_in id 'echo 1000'
stand_in dpkg-query 'exit 1'
stand_in sudo 'echo "user is not in the sudoers file." >&2; exit 1'
status=0
said=$(PATH="$fake:$PATH" sh tests/deps.sh build 2>&1 >/dev/null) || status=$?
is "a user whom sudo refuses ends deps.sh with status 1" "$status" 1
is "the refusal is one line" "$(echo "$said" | wc -l)" 1
case $said in
"deps.sh: sudo does not let you run apt-get; as root run: apt-get install"*\ make\ *)
	is "the line names the command that root runs" yes yes ;;
*) is "the line names the command that root runs" "$said" "..." ;;
esac

# installs_with BODY: runs deps.sh with that sudo; the command lines of apt-get
# that install are in $fake/ran.
installs_with() {
	stand_in sudo "$1"
	rm -f "$fake/ran"
	PATH="$fake:$PATH" sh tests/deps.sh build >/dev/null 2>&1 || true
	sed -i '/ -qq /!d; s/-qq .*//' "$fake/ran"
}

installs_with "echo \"\$*\" >>'$fake/ran'"
is "sudo passes on that apt-get is to ask nothing" "$(sort -u "$fake/ran")" \
    "DEBIAN_FRONTEND=noninteractive apt-get "
installs_with "case \$1 in *=*) exit 1 ;; esac; echo \"\$*\" >>'$fake/ran'"
is "apt-get runs where sudo passes on no variable" "$(sort -u "$fake/ran")" \
    "apt-get "

# Suites that need a set-up are started by their scripts alone.
status=0
"$provium" list tests/ >"$fake/list" 2>&1 || status=$?
is "provium list tests/ loads every file" "$status" 0
found=$(sed -n 's|^tests/\([^/]*\)/.*\.test\.lua$|\1|p' "$fake/list" | sort -u |
    tr '\n' ' ')
is "it finds the suites that need no set-up" "$found" \
    "conformance demo e2e smoke "

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
