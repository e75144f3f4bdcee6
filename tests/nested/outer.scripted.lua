-- The outer guest: loads the kernel's vhost_vsock, runs provium in it.
provium.timeout = 2400

test("the smoke suite passes over the kernel's vhost-vsock", function(t)
  local vm = provium:vm("outer"):boot({agent_timeout = 300})
  vm:run([[
    cd /nested
    modprobe vmw_vsock_virtio_transport_common || exit 1
    for m in vhost_iotlb vhost vhost_vsock; do
      for f in $m.ko*; do
        case $f in *.xz) xz -d $f ;; *.zst) zstd -d --rm $f ;; esac
      done
      insmod $m.ko || exit 1
    done]], {check = true})
  t:assert_eq(vm:stat("/dev/vhost-vsock").entry_type, "char_device")

  -- One process with its output on the console too, so that a hang shows
  -- how far it came.
  local r = vm:run([[
    export XDG_RUNTIME_DIR=/tmp HOME=/root
    provium doctor 2>&1
    provium run -v --config /nested/tests/provium.lua \
      /nested/tests/smoke.test.lua 2>&1 | tee /dev/console
    exit 0]], {timeout = 2000})
  t:log(r.stdout)
  t:assert_contains(r.stdout, "vsock")
  t:assert_match(r.stdout, "\n%d+ passed, 0 failed")
  t:assert(not r.stdout:find("\n0 passed"), "nothing ran")
end)
