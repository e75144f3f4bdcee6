-- Disks in snapshots: what a restored guest finds on them, whose it is, and
-- what it costs.

provium.timeout = "3m"

local host = require("host_file")
local write_host = host.write
local read_host = host.read

-- Sectors of a disk, past the guest's page cache where it reads.
local function put(vm, dev, sector, text)
  vm:run(("echo %s | dd of=/dev/%s bs=512 seek=%d conv=fsync,notrunc"):format(
         text, dev, sector), { check = true })
end

local function get(vm, dev, sector)
  vm:run("echo 3 >/proc/sys/vm/drop_caches", { check = true })
  return (vm:run(("dd if=/dev/%s bs=512 skip=%d count=1 2>/dev/null"):format(
                 dev, sector), { check = true }).stdout:match("^[^%z\n]*"))
end

local IMAGE = ("image..."):rep(1024)

test("a restored guest has its disks as they were", function(t)
  local image = write_host(t:tmpdir() .. "/image", IMAGE)
  local vm = provium:vm("a", { disks = { { scratch = "1G" },
                                         { template = image },
                                         { path = image, readonly = true } } })
  vm:boot()
  put(vm, "vda", 0, "before")
  put(vm, "vdb", 1, "before")
  local snapshot = vm:snapshot()
  put(vm, "vda", 0, "after")
  put(vm, "vda", 2000000, "more")
  put(vm, "vdb", 0, "after")
  for _ = 1, 2 do
    vm:restore(snapshot)
    t:assert_eq({ get(vm, "vda", 0), get(vm, "vda", 2000000),
                  get(vm, "vdb", 1), get(vm, "vdb", 0):sub(1, 8),
                  get(vm, "vdc", 1):sub(1, 8) },
                { "before", "", "before", "image...", "image..." })
    put(vm, "vda", 0, "again")
    put(vm, "vdb", 1, "again")
    t:assert_eq({ get(vm, "vda", 0), get(vm, "vdb", 1) },
                { "again", "again" })
  end
  t:assert_eq(read_host(image), IMAGE)
end)

test("the guest goes on writing after a snapshot, and after a reset", function(t)
  local vm = provium:vm("a", { disks = { { scratch = "64M" } } }):boot()
  put(vm, "vda", 0, "one")
  vm:snapshot()
  put(vm, "vda", 1, "two")
  t:assert_eq({ get(vm, "vda", 0), get(vm, "vda", 1) }, { "one", "two" })
  vm:reset()
  t:assert_eq({ get(vm, "vda", 0), get(vm, "vda", 1) }, { "one", "two" })
  vm:shutdown()
  vm:boot()
  t:assert_eq({ get(vm, "vda", 0), get(vm, "vda", 1) }, { "one", "two" })
end)

test("snapshots of a restored guest build on each other", function(t)
  local vm = provium:vm("a", { disks = { { scratch = "64M" } } }):boot()
  local snapshots = {}
  for i = 1, 4 do
    put(vm, "vda", i, "written" .. i)
    snapshots[i] = vm:snapshot()
    if i % 2 == 0 then vm:restore(snapshots[i]) end
  end
  for i = 1, 3 do snapshots[i]:delete() end
  vm:restore(snapshots[4])
  for i = 1, 4 do t:assert_eq(get(vm, "vda", i), "written" .. i) end
  -- Those below are gone from their own folders; this guest has them still.
  snapshots[4]:delete()
  local last = vm:snapshot()
  put(vm, "vda", 4, "other")
  vm:restore(last)
  for i = 1, 4 do t:assert_eq(get(vm, "vda", i), "written" .. i) end
end)

test("any number of guests begin with the same disk", function(t)
  local vm = provium:vm("a", { disks = { { scratch = "64M" } } }):boot()
  put(vm, "vda", 0, "same")
  local dir = t:tmpdir() .. "/snap"
  vm:snapshot(dir)
  vm:close()
  local guests = {}
  for i = 1, 3 do guests[i] = provium:vm("g" .. i):restore(dir) end
  for i, g in ipairs(guests) do put(g, "vda", 1, "own" .. i) end
  for i, g in ipairs(guests) do
    t:assert_eq({ get(g, "vda", 0), get(g, "vda", 1) }, { "same", "own" .. i })
  end
end)

