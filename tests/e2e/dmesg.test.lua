-- vm:dmesg(): the kernel's log, exactly.
local vm = provium:vm("a"):boot()

test("it is what dmesg prints", function(t)
  vm:run("echo 'a mark of ours' > /dev/kmsg", { check = true })
  local text = vm:dmesg()
  t:assert_match(text, "^%[ *%d+%.%d+%] Linux version ")
  t:assert_match(text, "\n%[ *%d+%.%d+%] a mark of ours\n")
  -- The kernel may have said more meanwhile.
  t:assert_eq(text, vm:run("dmesg").stdout:sub(1, #text))
end)

test("all of a buffer that has filled up is there", function(t)
  vm:run("for i in $(seq 1 6000); do echo \"line $i of many, "
    .. "long enough to fill the buffer of the kernel\" > /dev/kmsg; done",
    { check = true })
  local text = vm:dmesg()
  t:assert_match(text, "line 6000 of many[^\n]*\n$")
  local first = tonumber(text:match("line (%d+) of many"))
  local n = 0
  for i in text:gmatch("line (%d+) of many") do
    t:assert_eq(tonumber(i), first + n)
    n = n + 1
  end
  t:assert_eq(first + n, 6001)
  t:assert(n > 1000, n .. " lines")
end)

test("all of a buffer of many megabytes is there", function(t)
  local big = provium:vm("big", {
    kernel_cmdline_append = "log_buf_len=8M printk.devkmsg=on loglevel=1",
  }):boot()
  big:run("dd if=/dev/zero bs=900 count=3000 | tr '\\0' x | " ..
    "dd of=/dev/kmsg bs=900 iflag=fullblock; " ..
    "echo the last > /dev/kmsg", { check = true })
  local text = big:dmesg()
  t:assert_match(text, "^%[ *%d+%.%d+%] Linux version ")
  t:assert_contains(text, "] the last\n")
  local _, n = text:gsub("%] " .. ("x"):rep(900) .. "\n", "")
  t:assert_eq(n, 3000)
end)

test("not of a VM that is off", function(t)
  local off = provium:vm("off")
  t:assert_match(t:assert_raises(function() off:dmesg() end),
    "dmesg.test.lua:%d+: vm:dmesg: VM 'off' is created[^\n]*boot")
end)
