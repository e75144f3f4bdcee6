-- Measurements between two guests by traffic.c.
local traffic = {}

function traffic.install(vms)
  for _, vm in ipairs(vms) do
    vm:push_file(os.getenv("BENCH_TRAFFIC"), "/tmp/traffic", { mode = 493 })
  end
end

function traffic.echo(vm)
  vm:run_async("/tmp/traffic", { "echo", "7" }):stdout_stream()
    :expect("ready\n", 30)
end

-- What the receiver has counted, the seconds it took, and what was sent.
local function receive(server, receiver, client, sender)
  local p = server:run_async("/tmp/traffic", receiver)
  p:stdout_stream():expect("ready\n", 30)
  local sent = client:run("/tmp/traffic", { args = sender, check = true,
    timeout = 60 }).stdout
  local done = p:wait(60)
  done:assert_ok()
  local n, seconds = done.stdout:match("(%d+) ([%d.]+)\n$")
  return tonumber(n), tonumber(seconds), tonumber(sent)
end

function traffic.pour(server, client, ip, seconds)
  return receive(server, { "drain", "5000" }, client,
    { "pour", ip, "5000", seconds })
end

function traffic.blast(server, client, ip, seconds)
  return receive(server, { "count", "5001" }, client,
    { "blast", ip, "5001", "64", seconds })
end

-- Microseconds of round trips with 64 bytes, in order.
function traffic.trips(client, ip, count)
  local text = client:run("/tmp/traffic", { args = { "ask", ip, "7", "64",
    tostring(count) }, check = true, timeout = 60 }).stdout
  local took = {}
  for us in text:gmatch("[^\n]+") do
    took[#took + 1] = tonumber(us)
  end
  table.sort(took)
  return took
end

return traffic
