#!/bin/sh
# Files of the boot options on an image's own directories, links and files.
# Ends with "N passed, N failed".
#   boot_files.sh PROVIUM
set -eu

provium=$(readlink -f "$1")
work=$(mktemp -d "${TMPDIR:-/tmp}/provium-boot-files.XXXXXX")
trap 'rm -rf "$work"' EXIT
image=$("$provium" guest path)
export PROVIUM_CACHE_DIR="$work/cache"
mkdir -p "$work/cache/guests"
cp -R "$image" "$work/cache/guests/"

# archive OWNER PATH...: of $work/tree, as root or as another owner.
archive() {
	owner=$1
	shift
	(cd "$work/tree" && printf '%s\n' "$@" | cpio -o -H newc -R "$owner" --quiet)
}

# Several archives in a row are one initrd. The default guest's is the first.
mkdir -p "$work/tree/home/u/sub" "$work/tree/full" "$work/tree/empty" "$work/tree/lib/firmware/full"
cd "$work/tree"
chmod 700 home/u
chmod 2751 home/u/sub
echo inside >full/inside
echo blob >lib/firmware/full/blob
echo text >text
ln -s text to-text
ln -s full to-full
ln -s /home/u to-home
ln -s nowhere dangling
cat >init <<'END'
#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev
echo "the image's init runs" >/dev/console
cat /new/for-init >/dev/console
while :; do sleep 1000000; done
END
chmod 755 init
cd "$work"
{
	cat "$image/initrd.cpio"
	archive 0:0 home full full/inside empty text to-text to-full to-home dangling lib lib/firmware \
	    lib/firmware/full lib/firmware/full/blob
	archive 1000:1001 home/u home/u/sub
} >image.cpio
gzip -1 <image.cpio >plain.gz
# What a guest of 320M unpacks may take 114M.
head -c 100M /dev/zero >tree/zeros
archive 0:0 zeros | cat image.cpio - | gzip -1 >big.gz
archive 0:0 init | cat image.cpio - | gzip -1 >init.gz

modules=$(sed -n 's|^serial \(.*\)|"\1",|p' "$image/modules.list")
profile() {
	echo "$1 = {kernel = '$image/vmlinux', initrd = '$work/${2:-$1}.gz',
	    modules = {$modules}, ${3-}},"
}
mkdir "$work/tests"
{
	echo "return {roots = {'.'}, profiles = {"
	profile plain
	profile init
	profile big
	profile wrong plain "files = {{path = '/full', content = ''}}"
	profile right plain "files = {{path = '/home/u/declared', content = 'declared'}}"
	echo "}}"
} >"$work/tests/provium.lua"

cat >"$work/tests/booted.fixture.lua" <<'END'
local vm = provium:vm("g", "right"):boot({
  files = {{path = "/home/u/given", content = "given"}}})
return vm:snapshot()
END

cat >"$work/tests/files.test.lua" <<'END'
local function octal(text)
  return tonumber(text, 8)
end

local function owner_and_mode(vm, path)
  local s = vm:stat(path)
  return ("%d:%d %o"):format(s.uid, s.gid, s.perm)
end

test("directories of the image keep owner and mode", function(t)
  local vm = provium:vm("a", "plain"):boot({files = {
    {path = "/home/u/.profile", content = "1"},
    {path = "/home/u/sub/deep/er/x", content = "2", mode = octal("600")},
    {path = "/new/x", content = "3"},
  }})
  t:assert_eq(owner_and_mode(vm, "/home/u"), "1000:1001 700")
  t:assert_eq(owner_and_mode(vm, "/home/u/sub"), "1000:1001 2751")
  t:assert_eq(owner_and_mode(vm, "/home/u/.profile"), "0:0 644")
  t:assert_eq(owner_and_mode(vm, "/home/u/sub/deep/er"), "0:0 755")
  t:assert_eq(owner_and_mode(vm, "/home/u/sub/deep/er/x"), "0:0 600")
  t:assert_eq(vm:read_file("/home/u/.profile"), "1")
  t:assert_eq(vm:read_file("/home/u/sub/deep/er/x"), "2")
  t:assert_eq(owner_and_mode(vm, "/new"), "0:0 755")
  t:assert_eq(vm:read_file("/new/x"), "3")
end)

