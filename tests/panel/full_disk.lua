test("the log is written", function(t)
  local vm = provium:vm("a"):boot()
  vm:run({ "sh", "-c", "mkdir /m && mount -t tmpfs -o size=64k none /m" },
    { check = true })
  vm:run("head -c 1m /dev/zero >/m/log", { check = true })
end)
