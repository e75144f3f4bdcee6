-- Disks: what the guest finds, where what it writes goes, what is refused.

provium.timeout = "3m"

local host = require("host_file")
local write_host = host.write
local read_host = host.read

local function put(vm, dev, text)
  vm:run(("echo %s | dd of=/dev/%s conv=fsync,notrunc"):format(text, dev),
         { check = true })
end

local function get(vm, dev, n)
  return vm:run(("dd if=/dev/%s bs=%d count=1 2>/dev/null"):format(dev, n),
                { check = true }).stdout
end

local IMAGE = ("image..."):rep(1024)

test("disks come in order, with their ids as serial numbers", function(t)
  local image = write_host(t:tmpdir() .. "/image", IMAGE)
  local vm = provium:vm("a", { disks = {
    { scratch = "1G" },
    { id = "tpl", template = image },
    { id = "ro", path = image, readonly = true },
  } }):boot()
  local function of(dev, what)
    return (vm:read_file("/sys/block/" .. dev .. "/" .. what):gsub("%s+$", ""))
  end
  t:assert_eq({ of("vda", "serial"), of("vdb", "serial"), of("vdc", "serial") },
              { "disk0", "tpl", "ro" })
  t:assert_eq({ of("vda", "size"), of("vdb", "size"), of("vdc", "size") },
              { "2097152", "16", "16" })
  t:assert_eq({ of("vda", "ro"), of("vdb", "ro"), of("vdc", "ro") },
              { "0", "0", "1" })
  t:assert_eq(get(vm, "vda", 8), ("\0"):rep(8))
  t:assert_eq(get(vm, "vdc", 8), "image...")
  t:assert(not vm:run("echo x | dd of=/dev/vdc conv=fsync"):ok())
end)

test("a template stays as it is, whatever guests write", function(t)
  local image = write_host(t:tmpdir() .. "/image", IMAGE)
  local vms = { provium:vm("a", { disks = { { template = image } } }),
                provium:vm("b", { disks = { { template = image } } }) }
  provium:boot()
  for i, vm in ipairs(vms) do put(vm, "vda", "guest" .. i) end
  t:assert_eq(get(vms[1], "vda", 8), "guest1\n.")
  t:assert_eq(get(vms[2], "vda", 8), "guest2\n.")
  t:assert_eq(read_host(image), IMAGE)
end)

test("what is written in place is in the image", function(t)
  local image = write_host(t:tmpdir() .. "/image", IMAGE)
  local vm = provium:vm("a", { disks = { { path = image } } }):boot()
  put(vm, "vda", "written")
  t:assert_eq(read_host(image):sub(1, 16), "written\nimage...")
  vm:shutdown()
  local other = provium:vm("b", { disks = { { path = image } } }):boot()
  t:assert_eq(get(other, "vda", 8), "written\n")
end)

test("a disk keeps what it has over a reset and a shutdown", function(t)
  local vm = provium:vm("a", { disks = { { scratch = "64M" } } }):boot()
  put(vm, "vda", "first")
  vm:reset()
  t:assert_eq(get(vm, "vda", 6), "first\n")
  vm:shutdown()
  vm:boot()
  t:assert_eq(get(vm, "vda", 6), "first\n")
  -- Options make a new machine, and its disks are new.
  vm:shutdown()
  vm:boot({ memory = "200M" })
  t:assert_eq(get(vm, "vda", 6), ("\0"):rep(6))
end)

test("relative paths are those of the file that says them", function(t)
  local here = debug.getinfo(1, "S").source:sub(2):match("[^/]+$")
  local vm = provium:vm("a", { disks = { { template = here } } }):boot()
  t:assert_match(get(vm, "vda", 9), "^%-%- Disks:$")
end)

test("disks that cannot be are refused when they are declared", function(t)
  for _, case in ipairs({
    { { {} }, "disks%[1%] must have exactly one of path, template and scratch, got none" },
    { { { scratch = "1G", path = "x" } }, "got several" },
    { { { scratch = 1000 } }, "disks%[1%].scratch: 1000 bytes are no size" },
    { { { scratch = 0 } }, "0 bytes are no size" },
    { { { scratch = "1G", readonly = true } }, "would stay empty" },
    { { { scratch = "1G", id = "a b" } }, "disks%[1%].id must be" },
    { { { scratch = "1G", id = ("x"):rep(21) } }, "disks%[1%].id must be" },
    { { { template = "" } }, "the path is empty" },
    { { { template = "x", pth = 1 } }, "pth" },
    { { 1 }, "disks%[1%] must be a table" },
    { { a = 1 }, "a list without holes" },
  }) do
    local err = t:assert_raises(function()
      provium:vm("bad", { disks = case[1] })
    end)
    t:assert_match(tostring(err), "disk.test.lua:%d+: lab:vm: ")
    t:assert_match(tostring(err), case[2])
  end
end)

test("images that are none are refused at the boot", function(t)
  local dir = t:tmpdir()
  local qcow2 = "QFI\251\0\0\0\3" .. ("\0"):rep(16) ..
                "\0\0\0\0\0\16\0\0" .. ("\0"):rep(512)
  local names_a_file = "QFI\251\0\0\0\3\0\0\0\0\0\0\0\112" .. qcow2:sub(17)
  local function lies_on(name)
    return names_a_file:sub(1, 19) .. string.char(#name) ..
           qcow2:sub(21, 112) .. name .. qcow2
  end
  for i, case in ipairs({
    { { template = dir .. "/none" }, "image '.*/none': No such file" },
    { { template = dir }, "no regular file" },
    { { template = write_host(dir .. "/empty", "") }, "it is empty" },
    { { template = write_host(dir .. "/x.qcow2", IMAGE) }, "no qcow2 image" },
    { { path = write_host(dir .. "/raw.img", qcow2) }, "which a guest may" },
    { { template = write_host(dir .. "/evil.img", names_a_file) },
      "names other files, which a guest may have written" },
    { { template = write_host(dir .. "/x.vmdk", "KDMV\1\0\0\0") },
      "begins like a VMDK image: convert it" },
    { { path = write_host(dir .. "/x.img", "\31\139\8\0" .. IMAGE) },
      "begins like a gzip file: unpack it" },
    { { template = write_host(dir .. "/x.vhd",
                              IMAGE .. "conectix" .. ("\0"):rep(504)) },
      "ends like a VHD image: convert it" },
    { { template = write_host(dir .. "/nbd.qcow2", lies_on("nbd:host:1")) },
      "the backing file 'nbd:host:1' of '.*nbd.qcow2' is no path" },
    { { template = write_host(dir .. "/json.qcow2", lies_on("json:{}")) },
      "the backing file 'json:{}' of '.*json.qcow2' is no path" },
  }) do
    local vm = provium:vm("bad" .. i, { disks = { case[1] } })
    local err = tostring(t:assert_raises(function() vm:boot() end))
    t:assert_match(err, "vm:boot: VM bad" .. i .. ": disk 'disk0': image ")
    t:assert_match(err, case[2])
  end
  local twice = provium:vm("twice", { disks = { { scratch = "1M", id = "x" },
                                                { scratch = "1M", id = "x" } } })
  t:assert_match(tostring(t:assert_raises(function() twice:boot() end)),
                 "two of its disks have the id 'x'")
end)
