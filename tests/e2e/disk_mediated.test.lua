-- Disks that provium serves itself: sectors from the host, faults that the
-- guest sees, and the loss of power.

provium.timeout = "3m"

local MIB = 1024 * 1024

local host = require("host_file")
local write_host = host.write
local read_host = host.read

local function sector(text)
  return text .. ("\0"):rep(512 - #text)
end

local FLUSHED = "conv=fsync,notrunc,sync"
-- Linux writes back when a device is closed, and flushes nothing.
local UNFLUSHED = "conv=notrunc,sync"

local function put(vm, dev, at, text, how)
  return vm:run(("printf %s | dd of=/dev/%s bs=512 seek=%d %s"):format(
                text, dev, at, how or FLUSHED))
end

local function get(vm, dev, at)
  return vm:run(("dd if=/dev/%s bs=512 skip=%d count=1 iflag=direct"):format(
                dev, at))
end

local function mediated(name, options)
  options.mediated = true
  return provium:vm(name, { disks = { options } }):boot()
end

test("sectors are read and written from the host", function(t)
  local vm = mediated("a", { scratch = "8M", id = "data" })
  local disk = vm:disk("data")
  t:assert_eq(disk:id(), "data")
  t:assert_eq(disk:size(), 8 * MIB)
  put(vm, "vda", 3, "guest"):assert_ok()
  t:assert_eq(disk:read_sectors(2, 3),
              sector("") .. sector("guest") .. sector(""))
  disk:write_sectors(3, sector("host") .. sector("more"))
  t:assert_eq(get(vm, "vda", 3).stdout, sector("host"))
  t:assert_eq(get(vm, "vda", 4).stdout, sector("more"))
  disk:write_sectors(8 * MIB / 512 - 1, sector("last"))
  t:assert_eq(get(vm, "vda", 8 * MIB / 512 - 1).stdout, sector("last"))
  vm:shutdown()
  t:assert_eq(disk:read_sectors(3, 1), sector("host"))
  disk:write_sectors(5, sector("while off"))
  vm:boot()
  t:assert_eq(get(vm, "vda", 5).stdout, sector("while off"))
end)

test("sectors that are not on the disk are refused", function(t)
  local vm = mediated("a", { scratch = "1M" })
  local disk = vm:disk("disk0")
  for _, case in ipairs({
    { function() disk:read_sectors(2048, 1) end, "sectors 2048 to 2048 are not" },
    { function() disk:read_sectors(2047, 2) end, "sectors 2047 to 2048 are not" },
    { function() disk:read_sectors(-1, 1) end, "off must be" },
    { function() disk:read_sectors(0, 0) end, "n must be" },
    { function() disk:write_sectors(0, "short") end, "whole sectors of 512" },
    { function() disk:write_sectors(2048, sector("")) end, "are not on disk" },
    { function() disk:fault_inject("fire") end, "unknown mode 'fire'; valid: eio_read, eio_write, slow" },
    { function() disk:fault_inject("eio_read", { delay = 1 }) end,
      'delay is of mode "slow" alone' },
    { function() vm:disk("disk1") end, "has no disk 'disk1'; it has: 'disk0'" },
  }) do
    t:assert_match(tostring(t:assert_raises(case[1])), case[2])
  end
  local plain = provium:vm("b", { disks = { { scratch = "1M" } } }):boot()
  t:assert_eq(plain:disk("disk0"):size(), MIB)
  t:assert_match(tostring(t:assert_raises(function()
    plain:disk("disk0"):power_cut()
  end)), "declare it with mediated = true")
end)

test("the guest sees errors and delays, until they are cleared", function(t)
  local vm = mediated("a", { scratch = "8M" })
  local disk = vm:disk("disk0")
  put(vm, "vda", 0, "x"):assert_ok()
  disk:fault_inject("eio_read")
  t:assert_contains(get(vm, "vda", 0).stderr, "Input/output error")
  vm:run("dd if=/dev/zero of=/dev/vda bs=4096 seek=1 count=1 oflag=direct",
         { check = true })
  disk:clear_faults()
  disk:fault_inject("eio_write")
  t:assert_contains(put(vm, "vda", 0, "z").stderr, "Input/output error")
  t:assert_eq(get(vm, "vda", 0).stdout, sector("x"))
  disk:fault_inject("slow", { delay = "500ms" })
  t:assert_eq(disk:active_faults(), { "eio_write", "slow" })
  t:assert(get(vm, "vda", 2).duration >= 0.5)
  disk:clear_faults()
  t:assert_eq(disk:active_faults(), {})
  put(vm, "vda", 0, "z"):assert_ok()
  t:assert_eq(get(vm, "vda", 0).stdout, sector("z"))
end)

test("a power cut loses exactly what was not flushed", function(t)
  local vm = provium:vm("a", { disks = { { scratch = "8M", mediated = true },
                                         { scratch = "8M", mediated = true },
                                         { scratch = "8M" } } }):boot()
  local disk, other = vm:disk("disk0"), vm:disk("disk1")
  put(vm, "vda", 0, "kept"):assert_ok()
  put(vm, "vdb", 0, "kept"):assert_ok()
  -- The same page as what is kept, and another.
  put(vm, "vda", 1, "lost", UNFLUSHED):assert_ok()
  put(vm, "vda", 0, "over", UNFLUSHED):assert_ok()
  put(vm, "vdb", 900, "lost", UNFLUSHED):assert_ok()
  put(vm, "vdc", 0, "plain", UNFLUSHED):assert_ok()
  t:assert_eq(disk:read_sectors(0, 2), sector("over") .. sector("lost"))
  disk:power_cut()
  t:assert_eq(vm:state(), "booted")
  t:assert_eq(get(vm, "vda", 0).stdout, sector("kept"))
  t:assert_eq(get(vm, "vda", 1).stdout, sector(""))
  t:assert_eq(get(vm, "vdb", 0).stdout, sector("kept"))
  t:assert_eq(get(vm, "vdb", 900).stdout, sector(""))
  t:assert_eq(get(vm, "vdc", 0).stdout, sector("plain"))
  t:assert_eq(other:read_sectors(900, 1), sector(""))
  put(vm, "vda", 1, "after"):assert_ok()
  t:assert_eq(get(vm, "vda", 1).stdout, sector("after"))
end)

test("power goes while the guest writes", function(t)
  local vm = mediated("a", { scratch = "32M" })
  local disk = vm:disk("disk0")
  vm:run_async("while :; do echo x | " ..
               "dd of=/dev/vda bs=512 conv=notrunc,sync; " ..
               "dd if=/dev/urandom of=/dev/vda bs=256K seek=4 count=8 " ..
               "oflag=direct conv=notrunc; done 2>/dev/null")
  wait_until(function() return disk:read_sectors(2048, 1) ~= sector("") end)
  disk:power_cut()
  -- Nothing was ever flushed.
  t:assert(disk:read_sectors(0, 65536) == ("\0"):rep(32 * MIB), "all is lost")
  t:assert_eq(get(vm, "vda", 2048).stdout, sector(""))
end)

-- The delay keeps every request in flight far longer than the cut takes to
-- reach QEMU, so that QEMU stops with all of them unanswered.
test("power goes while requests are in flight", function(t)
  local vm = mediated("a", { scratch = "32M" })
  local disk = vm:disk("disk0")
  put(vm, "vda", 0, "kept"):assert_ok()
  disk:fault_inject("slow", { delay = "5s" })
  for i = 1, 4 do
    vm:run_async(("dd if=/dev/zero of=/dev/vda bs=4096 seek=%d count=1 " ..
                  "oflag=direct conv=notrunc"):format(i))
  end
  wait_until(function()
    return vm:read_file("/sys/block/vda/inflight"):match("%s(%d+)%s*$") == "4"
  end)
  disk:power_cut()
  t:assert_eq(vm:state(), "booted")
  disk:clear_faults()
  t:assert_eq(get(vm, "vda", 0).stdout, sector("kept"))
end)

test("templates and images in place can be mediated", function(t)
  local dir = t:tmpdir()
  local bytes = ("0123456789abcde\n"):rep(640)
  local tpl, own = write_host(dir .. "/tpl", bytes), write_host(dir .. "/own", bytes)
  local vm = provium:vm("a", { disks = {
    { template = tpl, mediated = true }, { path = own, mediated = true },
    { path = tpl, readonly = true, mediated = true } } }):boot()
  for _, dev in ipairs({ "vda", "vdb" }) do put(vm, dev, 1, "new"):assert_ok() end
  t:assert(not put(vm, "vdc", 1, "new"):ok())
  for _, dev in ipairs({ "vda", "vdb" }) do
    t:assert_eq(vm:run("cat /dev/" .. dev).stdout,
                bytes:sub(1, 512) .. sector("new") .. bytes:sub(1025))
  end
  t:assert_eq(vm:run("cat /dev/vdc").stdout, bytes)
  t:assert_eq(read_host(tpl), bytes)
  t:assert_eq(read_host(own), bytes:sub(1, 512) .. sector("new") .. bytes:sub(1025))
  local second = provium:vm("b", { disks = { { path = own, mediated = true } } })
  t:assert_match(tostring(t:assert_raises(function() second:boot() end)),
                 "image '.*own' is in use by another guest")
end)

test("snapshots have mediated disks, too", function(t)
  local vm = provium:vm("a", { disks = { { scratch = "8M", mediated = true },
                                         { scratch = "8M" } } }):boot()
  put(vm, "vda", 0, "one"):assert_ok()
  local first = vm:snapshot()
  put(vm, "vda", 1, "two"):assert_ok()
  local second = vm:snapshot()
  put(vm, "vda", 0, "three"):assert_ok()
  vm:restore(first)
  t:assert_eq(get(vm, "vda", 0).stdout, sector("one"))
  t:assert_eq(get(vm, "vda", 1).stdout, sector(""))
  vm:restore(second)
  t:assert_eq(vm:disk("disk0"):read_sectors(0, 2), sector("one") .. sector("two"))
  put(vm, "vda", 0, "lost", UNFLUSHED):assert_ok()
  vm:disk("disk0"):power_cut()
  t:assert_eq(get(vm, "vda", 0).stdout, sector("one"))
end)

test("disks are attached before the first boot", function(t)
  local image = write_host(t:tmpdir() .. "/image", ("image..."):rep(64))
  local vm = provium:vm("a", { disks = { { scratch = "1M" } } })
  local one = vm:attach_disk({ id = "one", size = "2M" })
  local two = vm:attach_disk({ id = "two", image = image, readonly = true })
  t:assert_match(tostring(t:assert_raises(function() one:size() end)),
                 "VM 'a' is created: call vm:boot%(%) first")
  for _, case in ipairs({
    { { size = "1M" }, "id must be" },
    { { id = "x" }, "there must be one of size and image, got none" },
    { { id = "x", size = "1M", image = image }, "got both" },
    { { id = "x", size = 100 }, "size: 100 bytes are no size" },
  }) do
    t:assert_match(tostring(t:assert_raises(function()
      vm:attach_disk(case[1])
    end)), case[2])
  end
  vm:boot()
  t:assert_eq({ one:size(), two:size() }, { 2 * MIB, 512 })
  t:assert_eq(vm:read_file("/sys/block/vdb/serial"), "one")
  put(vm, "vdb", 0, "guest"):assert_ok()
  t:assert_eq(one:read_sectors(0, 1), sector("guest"))
  t:assert_eq(two:read_sectors(0, 1), ("image..."):rep(64))
  t:assert_match(tostring(t:assert_raises(function()
    vm:attach_disk({ id = "late", size = "1M" })
  end)), "VM 'a' is booted, and a disk cannot be plugged in later")
end)
