#!/bin/sh
# Fixtures: what is built once and restored by all, and what has it built again.
# Ends with "N passed, N failed".
#   fixture.sh PROVIUM
set -u

provium=$(readlink -f "$1")
top=$(cd "$(dirname "$0")/../.." && pwd)
image=$("$provium" guest path) || exit 2
work=$(mktemp -d "${TMPDIR:-/tmp}/fix.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
unset NO_COLOR GITHUB_ACTIONS
export XDG_RUNTIME_DIR="$work/runtime" PROVIUM_CACHE_DIR="$work/cache"
mkdir -m 700 "$XDG_RUNTIME_DIR"
mkdir -p "$work/cache/guests"
cp -R "$image" "$work/cache/guests/"
cd "$work" || exit 2
. "$top/tests/e2e/claims.sh"

file provium.lua <<'END'
return {roots = {"t"}}
END
file t/helper.lua <<'END'
return {version = 1}
END
file t/pushed.txt <<'END'
pushed
END
file t/opened.txt <<'END'
opened
END
file t/named.txt <<'END'
named
END
file t/fix/base.fixture.lua <<'END'
local helper = require("helper")
provium:depends_on_file("../named.txt")
print("version " .. helper.version, os.getenv("FLAVOUR"))
local vm = provium:vm("base"):boot()
vm:push_file("../pushed.txt", "/pushed")
vm:write_file("/opened", io.open("t/opened.txt"):read("*a"))
vm:snapshot()
return vm:snapshot()
END
file t/fix/more.fixture.lua <<'END'
local vm = provium.vm_fixture("fix/base")
vm:write_file("/more", "more")
return vm:snapshot()
END
file t/use.test.lua <<'END'
test("it is fresh each time", function(t)
  for _ = 1, 2 do
    local vm = provium.vm_fixture("fix/base")
    t:assert_eq(vm:read_file("/pushed"), "pushed\n")
    vm:write_file("/pushed", "spoilt")
  end
end)
END
file t/many.test.lua <<'END'
test("many of it at a time", function(t)
  local work = {}
  for i = 1, 4 do
    work[i] = function()
      return provium.vm_fixture("fix/more", "vm" .. i):read_file("/more")
    end
  end
  t:assert_eq({provium.all(unpack(work))}, {"more", "more", "more", "more"})
end)
END
entries() {
	find cache/fixtures -name fixture.json | wc -l
}

claim "what there is, and that nothing is built yet"
run 0 fixture list
out "  -      fix/base  it has not been built yet"
out "  -      fix/more  it has not been built yet"
run 1 fixture stale fix/base

claim "run builds what it needs, and says how long that took and what it printed"
run 0 run -v t/use.test.lua
grep -q "^  built t/fix/base.fixture.lua  .* s  (first build)$" out ||
    complain "no reason"
out "version 1"
last_line "1 passed, 0 failed"

claim "the next run has it from the cache"
run 0 run t/use.test.lua
no_out "built"
run 0 fixture stale fix/base
run 0 fixture list fix/base
out "  ready  fix/base"

claim "only what is returned is kept"
[ "$(find cache/fixtures -name ram | wc -l)" = 1 ] || complain "more than one"

claim "a fixture begins with another, and files share them"
run 0 run -j2 t/many.test.lua t/use.test.lua
out "built t/fix/more.fixture.lua"
no_out "built t/fix/base.fixture.lua"
last_line "2 passed, 0 failed"

claim "its RAM is shared with the one that it began with"
[ "$(find cache/fixtures -name ram -links 2 | wc -l)" = 2 ] ||
    complain "no two links"

# Changed, what it says, and back: then the old one is good again.
changes() {
	claim "$1 has it built again"
	run 1 fixture stale fix/base
	out "$2"
}

echo changed >t/pushed.txt
changes "a file that was pushed" "pushed.txt' has changed"
run 1 fixture stale fix/more
out "fixture '"
echo pushed >t/pushed.txt
run 0 fixture stale

echo changed >t/opened.txt
changes "a file that was opened" "opened.txt' has changed"
echo opened >t/opened.txt

echo changed >t/named.txt
changes "a file that was named" "named.txt' has changed"
echo named >t/named.txt

echo 'return {version = 2}' >t/helper.lua
changes "a module" "helper.lua' has changed"
echo 'return {version = 1}' >t/helper.lua

FLAVOUR=x
export FLAVOUR
changes "a variable of the environment" "\$FLAVOUR has changed"
unset FLAVOUR

cat >provium.lua <<'END'
return {roots = {"t"}, profiles = {default = {memory = "300M"}}}
END
changes "the profile" "the memory of the default profile has changed"
cat >provium.lua <<'END'
return {roots = {"t"}}
END

claim "a file that was only touched does not"
touch t/pushed.txt t/fix/base.fixture.lua
run 0 fixture stale

claim "a template that a fixture's own options name counts, with what it lies on"
mkdir disk
cat >t/fix/disk.fixture.lua <<'END'
local vm = provium:vm("disk", {disks = {{template = "../../disk/over.qcow2"}}})
vm:boot()
return vm:snapshot()
END
# An empty qcow2 image of 64 KiB over base.img: header, refcounts, a table.
python3 - <<'END'
import struct
head = b"QFI\xfb" + struct.pack(">IQIIQIIQQIIQQQQII", 3, 512, 8, 16, 65536, 0, 1,
                                3 * 65536, 65536, 1, 0, 0, 0, 0, 0, 4, 104)
head += struct.pack(">II", 0xe2792aca, 3) + b"raw"
parts = [head.ljust(512, b"\0") + b"base.img", struct.pack(">Q", 2 * 65536),
         b"\0\1" * 4, b""]
open("disk/over.qcow2", "wb").write(b"".join(p.ljust(65536, b"\0") for p in parts))
END
head -c 65536 /dev/zero >disk/base.img
run 0 fixture build fix/disk
run 0 fixture stale fix/disk
echo changed >disk/base.img
run 1 fixture stale fix/disk
out "the image '"
run 0 fixture list fix/disk
out "over.qcow2' of disk 'disk0' is not what it was"
run 0 fixture build fix/disk
run 0 fixture stale fix/disk
rm t/fix/disk.fixture.lua

claim "what was built before a change is good again after it is undone"
n=$(entries)
echo changed >t/named.txt
run 0 fixture build fix/base
out "built  fix/base"
[ "$(entries)" = $((n + 1)) ] || complain "not one more"
echo named >t/named.txt
run 0 fixture build fix/base
out "ready  fix/base"

claim "rebuild builds in any case"
run 0 fixture rebuild fix/base
out "built  fix/base"

claim "two that build at a time: one does, the other waits"
run 0 fixture clean fix/base
"$provium" fixture build fix/base >one 2>&1 &
run 0 fixture build fix/base
wait
[ "$(cat one out | grep -c '^built')" = 1 ] || complain "$(cat one)"
[ "$(cat one out | grep -c '^ready')" = 1 ] || complain "$(cat one)"
grep -q "waiting for another process" one err || complain "none waited"

claim "a build says what had changed since the last one"
run 0 run t/use.test.lua
echo changed >t/opened.txt
run 0 run t/use.test.lua
grep -q "^  built t/fix/base.fixture.lua  .* s  (file '.*/t/opened.txt' has changed)$" \
    out || complain "no reason"
echo opened >t/opened.txt
run 0 run t/use.test.lua
no_out "built"
echo "-- changed" >>t/fix/base.fixture.lua
run 0 run t/use.test.lua
grep -q "^  built t/fix/base.fixture.lua  .* s  (its file has changed)$" out ||
    complain "no reason"
run 0 fixture clean fix/base
run 0 fixture build fix/base

claim "a damaged one is built again"
ram=$(find cache/fixtures/base-* -name ram)
printf x | dd of="$ram" bs=1 seek=1048577 conv=notrunc 2>/dev/null
run 0 run t/use.test.lua
grep -q "^  built t/fix/base.fixture.lua  .* s  (.*damaged.*)$" out ||
    complain "no reason"

claim "so is one that is cut"
for f in cache/fixtures/base-*/*/*/state; do
	: >"$f"
done
run 0 run t/use.test.lua
out "built t/fix/base.fixture.lua"

claim "and one without its description"
rm cache/fixtures/base-*/*/*/info.json
run 0 run t/use.test.lua
out "built t/fix/base.fixture.lua"

claim "a build that is killed leaves nothing that counts, and the next one works"
run 0 fixture clean fix/base
"$provium" fixture build fix/base >out 2>err &
building=$!
until grep -q "building fix/base" err || ! kill -0 "$building"; do
	sleep 0.05
done
kill -KILL "$building"
wait "$building"
run 1 fixture stale fix/base
run 0 fixture build fix/base
[ "$(find cache/fixtures -name 'tmp-*' | wc -l)" = 0 ] || complain "tmp-*"

# Each file of a snapshot in its turn is the one that finds no room.
claim "a full disk is an error wherever it is met, and nothing is kept"
run 0 fixture clean fix/base
map=
[ "$(id -u)" = 0 ] || map=-r
for size in 100k 330k 500k 40m 70m 75m 77m; do
	# shellcheck disable=SC2086,SC2016 # an option or none; for the shell in it
	unshare $map -m sh -c '
	    mount -t tmpfs -o size=$1 none cache/fixtures || exit 9
	    "$2" fixture build fix/base
	    status=$?
	    find cache/fixtures -name fixture.json -o -name "tmp-*" |
	        grep . && exit 8
	    exit $status' sh "$size" "$provium" >out 2>err
	got=$?
	[ "$got" = 1 ] || complain "with $size: status $got, not 1"
	grep -q "the file system at '$work/cache/fixtures' (.* MiB) is full" \
	    err ||
	    complain "with $size: no word of it"
done
run 1 fixture stale fix/base

claim "what does not fit into cache_max_size goes, the longest unused first"
cat >provium.lua <<'END'
return {roots = {"t"}, cache_max_size = "1M"}
END
run 0 fixture build fix/base
echo changed >t/named.txt
run 0 fixture build fix/base
run 1 fixture stale fix/more
[ "$(entries)" -le 2 ] || complain "$(entries) are left"
echo named >t/named.txt
cat >provium.lua <<'END'
return {roots = {"t"}}
END

claim "fixtures that need each other say so"
file t/a.fixture.lua <<'END'
return provium.vm_fixture("b"):snapshot()
END
file t/b.fixture.lua <<'END'
return provium.vm_fixture("a"):snapshot()
END
run 1 fixture build a
err "fixtures need each other: "
rm t/a.fixture.lua t/b.fixture.lua

claim "a fixture that fails is built once in a run, and told in lines"
file t/worse.fixture.lua <<'END'
local f = io.open(os.getenv("BUILDS"), "a")
f:write("built\n")
f:close()
error("no space\nleft on it")
END
for file in a b; do
	file once/$file.test.lua <<'END'
for i = 1, 2 do
  test("asks " .. i, function(t) provium.vm_fixture("worse") end)
end
END
done
export BUILDS="$work/builds"
run 1 run --jobs 1 once
[ "$(wc -l <"$BUILDS")" = 1 ] || complain "built $(wc -l <"$BUILDS") times"
out "cannot be built: "
out "worse.fixture.lua:4: no space"
out "        left on it"
out "(it was built once in this run)"
run 1 run --jobs 1 once
[ "$(wc -l <"$BUILDS")" = 2 ] || complain "not built by the next run"

claim "so is one that ends its process"
file t/exits.fixture.lua <<'END'
local f = io.open(os.getenv("BUILDS"), "a")
f:write("built\n")
f:close()
require("ffi").cdef("void _exit(int);")
require("ffi").C._exit(7)
END
file exits/a.test.lua <<'END'
for i = 1, 2 do
  test("asks " .. i, function(t) provium.vm_fixture("exits") end)
end
END
: >"$BUILDS"
run 1 run exits
[ "$(wc -l <"$BUILDS")" = 1 ] || complain "built $(wc -l <"$BUILDS") times"
out "exits.fixture.lua' cannot be built: exited with status 7"
rm t/exits.fixture.lua

claim "side by side it is built once, too, and so is one that it begins with"
file t/worst.fixture.lua <<'END'
return provium.vm_fixture("worse"):snapshot()
END
sed -i '1i while not (io.open("here.a") and io.open("here.b")) do \
  os.execute("sleep 0.1") end' t/worse.fixture.lua
for file in a b; do
	file beside/$file.test.lua <<END
test("asks", function(t)
  io.open("here.$file", "w"):close()
  provium.vm_fixture("$([ $file = a ] && echo worse || echo worst)")
end)
END
done
: >"$BUILDS"
run 1 run --jobs 2 --cpus 8 beside
[ "$(wc -l <"$BUILDS")" = 1 ] || complain "built $(wc -l <"$BUILDS") times"
[ "$(grep -c 'worse.fixture.lua:6: no space' out)" = 2 ] ||
    complain "not told twice"
out "(it was built once in this run)"
unset BUILDS
rm t/worse.fixture.lua

claim "what fails says where"
file t/bad.fixture.lua <<'END'
local x = 1
error("no good")
END
file t/bad.test.lua <<'END'
test("it is told", function(t)
  local err = t:assert_raises(function() provium.vm_fixture("bad") end)
  t:assert_contains(err, "bad.fixture.lua' cannot be built: ")
  t:assert_contains(err, "bad.fixture.lua:2: no good")
end)
test("what is none", function(t)
  local err = t:assert_raises(function() provium.vm_fixture("fix/bas") end)
  t:assert_contains(err, "there is no fixture 'fix/bas'")
  t:assert_contains(err, "fix/base")
end)
test("another kind", function(t)
  local err = t:assert_raises(function() provium.lab_fixture("fix/base") end)
  t:assert_contains(err, "is a fixture of a VM: call vm_fixture")
end)
test("a name that is taken", function(t)
  provium:vm("base")
  local err = t:assert_raises(function() provium.vm_fixture("fix/base") end)
  t:assert_contains(err, "'base' is the name of something else here")
end)
END
run 0 run t/bad.test.lua
run 1 fixture build bad
err "t/bad.fixture.lua:2: no good"
rm t/bad.*

claim "what returns no snapshot says so"
file t/none.fixture.lua <<'END'
return 1
END
run 1 fixture build none
err "must return a snapshot, of vm:snapshot() or lab:snapshot()"
rm t/none.fixture.lua

claim "a lab"
file t/pair.fixture.lua <<'END'
local lab = provium:lab("l")
lab:bridge("lan"):attach({lab:vm("a"), lab:vm("b")})
lab:boot()
lab:bridge("lan"):add_latency(1):seed(3)
return lab:snapshot()
END
file t/pair.test.lua <<'END'
for i = 1, 2 do
  test("it stands, time " .. i, function(t)
    local lab = provium.lab_fixture("pair")
    t:assert_eq(lab:vm_names(), {"a", "b"})
    t:assert_eq(lab.lan:latency_ms(), 1)
    t:assert(lab.a:run("ping -c 1 -w 30 b"):ok())
    lab.lan:reset()
    lab.a:shutdown()
  end)
end
END
run 0 run t/pair.test.lua
last_line "2 passed, 0 failed"

claim "clean removes"
run 0 fixture clean
run 1 fixture stale
[ "$(entries)" = 0 ] || complain "$(entries) are left"

claim "what cannot be done is refused"
run 2 fixture
err "fixture: say what: list, build, rebuild, clean or stale"
run 2 fixture frobnicate
err "fixture: no 'frobnicate'"
run 2 fixture build nosuch
err "there is no fixture 'nosuch': no nosuch.fixture.lua below a root"
run 2 fixture build t/nosuch.fixture.lua
err "no such file: 't/nosuch.fixture.lua'"

claims_end
