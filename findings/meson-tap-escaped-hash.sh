#!/bin/sh
# Meson 1.0.1 reads no escapes in TAP: an escaped hash begins a directive.
#
# TAP 14 ("Escaping", https://testanything.org/tap-version-14-specification.html)
# lets a producer write `\#` for a hash that belongs to a test's name. Meson
# 1.0.1 announces that it reads versions 12 to 14, yet its parser takes the
# text behind `\# TODO` for a TODO directive: a test that fails counts as an
# expected failure, and the name ends at the backslash.
#
# Seen with Debian 12's package meson 1.0.1-5. Exits 0 while that holds.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download meson=1.0.1-5
dpkg -x meson_1.0.1-5_all.deb .

cat >read.py <<'END'
from mesonbuild.mtest import TAPParser

text = ["TAP version 14", "1..2",
        r"not ok 1 - plain", r"not ok 2 - a \# TODO b"]
for event in TAPParser().parse(iter(text)):
    if isinstance(event, TAPParser.Test):
        print(event.number, event.name, event.result.value)
END
PYTHONPATH=usr/lib/python3/dist-packages python3 read.py >seen
cat seen
cat >expected <<'END'
1 - plain FAIL
2 - a \ EXPECTEDFAIL
END
cmp seen expected
