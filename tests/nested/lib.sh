# Sourced by scripts that run things in a guest: the outer one. They set
# $provium, $work (a directory of their own) and $image (a guest's), and fill
# $root, which is put over that guest's file system.
# shellcheck shell=sh disable=SC2154

root=$work/root

# A program and the libraries it names, at the paths where they are here.
add_program() {
	for f in "$1" $(ldd "$1" | awk '/=> \// { print $3 }
	    /^[ \t]*\// { print $1 }'); do
		[ -e "$root$f" ] && continue
		mkdir -p "$root${f%/*}"
		cp -L "$f" "$root$f"
	done
}

# add_modules DIR NAME...: modules of the guest's kernel: this machine's, or the
# package's.
add_modules() {
	release=$(sed -n 's/^release //p' "$image/info")
	modules=/lib/modules/$release
	if [ ! -d "$modules" ]; then
		(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download \
		    "linux-image-$release" &&
		    dpkg-deb -x linux-image-*.deb "$work/kernel")
		modules=$work/kernel/lib/modules/$release
	fi
	dir=$1
	shift
	for m in "$@"; do
		find "$modules" -name "$m.ko*" -exec cp {} "$root$dir/" \;
	done
}

# The modules that the agent loads for a transport, as a Lua list.
modules_for() {
	sed -n "s|^$1 \\(.*\\)|\"\\1\",|p" "$image/modules.list"
}

# run_outer TEST MEMORY: the test, on that guest.
run_outer() {
	# Two archives in a row are one initrd.
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/nested.cpio"
	cat "$image/initrd.cpio" "$work/nested.cpio" >"$work/outer.cpio"
	mkdir "$work/tests"
	cp "$1" "$work/tests/outer.test.lua"
	cat >"$work/tests/provium.lua" <<END
return {
  default_profile = "outer",
  profiles = {
    outer = {
      kernel = "$image/vmlinux",
      initrd = "$work/outer.cpio",
      modules = {$(modules_for serial)},
      memory = "$2",
      cmdline = "quiet",
    },
  },
}
END
	"$provium" run ${CHECK_LOGS:+--artifacts "$CHECK_LOGS"} \
	    --config "$work/tests/provium.lua" "$work/tests"
}
