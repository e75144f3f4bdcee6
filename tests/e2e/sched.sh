#!/bin/sh
# Files side by side, and files that misbehave, seen from outside. Ends with
# "N passed, N failed".
#   sched.sh PROVIUM
set -u

provium=$(readlink -f "$1")
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/sched.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
# The image is the user's: making one takes long.
export XDG_RUNTIME_DIR="$work/runtime" MARKS="$work/marks"
mkdir -m 700 "$XDG_RUNTIME_DIR"
cd "$work" || exit 2

. "$top/tests/e2e/claims.sh"

# Nothing that was started here runs, and no directory is left.
nothing_left() {
	for env in /proc/[0-9]*/environ; do
		pid=${env#/proc/}
		pid=${pid%/environ}
		# What says so is a process of this script, or a program of it.
		case $(readlink "/proc/$pid/exe" 2>/dev/null) in
		"$provium" | *qemu*)
			! tr '\0' '\n' <"$env" 2>/dev/null |
			    grep -qxF "XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR" ||
			    complain "process $pid is left" ;;
		esac
	done
	left=$(find "$XDG_RUNTIME_DIR" -mindepth 2 | head -n 3)
	[ -z "$left" ] || complain "left behind: $left"
}

# until_mark NAME: waits until the tests have left that mark.
until_mark() {
	for _ in $(seq 600); do
		[ ! -e "$MARKS/$1" ] || return 0
		sleep 0.1
	done
	complain "no mark $1"
}

# Lua that tests begin with: mark(name), and await(name), the other's mark.
lua() {
	rm -rf "$MARKS"
	mkdir -p "$MARKS"
	{
		cat <<'END'
local marks = os.getenv("MARKS") .. "/"
local function mark(name) io.open(marks .. name, "w"):close() end
local function is_marked(name) return io.open(marks .. name) ~= nil end
local function await(name)
  wait_until(function() return is_marked(name) end,
    {timeout = 50, desc = name})
end
local _ = {mark, is_marked, await}
END
		cat
	} | file "$1"
}

# --- what files share --------------------------------------------------------

claim "files run side by side"
lua beside/a.test.lua <<'END'
test("meets b", function() mark("a") await("b") end)
END
lua beside/b.test.lua <<'END'
test("meets a", function() mark("b") await("a") end)
END
run 0 run -j2 beside
last_line "2 passed, 0 failed"

claim "what can never be is refused with the arithmetic"
lua never/a.test.lua <<'END'
test("large", function() provium:vm("a", {memory = "64G"}):boot() end)
test("many", function()
  for i = 1, 3 do provium:vm("a" .. i, {memory = "32M", cpus = 4}) end
  provium:boot()
end)
test("claim", function() provium:claim{memory = "3G"} end)
END
run 1 run --mem 2G --cpus 8 never
out "vm:boot: wants 64G of memory for VM 'a', the budget is 2G: --mem"
out "lab:boot: wants 12 vCPUs for 3 VMs, the budget is 8: --cpus"
out "lab:claim: wants 3G of memory for lab:claim, the budget is 2G: --mem"
out "never/a.test.lua:"
last_line "0 passed, 3 failed"

claim "a file claims once"
lua twice/a.test.lua <<'END'
provium:claim{memory = "1M"}
test("again", function() provium:claim{memory = "1M"} end)
END
run 1 run twice
out "a file claims once, and this one did at twice/a.test.lua:9"

claim "what waits for its turn does not age"
lua turn/a.test.lua <<'END'
provium:claim{memory = "1G"}
test("holds all", function()
  mark("held")
  await("waits")
  -- Longer than the other test may take.
  os.execute("sleep 8")
end)
END
lua turn/b.test.lua <<'END'
await("held")
test("waits", {timeout = 6}, function()
  mark("waits")
  local _, two = provium.all(function()
    provium:claim{memory = "1G"}
  end, function()
    return 2
  end)
  assert(two == 2)
end)
END
run 0 run -j2 --mem 1G --events events turn
last_line "2 passed, 0 failed"
grep -qF '"waited":' events || complain "no word of it in the events"

