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

# path_of NAME: where that program is. Without it the script ends, and says so.
path_of() {
	command -v "$1" || {
		echo "$0: there is no $1 here: run make deps-check" >&2
		exit 2
	}
}

# module_tree RELEASE: the directory of that kernel's modules: this machine's,
# or the package's, which has it in lib on Debian 12 and in usr/lib on 13.
module_tree() {
	if [ -d "/lib/modules/$1" ]; then
		echo "/lib/modules/$1"
		return
	fi
	(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download \
	    "linux-image-$1" >&2 && dpkg-deb -x linux-image-*.deb "$work/kernel")
	for lib in lib usr/lib; do
		[ ! -d "$work/kernel/$lib/modules/$1" ] || {
			echo "$work/kernel/$lib/modules/$1"
			return
		}
	done
	echo "$0: package linux-image-$1 has no modules of $1" >&2
	exit 2
}

# add_modules DIR NAME...: modules of the guest's kernel.
add_modules() {
	release=$(sed -n 's/^release //p' "$image/info")
	modules=$(module_tree "$release")
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
