-- What guests measure of a network that is impaired, in turns with a perfect
-- one: what is asked for, and what is seen.
local out = assert(io.open(os.getenv("BENCH_OUT"), "w"))
local rounds = tonumber(os.getenv("BENCH_ROUNDS"))
local traffic = require("traffic")

test("asked and measured", { timeout = "900s" }, function()
  local a, b = provium:vm("a"), provium:vm("b")
  local lan = provium:bridge("lan")
  lan:attach({ a, b })
  provium:boot()
  traffic.install({ a, b })
  local ip = b:nic("lan"):ip()
  traffic.echo(b)

  local function say(what, asked, got)
    out:write(("%s %g %.3f\n"):format(what, asked, got))
  end
  for round = 1, rounds do
    lan:reset()
    lan:seed(round)
    local plain = traffic.trips(a, ip, 200)
    lan:add_latency(20)
    say("latency", 40, (traffic.trips(a, ip, 30)[15] - plain[100]) / 1e3)
    -- The fastest of many is what the latency without its jitter is.
    lan:add_latency({ ms = 20, jitter = 10 })
    local shaken = traffic.trips(a, ip, 100)
    say("jitter", 40, (shaken[#shaken] - shaken[1]) / 1e3)
    lan:reset()
    lan:drop_rate({ from = a, to = b, p = 30 })
    local got, _, sent = traffic.blast(b, a, ip, "1")
    say("loss", 30, 100 * (1 - got / sent))
    lan:reset()
    lan:bandwidth_limit({ from = a, to = b, bps = 8e6 })
    local bytes, seconds = traffic.pour(b, a, ip, "4")
    -- 1448 of 1514 bytes of a frame are TCP's load.
    say("rate", 8, bytes * 8 / 1e6 / seconds * 1514 / 1448)
  end
  out:close()
end)