claim "a worker that dies gives back what it had"
lua dies/a.test.lua <<'END'
provium:claim{memory = "1G"}
mark("held")
test("dies", function()
  await("waits")
  local ffi = require("ffi")
  ffi.cdef("void _exit(int);")
  ffi.C._exit(3)
end)
END
lua dies/b.test.lua <<'END'
test("waits", function()
  await("held")
  mark("waits")
  provium:claim{memory = "1G"}
end)
END
run 1 run -j2 --mem 1G dies
out "the worker ended early with status 3"
last_line "1 passed, 1 failed"
nothing_left

claim "files that wait for each other are named, one goes on"
for f in a b; do
	lua deadlock/$f.test.lua <<END
test("has one, wants two", function()
  provium:vm("x", {memory = "300M"}):boot()
  mark("$f")
  await("a")
  await("b")
  provium:vm("y", {memory = "300M"}):boot()
end)
END
done
run 1 run -j2 -t 300 --mem 700M deadlock
out "deadlock: each of these files holds something and waits for more:"
out "deadlock/a.test.lua:14 wants 300M of memory and 1 vCPU for VM 'y' and holds 300M"
out "deadlock/b.test.lua:14 wants 300M"
last_line "1 passed, 1 failed"
nothing_left

claim "a VM that ends gives back what it had"
lua ends/a.test.lua <<'END'
test("one after the other", {timeout = 300}, function(t)
  local a = provium:vm("a", {memory = "300M"}):boot()
  local ok, err = pcall(function()
    provium:vm("b", {memory = "300M"}):boot()
  end)
  t:assert(not ok)
  t:assert_contains(err, "and holds 300M of memory")
  a:shutdown()
  provium.b:boot()
  provium.b:close()
  a:boot()
  a:run("sysctl kernel.panic=0; echo c >/proc/sysrq-trigger")
end)
test("afterwards there is room", {timeout = 300}, function()
  provium:vm("c", {memory = "300M"}):boot()
end)
END
run 1 run --mem 500M ends
out "ok    afterwards there is room"
no_out "deadlock"
nothing_left

claim "a serial file runs with no other beside it"
for f in a b; do
	lua serial/$f.test.lua <<END
test("marks", function()
  mark("in")
  os.execute("sleep 1")
  os.remove(marks .. "in")
  mark("$f")
end)
END
done
for f in c d; do
	lua serial/$f.test.lua <<END
test("alone", {serial = true}, function(t)
  t:assert(not is_marked("in"))
  t:assert(is_marked("a") and is_marked("b"))
  mark("in")
  os.execute("sleep 0.5")
  os.remove(marks .. "in")
end)
END
done
run 0 run -j4 --events events serial
last_line "4 passed, 0 failed"
[ "$(grep -c file_start events)" = 4 ] || complain "not 4 starts of files"
[ "$(grep -c '"plan"' events)" = 4 ] || complain "not 4 plans"

# --- time --------------------------------------------------------------------

claim "a file has its time, and what is left of it is named"
lua late/a.test.lua <<'END'
test("short", function() end)
test("long", function() wait_until(function() end, {timeout = 100}) end)
test("never", function() end)
END
run 1 run --file-timeout 8 late
out "ok    short"
out "the file took longer than 8s (--file-timeout)"
out "not run: the file took longer"
last_line "1 passed, 2 failed"
nothing_left

claim "a run has its time"
run 2 run --run-timeout 8 late
out "interrupted by --run-timeout, not all was run"
out "ok    short"
last_line "1 passed, 0 failed, 1 skipped"
nothing_left

claim "a slow test is told of while it runs"
lua slow/a.test.lua <<'END'
test("takes long", function() os.execute("sleep 3") end)
END
run 0 run --slow 1s slow
out "slow  slow/a.test.lua: takes long, for"
run 0 run slow
no_out "slow  "

