# Sourced by scripts that drive provium from outside. The script sets
# $provium, and works in a directory of its own.
# shellcheck shell=sh disable=SC2154,SC2119,SC2120

passed=0
failed=0
name=
complaint=

# Ends the claim before and begins one. What follows is about it.
claim() {
	if [ -n "$name" ]; then
		if [ -z "$complaint" ]; then
			passed=$((passed + 1))
			echo "  ok      $name"
		else
			failed=$((failed + 1))
			echo "  FAIL    $name: $complaint"
			sed 's/^/    out: /' out
			sed 's/^/    err: /' err
		fi
	fi
	name=${1-}
	complaint=
	: >out
	: >err
}

complain() {
	[ -n "$complaint" ] || complaint=$*
}

# run STATUS ARGUMENT...: runs provium, keeps what it prints in out and err. One
# that hangs is a complaint of its own, before check-one.sh ends the script; a
# whole suite of guests on a busy host is not cut off.
run() {
	want=$1
	shift
	timeout 1200 "$provium" "$@" >out 2>err </dev/null
	got=$?
	[ "$got" = "$want" ] || complain "$*: status $got, not $want"
}

out() {
	grep -qF -e "$1" out || complain "no '$1' in the output"
}

err() {
	grep -qF -e "$1" err || complain "no '$1' in the errors"
}

no_out() {
	! grep -qF -e "$1" out || complain "'$1' in the output"
}

last_line() {
	[ "$(tail -n 1 out | sed 's/ (.*//')" = "$1" ] ||
	    complain "the last line is not '$1'"
}

# file NAME, with the text on standard input.
file() {
	mkdir -p "$(dirname "$1")"
	cat >"$1"
}

# Ends the last claim and counts.
claims_end() {
	claim
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
}
