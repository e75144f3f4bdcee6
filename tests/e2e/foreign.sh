#!/bin/sh
# Images with an init of their own: the agent starts first, hands over to the
# image's /init with PID 1, and follows it into another root. Ends with
# "N passed, N failed".
#   foreign.sh PROVIUM
set -eu

provium=$(readlink -f "$1")
work=$(mktemp -d "${TMPDIR:-/tmp}/provium-foreign.XXXXXX")
trap 'rm -rf "$work"' EXIT
image=$("$provium" guest path)

# initrd NAME: one whose /init is the standard input, behind the default
# image (archives in a row are one initrd), compressed as users' are.
initrd() {
	mkdir -p "$work/$1"
	cat >"$work/$1/init"
	chmod 755 "$work/$1/init"
	(cd "$work/$1" && echo init | cpio -o -H newc --quiet) |
	    cat "$image/initrd.cpio" - | gzip -1 >"$work/$1.gz"
}

initrd script <<'END'
#!/bin/sh
set -e
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
echo $$ >/run/init-pid
echo "$*" >/run/init-args
echo "foreign init runs" >/dev/console
while :; do sleep 1000000; done
END

initrd switch <<'END'
#!/bin/sh
set -e
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mkdir /new
mount -t tmpfs new /new
mkdir /new/proc /new/dev /new/bin /new/tmp
cp /bin/busybox /new/bin/
ln -s busybox /new/bin/sh
printf '#!/bin/sh\necho in the new root >/dev/console\nexec busybox sleep 1000000\n' >/new/real-init
chmod 755 /new/real-init
echo new >/new/which-root
mount --move /proc /new/proc
mount --move /dev /new/dev
exec switch_root /new /real-init
END

# Two names of one file.
mkdir "$work/links"
(cd "$work/links" && mkdir bin && echo one >bin/one && ln bin/one bin/two &&
    find . | cpio -o -H newc --quiet) | cat "$image/initrd.cpio" - | gzip -1 >"$work/links.gz"

# A kernel that has made_up built in, by what the image says of it.
release=$(sed -n 's/^release //p' "$image/info")
mkdir -p "$work/builtin/lib/modules/$release"
echo "kernel/drivers/made-up.ko" >"$work/builtin/lib/modules/$release/modules.builtin"
(cd "$work/builtin" && find lib | cpio -o -H newc --quiet) |
    cat "$image/initrd.cpio" - | gzip -1 >"$work/builtin.gz"

# lz4_initrd REMAINDER: one whose size leaves that remainder by 512. The kernel's reader
# takes the four bytes behind it.
mkdir "$work/pad"
lz4 -q -l -1 <"$image/initrd.cpio" >"$work/image.lz4"
lz4_initrd() {
	: >"$work/pad/pad"
	while :; do
		(cd "$work/pad" && echo pad | cpio -o -H newc --quiet) |
		    lz4 -q -l | cat "$work/image.lz4" - >"$work/lz4-$1.gz"
		[ $(($(stat -c %s "$work/lz4-$1.gz") % 512)) -ne "$1" ] || return 0
		head -c 1 /dev/urandom >>"$work/pad/pad"
	done
}
for remainder in 0 509 511; do lz4_initrd $remainder; done

initrd not-executable </dev/null
chmod 644 "$work/not-executable/init"
(cd "$work/not-executable" && echo init | cpio -o -H newc --quiet) |
    cat "$image/initrd.cpio" - | gzip -1 >"$work/not-executable.gz"

initrd no-interpreter <<'END'
#!/bin/nobody
END

modules=$(sed -n 's|^serial \(.*\)|"\1",|p' "$image/modules.list")
profile() {
	echo "$1 = {kernel = '$image/vmlinux', initrd = '$work/${2:-$1}.gz',
	    modules = {${3-}$modules}},"
}
mkdir "$work/tests"
{
	echo "return {profiles = {"
	profile script
	profile switch
	profile links
	profile absent script '"/lib/nope.ko", "nosuch",'
	profile builtin builtin '"made_up", "made-up", "/lib/modules/made_up.ko.xz", "made",'
	profile "['not-executable']" not-executable
	profile "['no-interpreter']" no-interpreter
	profile "['lz4-0']" lz4-0
	profile "['lz4-509']" lz4-509
	profile "['lz4-511']" lz4-511
	echo "}}"
} >"$work/tests/provium.lua"

cat >"$work/tests/foreign.test.lua" <<'END'
test("the image's own init is PID 1, the agent answers beside it", function(t)
  local vm = provium:vm("a", "script"):boot()
  vm:console():expect("foreign init runs", 60)
  t:assert_eq(vm:read_file("/run/init-pid"), "1\n")
  t:assert_eq(vm:read_file("/proc/1/comm"), "init\n")
  t:assert_eq(vm:run("echo works").stdout, "works\n")
  vm:shutdown()
  t:assert_eq(vm:state(), "shutdown")
end)

test("the agent follows init into another root", function(t)
  local vm = provium:vm("b", "switch"):boot()
  vm:console():expect("in the new root", 60)
  t:assert_eq(vm:read_file("/which-root"), "new\n")
  t:assert_eq(vm:run({"busybox", "cat", "/which-root"}).stdout, "new\n")
end)

test("a file of the boot's takes one name, not all hard links of it", function(t)
  local vm = provium:vm("c", "links"):boot({
    files = {{path = "/bin/two", content = "2\n"}}})
  t:assert_eq(vm:read_file("/bin/one"), "one\n")
  t:assert_eq(vm:read_file("/bin/two"), "2\n")
end)

for name, why in pairs({["not-executable"] = "Permission denied",
                        ["no-interpreter"] = "No such file or directory"}) do
  test("an /init that cannot be executed fails the guest: " .. name, function(t)
    local e = t:assert_raises(function()
      provium:vm("e", name):boot():console():expect("never said", 60)
    end)
    t:assert_contains(tostring(e), "the image's /init cannot be executed: " .. why)
  end)
end

test("modules that the image does not have are told of", function(t)
  local log = provium:vm("f", "absent"):boot():console():read_log()
  t:assert_contains(log, "module /lib/nope.ko: the image has no such file")
  t:assert_contains(log, "module nosuch: the image has no such file")
end)

test("a module that the kernel has built in is not absent", function(t)
  local log = provium:vm("g", "builtin"):boot():console():read_log()
  t:assert_contains(log, "module made: the image has no such file")
  t:assert(not log:find("made.up"), "made_up is told of: " .. log)
end)

for _, remainder in ipairs({0, 509, 511}) do
  test("an lz4 initrd of any size boots: " .. remainder, function(t)
    local vm = provium:vm("d", "lz4-" .. remainder):boot()
    t:assert_eq(vm:run("echo works").stdout, "works\n")
  end)
end
END
"$provium" run ${CHECK_LOGS:+--artifacts "$CHECK_LOGS"} \
    --config "$work/tests/provium.lua" "$work/tests"
