#!/bin/sh
# What cannot work is refused in one clear line: configs, profiles, kernels,
# QEMUs and agents that are not what they should be. Ends with "N passed,
# N failed".
#   refusals.sh PROVIUM OTHER_AGENT
set -u

provium=$(readlink -f "$1")
other_agent=$(readlink -f "$2")
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/ref.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
unset NO_COLOR
export XDG_RUNTIME_DIR="$work/runtime"
mkdir -m 700 "$XDG_RUNTIME_DIR"
cd "$work" || exit 2
. "$top/tests/e2e/claims.sh"

# boot_fails NAME OPTIONS: runs a test in a directory of that name, which fails
# as it boots a VM with these options.
boot_fails() {
	file "$1/a.test.lua" <<END
test("a", function(t) provium:vm("a"):boot($2) end)
END
	run 1 run "$1"
}

file boot/a.test.lua <<'END'
test("a", function(t) provium:vm("a"):boot() end)
END

claim "a full file system is named, not the file that is copied to it"
map=
[ "$(id -u)" = 0 ] || map=-r
mkdir full
# shellcheck disable=SC2086,SC2016 # an option or none; for the shell in it
unshare $map -m sh -c '
    mount -t tmpfs -o size=1m none full || exit 9
    XDG_RUNTIME_DIR=$PWD/full "$1" run boot' sh "$provium" >out 2>err
got=$?
[ "$got" = 1 ] || complain "status $got, not 1"
out "the file system at '$work/full' (1.0 MiB) is full"
no_out "cannot copy initrd"

claim "an unknown profile is named, with those there are"
file profile/provium.lua <<'END'
return {profiles = {mine = {memory = "128M"}}}
END
file profile/a.test.lua <<'END'
test("a", function(t) provium:vm("a", "yours") end)
END
run 1 run --config profile/provium.lua profile
out "yours"
out "mine"
out "profile/a.test.lua:1:"

claim "a config that is not a table is refused"
file config1/provium.lua <<'END'
return 7
END
run 2 run --config config1/provium.lua boot
err "config1/provium.lua"
err "table"

claim "an unknown key of the config is refused with the nearest"
file config2/provium.lua <<'END'
return {defualt_profile = "x"}
END
run 2 run --config config2/provium.lua boot
err "config2/provium.lua"
err "defualt_profile"
err "default_profile"

claim "a config with a syntax error is refused with its line"
file config3/provium.lua <<'END'
return {
  roots = ,
}
END
run 2 run --config config3/provium.lua boot
err "config3/provium.lua:2:"

claim "a config that is missing is refused"
run 2 run --config nowhere.lua boot
err "nowhere.lua"

claim "a missing kernel is named"
file kernel/provium.lua <<'END'
return {default_profile = "k", profiles = {k = {kernel = "/no/vmlinuz"}}}
END
run 1 run --config kernel/provium.lua boot
out "/no/vmlinuz"
out "No such file or directory"
out "boot/a.test.lua:1:"

claim "a missing initrd is named"
image=$("$provium" guest path) || exit 2
file initrd/provium.lua <<END
return {default_profile = "k", profiles = {
  k = {kernel = "$image/vmlinux", initrd = "/no/initrd"}}}
END
run 1 run --config initrd/provium.lua boot
out "/no/initrd"

file sleep/a.test.lua <<'END'
test("a", function(t) provium:vm("a", {suspend = true}):boot() end)
END
claim "a vmlinux cannot suspend"
file vmlinux/provium.lua <<END
return {default_profile = "k", profiles = {k = {kernel = "$image/vmlinux"}}}
END
run 1 run --config vmlinux/provium.lua sleep
out "kernel '$image/vmlinux' is a vmlinux, which does not survive a suspend: give its bzImage"
out "sleep/a.test.lua:1:"

claim "nor can a guest over vsock"
file vsock/provium.lua <<END
return {default_profile = "k", profiles = {k = {transport = "vsock"}}}
END
run 1 run --config vsock/provium.lua sleep
out "profile 'k' has transport = 'vsock', over which no guest can suspend: use 'serial'"

claim "a bzImage of the user's own suspends"
file bzimage/provium.lua <<END
return {default_profile = "k", profiles = {k = {
  kernel = "$image/bzImage", initrd = "$image/initrd.cpio",
  modules = {$(sed -n 's|^serial \(.*\)|"\1",|p' "$image/modules.list")}}}}
END
file bzimage/a.test.lua <<'END'
test("a", function(t)
  local vm = provium:vm("a", {suspend = true}):boot()
  local p = vm:run_async("echo mem > /sys/power/state")
  vm:wakeup()
  t:assert(p:wait():ok())
end)
END
run 0 run --config bzimage/provium.lua bzimage

claim "a missing QEMU says what to install"
PROVIUM_QEMU=/no/qemu run 1 run boot
out "/no/qemu"

claim "a QEMU that refuses its arguments is quoted"
boot_fails args '{qemu_args = {"-bogus"}}'
out "-bogus: invalid option"

claim "an agent of another protocol is refused at once"
PROVIUM_AGENT=$other_agent run 1 run boot
out "agent speaks protocol 9999"

claim "a guest that never answers is told with its console"
file silent/provium.lua <<END
return {default_profile = "k", profiles = {
  k = {kernel = "$image/vmlinux"}}}
END
file silent/a.test.lua <<'END'
test("a", function(t) provium:vm("a"):boot({agent_timeout = 4}) end)
END
run 1 run --config silent/provium.lua silent
out "did not answer within 4 s"
out "its console printed"
out "console of a"
out "  | ["

claim "a guest with too little memory is told how much booted"
boot_fails little '{memory = "48M", agent_timeout = 4}'
out "did not answer within 4 s"
out "it has less than 80M of memory, the least with which the default guest boots"

claim "a conflicting rdinit= is refused"
boot_fails rdinit '{kernel_cmdline_append = "rdinit=/bin/sh"}'
out "rdinit="

claim "also in quotes, which the kernel strips"
boot_fails quoted '{kernel_cmdline_append = [["rdinit=/bin/sh"]]}'
out "rdinit=/bin/sh"
out "provium needs rdinit"

claim "a test whose time is up is told which stream held its process up"
file held/a.test.lua <<'END'
local vm = provium:vm("a"):boot()
test("a", {timeout = 20}, function()
  local p = vm:run_async("head -c 20000000 /dev/zero >&2; echo done")
  local unread = p:stderr_stream()
  wait_until(function() return unread:bytes() > 300000 end)
  p:wait()
end)
END
run 1 run held
out "timed out after 20s in process:wait at"
out "is still running; nobody reads its proc_stderr_stream, opened at"

claims_end
