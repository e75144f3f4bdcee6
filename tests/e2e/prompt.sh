#!/bin/sh
# What the prompt of --debug-on-failure sees of the test that failed. Ends with
# "N passed, N failed".
#   prompt.sh PROVIUM
set -u

provium=$(readlink -f "$1")
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/prompt.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
export XDG_RUNTIME_DIR="$work/runtime"
mkdir -m 700 "$XDG_RUNTIME_DIR"
cd "$work" || exit 2

. "$top/tests/e2e/claims.sh"

# hold FILE: runs it, and types what is on standard input at the prompt.
hold() {
	cat >typed
	timeout 120 "$provium" run --no-history --debug-on-failure "$1" \
	    >out 2>err <typed
	got=$?
	[ "$got" = 1 ] || complain "$1: status $got"
}

no_err() {
	! grep -qF -e "$1" err || complain "'$1' in the errors"
}

claim "a variable is there by its name, the innermost of equal names"
file a.test.lua <<'END'
local limit = 3
test("fails", function(t)
  local server = {port = 80}
  local x = "outer"
  local missing
  do local gone = "over" end
  do
    local x = "inner"
    t:assert_eq(server.port, limit)
  end
end)
END
hold a.test.lua <<'END'
server.port
"it is " .. x
limit + 1
missing
gone
t.name
END
err "provium> 80"
err 'provium> "it is inner"'
err "provium> 4"
err 'provium> "fails"'
[ "$(grep -c '^provium> nil$' err)" = 2 ] || complain "not two nils"
no_err '"over"'
last_line "0 passed, 1 failed"

claim "an assignment changes the variable, for the test's functions too"
file a.test.lua <<'END'
local limit = 3
test("fails", function(t)
  local step = 1
  local plain = "old"
  local function next_limit() return limit + step end
  t:assert_eq(next_limit(), 5)
  return plain
end)
END
hold a.test.lua <<'END'
next_limit()
step = 10
step
next_limit()
limit = 30
next_limit()
plain = "new"
plain
unknown = "a global"
_G.unknown
_G.plain
END
err "provium> 4"
err "provium> 10"
err "provium> 13"
err "provium> 40"
err 'provium> "new"'
err 'provium> "a global"'
err "provium> nil"

claim "the frame of the test's file comes first; the others can be chosen"
file helper.lua <<'END'
local M = {}
function M.check(value)
  local wanted = value + 1
  assert(value == wanted, "not wanted")
end
return M
END
file a.test.lua <<'END'
local helper = require("helper")
local function outer(t)
  local depth = "in outer"
  helper.check(7)
  return t, depth
end
test("fails", function(t)
  local depth = "in the test"
  outer(t)
  return depth
end)
END
LUA_PATH="$work/?.lua;;" hold a.test.lua <<'END'
depth
wanted
frames()
frame(1)
wanted
frame(3)
depth
frame(4)
depth
locals()
END
err 'provium> "in outer"'
err "provium> nil"
err "   1  helper.lua:4: in"
err " > 2  a.test.lua:4: in"
err "   3  a.test.lua:9: in"
err "provium> 8"
[ "$(grep -c '^provium> "in the test"$' err)" = 2 ] ||
    complain "frame(3) was not kept"
err "frame: there are the frames 1 to 3, got 4"
err '  depth = "in the test"'

claim "an error in a task shows the task's variables, and the test's"
file a.test.lua <<'END'
test("fails", function(t)
  local mine = "of the test"
  provium.all(function()
    local n = 7
    local none = nil
    return none.field + n
  end, function() end)
  return t, mine
end)
END
hold a.test.lua <<'END'
n
frames()
frame(2)
mine
END
err "provium> 7"
err " > 1  a.test.lua:6: in"
err "   2  a.test.lua:3: in"
err 'provium> "of the test"'

claim "a failure that a pcall swallowed keeps its variables"
file a.test.lua <<'END'
test("fails", function(t)
  local function check(value)
    local doubled = 2 * value
    t:assert_eq(doubled, 5)
  end
  pcall(check, 21)
  pcall(error, "another one")
end)
END
hold a.test.lua <<'END'
doubled
END
err "provium> 42"

claim "the attempt that is held is the last one"
file a.test.lua <<'END'
local n = 0
test("fails", {retries = 2}, function(t)
  n = n + 1
  local attempt = n
  t:assert_eq(attempt, 0)
end)
END
hold a.test.lua <<'END'
attempt
END
err "provium> 3"

claim "a stack that overflows is held as well"
file a.test.lua <<'END'
test("fails", function()
  local function climb(n)
    return 1 + climb(n + 1)
  end
  climb(0)
end)
END
hold a.test.lua <<'END'
n > 100
"still " .. "there"
END
err "provium> true"
err 'provium> "still there"'

claims_end