claim "bad limits are bad usage"
for option in "--mem 0" "--mem x" "--cpus 0" "--cpu-overcommit 0" \
    "--cpu-overcommit nan" "--file-timeout 0" "--run-timeout x" "--slow x"; do
	# shellcheck disable=SC2086 # two words
	run 2 run $option slow
	err "${option% *}: '"
done

# --- signals -----------------------------------------------------------------

claim "SIGUSR1 tells what each test waits for, and where"
lua tell/a.test.lua <<'END'
test("waits", function()
  mark("a")
  wait_until(function() return is_marked("over") end, {timeout = 50})
end)
END
lua tell/b.test.lua <<'END'
test("spins", function()
  mark("b")
  for i = 1, 1e9 do if is_marked("over") then return end end
end)
END
lua tell/c.test.lua <<'END'
test("sleeps", function()
  mark("c")
  os.execute("while ! [ -e $MARKS/over ]; do sleep 0.1; done")
end)
END
"$provium" run -j3 tell >out 2>err </dev/null &
pid=$!
for f in a b c; do until_mark $f; done
# A test that has left its mark may not wait yet: ask until all do.
for _ in $(seq 30); do
	before=$(grep -c '  now   tell/' out)
	kill -USR1 "$pid"
	for _ in $(seq 600); do
		[ "$(grep -c '  now   tell/' out)" -lt $((before + 3)) ] ||
			break
		sleep 0.1
	done
	! grep -q "in wait_until at tell/a" out ||
		! grep -q "in code that provium cannot" out || break
done
touch "$MARKS/over"
wait "$pid" || complain "status $?"
out "now   tell/a.test.lua: waits, for"
out "in wait_until at tell/a.test.lua:11"
out "in Lua code at tell/b.test.lua:"
out "now   tell/c.test.lua: sleeps"
out "in code that provium cannot look into"
last_line "3 passed, 0 failed"

claim "the packets of a bridge are kept with the logs of a failure"
lua net/a.test.lua <<'END'
test("fails", function(t)
  local lan = provium:bridge("lan")
  local a = provium:vm("a")
  lan:attach(a)
  a:boot()
  t:fail("no")
end)
END
run 1 run --artifacts kept net
out "kept  kept/net_a.test.lua/1-lan.pcap"
out "kept  kept/net_a.test.lua/1-vm1-a.console"
tcpdump -nr kept/net_a.test.lua/1-lan.pcap >packets 2>/dev/null
grep -q "DHCP, Request" packets || complain "no DHCP: $(cat packets)"

