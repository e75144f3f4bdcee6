#!/bin/sh
# The first command on a fresh machine: make says nothing of tools that it is
# about to install, and a user who may not install them reads one clear line.
# Stand-ins for id, dpkg-query and sudo play the fresh machine. Ends with
# "N passed, N failed".
set -eu

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

said=$(make -n deps PKG_CONFIG="$fake/pkg-config" 2>&1 >"$fake/plan") || true
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

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
