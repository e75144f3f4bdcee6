#!/bin/sh
# What a test's own time-out shows of the call that it cut off: the output so
# far, as the call's own time-out does. Boots a guest. Ends with "N passed, N
# failed".
#   deadline.sh PROVIUM
set -u

provium=$(readlink -f "$1")
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/deadline.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2

. "$top/tests/e2e/claims.sh"

file t/cut.test.lua <<'END'
local vm = provium:vm("guest"):boot()
local worker = vm:spawn_worker()
local T = {timeout = 3}
local function start(word)
  return vm:run_async("echo " .. word .. "; echo why >&2; printf more; sleep 1000")
end
test("run", T, function() vm:run("echo OF-RUN; echo why >&2; sleep 1000") end)
test("wait", T, function() start("OF-WAIT"):wait() end)
test("own wait", function() start("OF-OWN-WAIT"):wait(2) end)
test("expect", T, function() start("OF-EXPECT"):stdout_stream():expect("x", 99) end)
test("read_until", T, function() start("OF-READ"):stdout_stream():read_until("x", 99) end)
test("drain", T, function() start("OF-DRAIN"):stdout_stream():drain(99) end)
test("lines", T, function()
  for _ in start("OF-LINES"):stdout_stream():lines(99) do end
end)
test("next", T, function()
  local s = start("OF-NEXT"):stdout_stream()
  while true do s:next(99) end
end)
test("stderr", T, function()
  start("OF-STDERR"):stderr_stream():expect("x", 99)
end)
test("ended", T, function()
  -- The stream is not at its end: a child of the shell holds it open.
  vm:run_async("echo OF-ENDED; sleep 1000 & exit 3"):stdout_stream():expect("x", 99)
end)
test("worker", T, function() worker:run("echo OF-WORKER; sleep 1000") end)
test("console", T, function()
  vm:run("echo OF-CONSOLE >/dev/console")
  vm:console():expect("no such text", 99)
end)
test("batch", T, function()
  vm:batch(function(b)
    b:run("echo OF-BATCH-1; sleep 1000")
    b:run("true")
    b:run("echo OF-BATCH-2; sleep 1000")
  end)
end)
test("all", T, function()
  provium.all(function() vm:run("echo OF-ALL-1; sleep 1000") end,
    function() start("OF-ALL-2"):stdout_stream():expect("x", 99) end,
    function() end)
end)
END
run 1 run --events e.json t

# shows TEST TEXT: the failure of the test has it; | is the end of a line.
shows() {
	python3 - "$1" "$2" <<'END' || complain "$1 does not show '$2'"
import json
import sys

events = [json.loads(line) for line in open("e.json")]
text = [e["message"] for e in events
        if e["event"] == "test_end" and e["test"] == sys.argv[1]][0]
sys.exit(sys.argv[2].replace("|", "\n") not in text)
END
}

at() {
	line=$(grep -n "$1" t/cut.test.lua | cut -d: -f1)
	echo "at t/cut.test.lua:$line"
}

claim "run shows both outputs"
shows run "timed out after 3s in vm:run $(at OF-RUN): command \`echo OF-RUN; "
shows run "was killed|stdout:|OF-RUN|stderr:|why"

claim "wait shows them, by either time-out"
shows wait "timed out after 3s in process:wait $(at 'OF-WAIT'): \`echo OF-WAIT"
shows wait "is still running|stdout:|OF-WAIT|more|stderr:|why"
shows "own wait" "is still running|stdout:|OF-OWN-WAIT|more|stderr:|why"

claim "streams show what is pending"
shows expect "stream:expect $(at OF-EXPECT): expect timed out waiting for \`x\`;"
shows expect 'last bytes: "OF-EXPECT\nmore"'
shows read_until 'last bytes: "OF-READ\nmore"'
shows drain "timed out after 3s in stream:drain $(at OF-DRAIN): last bytes:"
shows drain '"OF-DRAIN\nmore"'
shows lines "waiting for"
shows lines 'last bytes: "more"'

claim "streams of a process tell of it, and show its other output"
for call in expect read_until drain lines next; do
	shows "$call" "; sleep 1000\` is still running|stderr:|why"
done
shows stderr 'last bytes: "why\n"'
shows stderr "; sleep 1000\` is still running|stdout:|OF-STDERR|more"
shows ended "exit 3\` exited with 3"

claim "a worker's command shows its output"
shows worker "in worker:run $(at OF-WORKER): command"
shows worker "stdout:|OF-WORKER|"

claim "the console shows its last bytes"
shows console "expect timed out waiting for \`no such text\`; last bytes: "
shows console 'OF-CONSOLE'

claim "a batch is named, and shows each call that was cut off"
shows batch "timed out after 3s in vm:batch at t/cut.test.lua:"
shows batch "stdout:|OF-BATCH-1|"
shows batch "stdout:|OF-BATCH-2|"

claim "all shows what each task waited for"
shows all "timed out after 3s in provium.all at t/cut.test.lua:"
shows all "in vm:run $(at OF-ALL-1): command"
shows all "stdout:|OF-ALL-1|"
shows all 'last bytes: "OF-ALL-2\nmore"'
shows all "; sleep 1000\` is still running|stderr:|why"

file p/power.test.lua <<'END'
local vm = provium:vm("guest"):boot()
test("cut off", {timeout = 0.3}, function() vm:reset() end)
test("boot", {timeout = 0.3}, function() provium:vm("second"):boot() end)
test("fixture", {timeout = 2}, function() provium.vm_fixture("p/slow") end)
test("dies", function()
  local other = provium:vm("resetting"):boot()
  provium.all(function() other:reset() end, function()
    os.execute("kill -KILL " .. other:pid())
  end)
end)
test("hangs", function()
  local other = provium:vm("pausing"):boot()
  os.execute("kill -STOP " .. other:pid())
  provium.all(function() other:pause() end, function()
    os.execute("kill -KILL " .. other:pid())
  end)
end)
END
file p/slow.fixture.lua <<'END'
os.execute("exec sleep 1000")
END

# tells EVENT NAME STATE...: the states of it in the events, in this order; but
# for those that its end brings at any time.
tells() {
	python3 - "$@" <<'END' || complain "the states of $2 are not $*"
import json
import sys

event, name, *wanted = sys.argv[1:]
events = [json.loads(line) for line in open("p.json")]
states = [e["state"] for e in events
          if e["event"] == event and e[event].split("/")[-1] == name]
print(name, states)
sys.exit([s for s in states if s not in ("ended", "closed")] != wanted)
END
}

claim "an operation that failed or was cut off is told of"
run 1 run --events p.json p
tells vm guest booting booted failed
tells vm second booting failed
tells vm resetting booting booted failed
tells vm pausing booting booted failed
tells fixture slow.fixture.lua building failed

claims_end
