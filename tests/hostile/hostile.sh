#!/bin/sh
# Guests that mean harm, seen from inside of tests and from outside. Ends with
# "N passed, N failed".
#   hostile.sh PROVIUM HOSTILE_AGENT PACKETS
set -u

provium=$(readlink -f "$1")
PROVIUM_AGENT=$(readlink -f "$2")
PACKETS=$(readlink -f "$3")
export PROVIUM_AGENT PACKETS
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/ill.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
export XDG_RUNTIME_DIR="$work/runtime"
mkdir -m 700 "$XDG_RUNTIME_DIR"
cd "$work" || exit 2

. "$top/tests/e2e/claims.sh"

# By their environment: nothing that was started here still runs.
nothing_left() {
	left=$(TMPDIR='' grep -lsxz "XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR" \
	    /proc/[0-9]*/environ | while read -r f; do
		case $(readlink "${f%environ}exe" 2>/dev/null) in
		"$provium" | *qemu*) echo "${f%/environ}" ;;
		esac
	done)
	[ -z "$left" ] || complain "processes are left: $left"
	left=$(find "$XDG_RUNTIME_DIR" -mindepth 2 | head -n 3)
	[ -z "$left" ] || complain "left behind: $left"
}

if [ "${4-}" != brief ]; then
claim "they are held in bounds, and what is beside them goes on"
# provium takes files whose names end in .test.lua.
mkdir hostile
ln -s "$top/tests/hostile/host.lua" hostile
for f in "$top"/tests/hostile/*.scripted.lua; do
	link=${f##*/}
	ln -s "$f" "hostile/${link%.scripted.lua}.test.lua"
done
if ! "$provium" run -j2 hostile >suite 2>&1; then
	complain "$(grep -c FAIL suite) tests failed"
	cat suite
fi
grep -E '^[0-9]+ passed' suite
nothing_left
fi

# What a user sees: the words, the status, the file beside it.
file ill/a.test.lua <<'END'
local vm = provium:vm("ill", {kernel_cmdline_append = "hostile=on"}):boot()
test("says what is no frame", function() vm:mkdir("hostile:noise") end)
test("is told that it is dead", function() vm:stat("/") end)
END
file ill/b.test.lua <<'END'
local vm = provium:vm("ill", {kernel_cmdline_append = "hostile=on"}):boot()
test("gets no answer", {timeout = 2}, function() vm:mkdir("hostile:never") end)
test("says what would be shown", function() vm:stat("hostile:escapes") end)
END
file ill/well.test.lua <<'END'
test("is well", function(t)
  t:assert(provium:vm("well"):boot():run("true"):ok())
end)
END
claim "each fails by its own reason, in time, and one beside them passes"
GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY="$work/summary" \
    run 1 run -j2 --events events --junit junit ill
cp out seen
out "vm:mkdir: VM ill: the agent broke the protocol: what it sent is no frame"
out "vm:stat: VM 'ill' is dead: declare a new one: VM ill: the agent broke the protocol: what it sent is no frame"
out "timed out after 2"
out "1 passed, 4 failed"
nothing_left

# The escape of a terminal, and a command of GitHub's at the start of a line.
claim "the agent's words cannot speak to a terminal, nor to a CI"
grep -qF '\x1b]0;owned\x07' seen || complain "its words are not shown"
! grep -q "$(printf '\033')" seen || complain "an escape in the output"
! grep -q '^::error::owned' seen || complain "a command of the guest's"

claim "nor do they where a terminal is"
printf 'test("a", function() error("\\27[2Jtext\\7") end)\n' | file tty/a.test.lua
script -qec "'$provium' run tty" /dev/null >out 2>err </dev/null
out '\x1b[2Jtext\x07'
! grep -q "$(printf '\033\\[2Jtext')" out || complain "an escape of the test's"

claim "nor to those who read the reports"
run 1 report --html page events
for f in junit page events summary; do
	[ -s $f ] || complain "no $f"
	! LC_ALL=C grep -q "$(printf '[\001-\010\013\014\016-\037]')" $f ||
	    complain "a control character in $f"
done
! grep -q '<script>owned' junit page summary || complain "the guest's markup"

claims_end
