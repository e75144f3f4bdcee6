#!/bin/sh
# make install puts a program that works where DESTDIR and prefix say, and
# uninstall takes it all away. Ends with "N passed, N failed".
set -eu

cd "$(dirname "$0")/../.."
dest=$(mktemp -d "${TMPDIR:-/tmp}/provium-install.XXXXXX")
trap 'rm -rf "$dest"' EXIT
failed=0

make -s install "DESTDIR=$dest" prefix=/usr
version=$("$dest/usr/bin/provium" --version)
case $version in
"provium "*) echo "  ok      the installed program runs: $version" ;;
*) failed=1 && echo "  FAIL    the installed program says '$version'" ;;
esac
[ -e "$dest/usr/share/man/man1/provium.1" ] || {
	failed=1
	echo "  FAIL    no manual page"
}
make -s uninstall "DESTDIR=$dest" prefix=/usr
left=$(find "$dest" -type f)
[ -z "$left" ] || {
	failed=1
	echo "  FAIL    uninstall leaves $left"
}
echo "$((1 - failed)) passed, $failed failed"
exit $failed