claim "a failed test is held, with its VM, for what is typed"
lua held/a.test.lua <<'END'
test("fails", {timeout = 20}, function(t)
  provium:vm("a"):boot():write_file("/tmp/x", "in the guest")
  local hidden = 1
  t:assert_eq(hidden, 2)
end)
test("passes", function() end)
END
cat >typed <<'END'
provium.a:read_file("/tmp/x")
r = provium.a:run("uname -s"); print(r:ok(), t.name)
r.stdout
nonsense(
provium.a:run(1)
provium:vm("b")
END
"$provium" run --debug-on-failure held >out 2>err <typed
[ $? = 1 ] || complain "another status than 1"
err "held/a.test.lua: fails failed at held/a.test.lua:12:"
err 'provium> "in the guest"'
err "provium> true	fails"
err 'provium> "Linux\n"'
err "prompt:1: unexpected symbol near"
err "vm:run: command must be a string, got a number"
err "vm 'b' (created)"
last_line "1 passed, 1 failed"

claim "its time stands still meanwhile, and is not the test's"
lua still/a.test.lua <<'END'
test("fails", {timeout = 2}, function(t) mark("held") t:fail("no") end)
test("passes", function() end)
END
{
	until_mark held
	sleep 4
	echo 'print("typed")'
} | "$provium" run --debug-on-failure --slow 1s --events ev still >out 2>err
err "typed"
out "  FAIL  fails  "
last_line "1 passed, 1 failed"
no_out "slow  "
no_out " s$"
! grep -qE '"fails".*"duration":[1-9][0-9]*[.][0-9]*[,}]' ev || complain "it took its time"

claim "a run that ends at the prompt leaves nothing"
mkfifo typing
lua held/a.test.lua <<'END'
test("fails", function(t)
  provium:vm("a"):boot()
  mark("held")
  t:fail("no")
end)
END
# held_until SIGNAL PID_OF: has a test held at the prompt, and signals that.
held_until() {
	"$provium" run --debug-on-failure held >out 2>err <typing &
	pid=$!
	exec 3>typing
	until_mark held
	for _ in $(seq 600); do
		! grep -q "provium> " err || break
		sleep 0.1
	done
	grep -q "provium> " err || complain "no prompt"
	kill "-$1" "$($2)"
	wait "$pid"
	got=$?
	exec 3>&-
}

the_run() {
	echo "$pid"
}

the_worker() {
	ps -o pid= --ppid "$pid"
}

for signal in INT TERM; do
	held_until $signal the_run
	[ "$got" = 2 ] || complain "SIG$signal: status $got"
	out "interrupted by SIG$signal"
	out "  FAIL  fails"
	out "held/a.test.lua:12: no"
	last_line "0 passed, 1 failed"
	nothing_left
done

claim "who dies at the prompt loses no failure"
held_until KILL the_worker
[ "$got" = 1 ] || complain "status $got"
out "held/a.test.lua:12: no"
out "(then the worker died: SIGKILL"
last_line "0 passed, 1 failed"
nothing_left

# interrupt_swallowed OPTION...: runs the file, interrupts its test behind the
# swallowed failure, and looks for that in the report.
interrupt_swallowed() {
	"$provium" run "$@" swallowed >out 2>err </dev/null &
	pid=$!
	until_mark swallowed
	kill -INT "$pid"
	wait "$pid"
	[ $? = 2 ] || complain "wrong status"
	out "swallowed/a.test.lua:10: values differ"
	last_line "0 passed, 1 failed"
	nothing_left
}

claim "a failure that a pcall swallowed is not lost to a signal"
lua swallowed/a.test.lua <<'END'
test("fails", function(t)
  pcall(function() t:assert_eq(1, 2) end)
  local n = 0
  wait_until(function()
    n = n + 1
    if n == 2 then mark("swallowed") end
  end, {timeout = "1h"})
end)
END
interrupt_swallowed

claim "nor in an attempt that is not the last"
rm "$MARKS/swallowed"
interrupt_swallowed --retries 2

claim "an attempt that passes takes the mark of the one before back"
lua swallowed/a.test.lua <<'END'
local n = 0
test("flaky", function(t)
  n = n + 1
  if n == 1 then pcall(function() t:assert_eq(1, 2) end) end
  local looks = 0
  wait_until(function() looks = looks + 1; return looks > 3 end)
end)
END
run 0 run --retries 2 swallowed
last_line "1 passed, 0 failed"

claim "a signal between attempts does not make a failed test a skipped one"
lua attempts/a.test.lua <<'END'
local n = 0
test("fails", function(t)
  n = n + 1
  if n == 1 then t:fail("the first attempt") end
  mark("attempts")
  wait_until(function() end, {timeout = "1h"})
end)
END
"$provium" run --retries 2 attempts >out 2>err </dev/null &
pid=$!
until_mark attempts
kill -INT "$pid"
wait "$pid"
[ $? = 2 ] || complain "wrong status"
out "the first attempt"
out "(then in attempt 2: interrupted in "
last_line "0 passed, 1 failed"
nothing_left

for signal in INT TERM; do
	claim "SIG$signal while a guest boots ends all, in order"
	lua mid/a.test.lua <<'END'
test("first", function() end)
test("boots", function()
  mark("boots")
  provium:vm("a"):boot()
  provium.a:run("sleep 1000")
end)
END
	"$provium" run mid >out 2>err </dev/null &
	pid=$!
	until_mark boots
	kill -$signal "$pid"
	wait "$pid"
	[ $? = 2 ] || complain "wrong status"
	out "interrupted by SIG$signal"
	last_line "1 passed, 0 failed, 1 skipped"
	nothing_left
done

# --- files that misbehave ----------------------------------------------------

# hostile NAME MESSAGE: the test in the middle does what standard input says;
# it alone fails, with that message.
hostile() {
	{
		echo 'local ffi = require("ffi")'
		echo 'test("before", function() end)'
		echo 'test("hostile", {timeout = 1}, function()'
		cat
		echo 'end)'
		echo 'test("behind", function() end)'
	} | file "hostile/$1.test.lua"
	run 1 run "hostile/$1.test.lua"
	out "ok    before"
	out "FAIL  hostile"
	out "$2"
	out "ok    behind"
	last_line "2 passed, 1 failed"
	nothing_left
}

claim "a test that ends its process fails alone"
hostile exit "the worker ended early with status 0" <<'END'
  ffi.cdef("void _exit(int);") ffi.C._exit(0)
END

claim "a test that crashes fails alone"
hostile crash "the worker " <<'END'
  ffi.cast("int *", 16)[0] = 1
END

claim "a test that aborts fails alone"
hostile abort "SIGABRT" <<'END'
  ffi.cdef("void abort(void);") ffi.C.abort()
END

claim "a test that spins in Lua fails alone"
hostile spin "it computes in Lua at hostile/spin.test.lua:" <<'END'
  local n = 0
  while true do n = n + 1 end
END

claim "a test that spins in a pcall fails alone"
hostile stubborn "it computes in Lua at hostile/stubborn.test.lua:" <<'END'
  while true do pcall(function() while true do end end) end
END

claim "a test that stays in C fails alone"
hostile native "timed out after" <<'END'
  ffi.cdef("int pause(void);")
  while true do ffi.C.pause() end
END

claim "a test that stops its own process fails alone"
hostile stop "timed out after" <<'END'
  ffi.cdef("int raise(int);") ffi.C.raise(19)
END

claim "a test that takes all memory fails alone"
hostile hog "hostile/hog.test.lua:" <<'END'
  local t = {}
  for i = 1, 1e9 do t[i] = ("x"):rep(1e6) .. i end
END

claim "a test that floods its output fails alone"
hostile flood "timed out after" <<'END'
  ffi.cdef("int puts(const char *);")
  while true do ffi.C.puts("flood flood flood flood flood flood") end
END

claim "a test that closes its descriptors fails alone"
hostile closes "the worker" <<'END'
  ffi.cdef("int close(int);")
  for fd = 3, 100 do ffi.C.close(fd) end
  error("closed")
END

claim "a chunk that ends its process is a file that did not load"
file hostile/chunk.test.lua <<'END'
test("never", function() end)
local ffi = require("ffi")
ffi.cdef("void _exit(int);")
ffi.C._exit(7)
END
run 1 run -j2 hostile/chunk.test.lua hostile/exit.test.lua
out "the worker ended early with status 7"
out "ok    behind"
nothing_left

claim "what a test prints, by whatever way, is its own"
file prints/a.test.lua <<'END'
test("one", function() io.write("from one\n") end)
test("two", function() end)
END
run 0 run -v prints
awk '/from one/ { seen = 1 } /ok +two/ { exit !seen }' out ||
    complain "it came with another"

claim "a file finds nothing of what another did to its Lua"
for f in a b; do
	file alone/$f.test.lua <<'END'
test("x", function(t)
  t:assert(not spoilt and string.upper("a") == "A" and not package.loaded.p)
  rawset(_G, "spoilt", true)
  string.upper = nil
  package.loaded.p = true
end)
END
done
run 0 run -j1 alone

claims_end
