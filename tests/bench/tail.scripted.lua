-- What a Tail brings to the host a second, and what the bare transport does: a
-- port of a second device of the same kind in the same guest. In turns.
local now = require("clock")
local out = assert(io.open(os.getenv("BENCH_OUT"), "w"))
local sink = os.getenv("BENCH_SINK")
local rounds = tonumber(os.getenv("BENCH_ROUNDS"))
local MiB = 1048576

test("throughput", {timeout = "900s"}, function(t)
  local path = os.getenv("BENCH_OUT") .. ".sock"
  local vm = provium:vm("tail"):boot({memory = "1G", qemu_args = {
    "-chardev", "socket,id=bench,server=on,wait=off,path=" .. path,
    "-device", "virtio-serial-pci,id=bench",
    "-device", "virtserialport,bus=bench.0,chardev=bench,name=bench.0"}})
  vm:push_file(os.getenv("BENCH_PUMP"), "/tmp/pump")
  local port = vm:run([[
    for d in /sys/class/virtio-ports/*; do
      [ "$(cat $d/name)" = bench.0 ] && echo -n /dev/${d##*/}
    done]]).stdout

  -- One reader for all: a port whose reader comes and goes in mid-write sticks.
  os.execute("mkfifo " .. path .. ".fifo")
  local ask = assert(io.popen(("%s %s >%s.fifo"):format(sink, path, path), "w"))
  local answers = assert(io.open(path .. ".fifo"))

  -- script's stdin and stdout are the port.
  local function raw(script, total)
    local p = vm:run_async("exec <>" .. port .. " >&0; echo ready >&2; " .. script)
    p:stderr_stream():expect("ready")
    ask:write(total, "\n")
    ask:flush()
    local seconds = tonumber(answers:read("*l"))
    p:wait(30)
    return total / MiB / seconds
  end

  local function consume(s, start, total)
    local got, frames = 0, 0
    while got < total do
      got = got + #s:next(60)
      frames = frames + 1
    end
    return total / MiB / (now() - start), frames
  end

  local function stdout(size, total)
    local p = vm:run_async({"/tmp/pump", tostring(size), tostring(total)})
    local s = p:stdout_stream()
    local start = now()
    p:stdin_write("g")
    local rate = consume(s, start, total)
    p:close()
    return rate
  end

  local function file(size, total)
    vm:write_file("/tmp/log", "")
    local s = vm:tail_file("/tmp/log")
    local p = vm:run_async({"/tmp/pump", tostring(size), tostring(total), "/tmp/log"})
    local start = now()
    p:stdin_write("g")
    local rate = consume(s, start, total)
    s:close()
    p:close()
    vm:unlink("/tmp/log")
    return rate
  end

  for _ = 1, rounds do
    local big, small = 128 * MiB, 16 * MiB
    local function say(name, rate) out:write(("%s %.3f\n"):format(name, rate)) end
    say("raw64k", raw("exec /tmp/pump 65536 " .. big, big))
    say("cat64k", raw("/tmp/pump 65536 " .. big .. " | /tmp/pump cat", big))
    say("stdout64k", stdout(65536, big))
    say("file64k", file(65536, big))
    say("raw100", raw("/tmp/pump 100 " .. small .. " | /tmp/pump cat", small))
    say("stdout100", stdout(100, small))
    say("file100", file(100, small))
  end
  ask:close()
  answers:close()
  out:close()
end)