test("a disk that was not written adds no file", function(t)
  local vm = provium:vm("a", { disks = { { scratch = "64M" } } }):boot()
  put(vm, "vda", 0, "x")
  local dir = t:tmpdir()
  for i = 1, 3 do vm:snapshot(dir .. "/" .. i) end
  local info = json.decode(read_host(dir .. "/3/info.json"))
  t:assert_eq(info.disks[1].layers, 1)
  t:assert_eq(info.disks[1].size, 64 * 1024 * 1024)
end)

test("a disk that is written in place is refused, and goes on", function(t)
  local image = write_host(t:tmpdir() .. "/image", IMAGE)
  local vm = provium:vm("a", { disks = { { path = image, id = "own" } } }):boot()
  t:assert_match(tostring(t:assert_raises(function() vm:snapshot() end)),
                 "disk 'own': the guest writes '.*image' itself, which a " ..
                 "snapshot would not hold: give the image as template")
  put(vm, "vda", 0, "goes on")
  t:assert_eq(read_host(image):sub(1, 8), "goes on\n")
end)

test("a snapshot whose image or file changed is refused", function(t)
  local dir = t:tmpdir()
  local image = write_host(dir .. "/image", IMAGE)
  local vm = provium:vm("a", { disks = { { scratch = "64M" },
                                         { template = image } } }):boot()
  put(vm, "vda", 0, "x")
  vm:snapshot(dir .. "/snap")
  vm:close()
  local function refusal()
    local other = provium:vm("b")
    local err = tostring(t:assert_raises(function()
      other:restore(dir .. "/snap")
    end))
    other:close()
    return err
  end
  local layer = read_host(dir .. "/snap/disk0.0")
  write_host(dir .. "/snap/disk0.0", layer:sub(1, -2))
  t:assert_match(refusal(), "its file 'disk0.0' is missing or cut")
  write_host(dir .. "/snap/disk0.0", layer:sub(1, -2) .. "x")
  t:assert_match(refusal(), "its file 'disk0.0' is not what was written")
  write_host(dir .. "/snap/disk0.0", layer)
  write_host(image, IMAGE .. "longer")
  t:assert_match(refusal(), "the image '.*' of disk 'disk1' is not what it was")
end)

-- An empty qcow2 image of 1 MiB over another file; 64 KiB a cluster.
local function overlay_on(name)
  local head = "QFI\251" .. string.pack(">I4I8I4I4I8I4I4I8I8I4I4I8I8I8I8I4I4",
    3, 512, #name, 16, 1024 * 1024, 0, 1, 3 * 65536, 65536, 1, 0, 0, 0, 0, 0,
    4, 104) .. string.pack(">I4I4", 0xe2792aca, 3) .. "raw" .. ("\0"):rep(13)
  local function cluster(text)
    return text .. ("\0"):rep(65536 - #text)
  end
  return cluster(head .. ("\0"):rep(512 - #head) .. name) ..
         cluster(string.pack(">I8", 2 * 65536)) ..
         cluster(("\0\1"):rep(4)) .. cluster("")
end

test("a snapshot whose template's backing file changed is refused", function(t)
  local dir = t:tmpdir()
  write_host(dir .. "/base.img", "base" .. ("\0"):rep(1024 * 1024 - 4))
  local image = write_host(dir .. "/over.qcow2", overlay_on("base.img"))
  local vm = provium:vm("a", { disks = { { template = image } } }):boot()
  t:assert_eq(vm:run("head -c 4 /dev/vda").stdout, "base")
  vm:snapshot(dir .. "/snap")
  vm:close()
  write_host(dir .. "/base.img", "else" .. ("\0"):rep(1024 * 1024 - 4))
  local other = provium:vm("b")
  local err = tostring(t:assert_raises(function()
    other:restore(dir .. "/snap")
  end))
  t:assert_match(err, "the image '.*over.qcow2' of disk 'disk0' is not what it was")
end)
