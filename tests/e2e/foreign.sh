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

modules=$(sed -n 's|^serial \(.*\)|"\1",|p' "$image/modules.list")
profile() {
	echo "$1 = {kernel = '$image/vmlinux', initrd = '$work/$1.gz',
	    modules = {$modules}},"
}
mkdir "$work/tests"
{
	echo "return {profiles = {"
	profile script
	profile switch
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
END
"$provium" run ${CHECK_LOGS:+--artifacts "$CHECK_LOGS"} \
    --config "$work/tests/provium.lua" "$work/tests"
