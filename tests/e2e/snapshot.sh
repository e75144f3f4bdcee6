#!/bin/sh
# Snapshots beyond one run: kept, found again, swept. Ends with "N passed, N
# failed".
#   snapshot.sh PROVIUM
set -u

provium=$(readlink -f "$1")
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/snapshot.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
export XDG_RUNTIME_DIR="$work/runtime" TMPDIR="$work/spool"
mkdir -m 700 "$XDG_RUNTIME_DIR" "$TMPDIR"
cd "$work" || exit 2

. "$top/tests/e2e/claims.sh"

file take/a.test.lua <<'END'
test("takes", function(t)
  local vm = provium:vm("a"):boot()
  vm:write_file("/tmp/kept", "from another run")
  vm:run("echo said-by-the-first >/dev/console")
  vm:console():expect("said-by-the-first", 60)
  vm:snapshot("../kept")
end)
END
file find/a.test.lua <<'END'
test("finds", function(t)
  local vm = provium:vm("b"):restore("../kept")
  t:assert_eq(vm:read_file("/tmp/kept"), "from another run")
  vm:console():expect("said-by-the-first", 60)
  vm:reset()
  t:assert_eq(vm:run("uname -s").stdout, "Linux\n")
end)
END
file die/a.test.lua <<'END'
test("dies", function(t)
  local vm = provium:vm("a"):restore("../kept")
  vm:snapshot()
  vm:snapshot("../killed")
  vm:run("dd if=/dev/urandom of=/tmp/d bs=1M count=64")
  provium.all(
    function() vm:snapshot("../killed") end,
    function()
      -- Paths of io are those of the process.
      while not io.open("killed/info.tmp") do coroutine.yield() end
      os.execute("kill -9 $PPID")
    end)
end)
END
file again/a.test.lua <<'END'
test("replaces what was killed", function(t)
  local vm = provium:vm("a"):restore("../kept")
  local ok, err = pcall(vm.restore, vm, "../killed")
  t:assert(not ok)
  t:assert_contains(tostring(err), "there is no snapshot in")
  vm:snapshot("../killed")
  vm:restore("../killed")
  t:assert_eq(vm:read_file("/tmp/kept"), "from another run")
end)
END
file none/a.test.lua <<'END'
test("nothing", function() end)
END

claim "a snapshot with a path is kept, and another run restores it"
run 0 run take
[ -f kept/info.json ] || complain "no kept/info.json"
run 0 run find
out "1 passed, 0 failed"

claim "a worker that is killed while it takes one fails the run"
run 1 run die
[ ! -f killed/info.json ] || complain "killed/info.json is there"

claim "what it was writing is no snapshot, and is replaced"
run 0 run again
[ -f killed/info.json ] || complain "no killed/info.json"

claim "what killed runs left of temporary ones is swept at the next start"
run 0 run none
left=$(ls "$TMPDIR")
[ -z "$left" ] || complain "left: $left"

claim "a kept one is refused where its kernel has changed"
sed -i 's|"kernel": ".*"|"kernel": "/etc/passwd"|' kept/info.json
run 1 run find
out "the kernel '/etc/passwd' is not what it was"

claims_end