test("a directory may be behind a symlink", function(t)
  local vm = provium:vm("b", "plain"):boot({files = {
    {path = "/to-home/x", content = "1"},
    {path = "/to-full/y/z", content = "2"},
    {path = "/home/u/same", content = "first"},
    {path = "/to-home/same", content = "last"},
  }})
  t:assert_eq(vm:read_file("/home/u/x"), "1")
  t:assert_eq(vm:read_file("/full/y/z"), "2")
  t:assert_eq(vm:read_file("/home/u/same"), "last")
  t:assert_eq(owner_and_mode(vm, "/home/u"), "1000:1001 700")
  t:assert_eq(vm:run("readlink /to-home; readlink /to-full").stdout, "/home/u\nfull\n")
end)

test("files, symlinks to them and empty directories make way", function(t)
  local vm = provium:vm("c", "plain"):boot({files = {
    {path = "/to-text", content = "1"},
    {path = "/dangling", content = "2"},
    {path = "/empty", content = "3"},
    {path = "/lib/firmware/blob", content = "4"},
    {path = "/lib/firmware/vendor/blob", content = "5"},
  }})
  t:assert_eq(vm:run("cat /to-text /dangling /empty /lib/firmware/blob"
    .. " /lib/firmware/vendor/blob").stdout, "12345")
  t:assert_eq(vm:read_file("/text"), "text\n")
  t:assert_eq(vm:run("ls -A /.provium").stdout, "agent\nconfig\n")
end)

local REFUSED = {
  ["/full"] = "the image has a directory there that is not empty",
  ["/to-full"] = "the image has a symlink to a directory there",
  ["/text/x"] = "'/text' of the image is not a directory",
  ["/lib/firmware/full"] = "the image has a directory there that is not empty",
  ["/dev/x"] = "a file system that is mounted at the start hides it",
}

for path, why in pairs(REFUSED) do
  test("no file takes the place of another kind: " .. path, function(t)
    local e = t:assert_raises(function()
      provium:vm("d", "plain"):boot({files = {
        {path = "/new/x", content = "x"}, {path = path, content = "x"},
      }})
    end)
    t:assert_match(e, ("^[^\n]*: VM d: file '%s' for the guest: %s[\n;]"):format(
      path:gsub("%p", "%%%0"), why:gsub("%p", "%%%0")))
  end)
end

test("a profile's files are looked at as those of boot", function(t)
  local e = t:assert_raises(function() provium:vm("e", "wrong"):boot() end)
  t:assert_contains(e, "VM e: file '/full' for the guest: the image has a directory")
  local vm = provium:vm("f", "right"):boot()
  t:assert_eq(vm:read_file("/home/u/declared"), "declared")
end)

test("a fixture has them, and a reset brings them again", function(t)
  local vm = provium.vm_fixture("booted")
  t:assert_eq(vm:run("cat /home/u/declared /home/u/given").stdout, "declaredgiven")
  vm:run("rm /home/u/given")
  vm:reset()
  t:assert_eq(vm:read_file("/home/u/given"), "given")
  t:assert_eq(owner_and_mode(vm, "/home/u"), "1000:1001 700")
end)

test("an image's own init finds them, and does not run without them", function(t)
  local vm = provium:vm("h", "init"):boot({files = {
    {path = "/new/for-init", content = "for init\n"}}})
  vm:console():expect("for init", 60)
  local other = provium:vm("i", "init")
  local e = t:assert_raises(function()
    other:boot({files = {{path = "/full", content = ""}}})
  end)
  t:assert_contains(e, "VM i: file '/full' for the guest: the image has a directory")
  local log = other:console():read_log()
  t:assert_eq(log:find("the image's init runs", 1, true), nil)
end)

test("what did not fit into the guest's memory is told of", function(t)
  local e = t:assert_raises(function()
    provium:vm("j", "big", {memory = "320M"}):boot({files = {
      {path = "/new/x", content = "x"},
      {path = "/much", content = ("x"):rep(40 * 1024 * 1024)}}})
  end)
  t:assert_contains(e, "VM j: file '/much' for the guest: "
    .. "the kernel did not unpack all of it: the guest needs more memory")
end)
END
"$provium" run ${CHECK_LOGS:+--artifacts "$CHECK_LOGS"} \
    --config "$work/tests/provium.lua" "$work/tests"
