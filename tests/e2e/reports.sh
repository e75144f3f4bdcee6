#!/bin/sh
# The reports of provium, seen from outside; boots nothing. Ends with
# "N passed, N failed".
#   reports.sh PROVIUM
set -u

provium=$(readlink -f "$1")
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/reports.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
unset NO_COLOR GITHUB_ACTIONS GITHUB_STEP_SUMMARY
export XDG_RUNTIME_DIR="$work/runtime" PROVIUM_CACHE_DIR="$work/cache"
mkdir -m 700 "$XDG_RUNTIME_DIR"
cd "$work" || exit 2

. "$top/tests/e2e/claims.sh"

file t/a.test.lua <<'END'
local n = 0
test("adds", function(t) t:assert_eq(1 + 1, 2) end)
test("flaky", {retries = 2}, function(t)
  n = n + 1
  if n < 2 then t:fail("not yet") end
end)
test("fails <&> \1 \255", {retries = 1}, function(t)
  print("]]> \27[31m ::error::x \0 \239\191\191 </script>")
  t:assert_eq("left", "right")
end)
test("waits", {skip = "no moon"}, function(t) end)
END
file t/b.test.lua <<'END'
local = 1
END
file u/c.test.lua <<'END'
test("other", function(t) end)
END
file long/d.test.lua <<'END'
test("first", function(t) end)
test("ends the run", function(t)
  local f = io.open("/proc/self/stat")
  local parent = f:read("*a"):match("^%d+ %b() %a (%d+)")
  f:close()
  os.execute("kill -INT " .. parent)
  wait_until(function() return false end, {timeout = "1h"})
end)
END

# valid FILE: by the rules of the schema.
valid() {
	xmllint --noout --schema "$top/tests/golden/junit.xsd" "$1" 2>lint ||
	    complain "$(head -n 2 lint | tr '\n' ' ')"
}

has() {
	grep -qF -e "$2" "$1" || complain "no '$2' in $1"
}

claim "one run writes every report"
run 1 run --events e.json --junit j.xml --html p.html t
valid j.xml
has j.xml '<flakyFailure message="not yet"'
has j.xml '<rerunFailure '
has j.xml '<skipped message="no moon"'
has j.xml '<error '
has p.html '</html>'
has j.xml 'classname="t.a" file="t/a.test.lua"'
has j.xml 'classname="t.b" file="t/b.test.lua"'
has j.xml 'name="fails &lt;&amp;&gt; \x01 �"'
has j.xml ']]&gt; \x1b[31m ::error::x \x00'
out "flaky: attempt 2"
out "flaky, passed when tried again:"
[ -z "$(find . -name '*.xml.*' -o -name '*.html.*')" ] ||
    complain "a file aside was left"

claim "a report of the events is that of the run"
run 1 report --junit k.xml --html q.html e.json
cmp -s j.xml k.xml || complain "$(diff j.xml k.xml | head -n 4)"
out "2 passed, 2 failed, 1 skipped"

claim "events are read from standard input"
timeout 60 "$provium" report - <e.json >out 2>err
[ $? = 1 ] || complain "the status is not 1"
out "2 passed, 2 failed, 1 skipped"

file k/k.test.lua <<'END'
test("fails", {retries = 1}, function(t)
  t:attach("notes.txt", "of the failure")
  wait_until(function() return true end)
  t:fail("no luck")
end)
test("passes", function(t) t:attach("x", "of what passes") end)
test("fails without files", function(t) t:fail("bad luck") end)
END
run 1 run --events k.json --artifacts kept --junit k1.xml k

claim "JUnit has a file with the test that attached it"
valid k1.xml
python3 - <<'END' >out 2>err || complain "attachments are not where they belong"
import xml.etree.ElementTree as xml
suite = xml.parse("k1.xml").getroot()[0]
want = {"fails": "[[ATTACHMENT|kept/k_k.test.lua/1-attached-fails-notes.txt]]\n",
        "passes": "[[ATTACHMENT|kept/k_k.test.lua/1-attached-passes-x]]\n",
        "fails without files": None}
got = {c.get("name"): c.findtext("system-out") for c in suite.findall("testcase")}
assert got == want, got
assert suite.find("system-out") is None
END

claim "explain tells all of the failure that is meant"
run 0 explain k.json 1
out "k/k.test.lua: fails  failed, "
out "  k/k.test.lua:4: no luck"
out ">    4 |   t:fail(\"no luck\")"
out "attempt 1 failed, and another followed"
out "kept/k_k.test.lua/1-attached-fails-notes.txt"
no_out "1-attached-passes-x"
no_out "bad luck"
run 0 explain k.json without
out "k/k.test.lua:7: bad luck"
out "no files were kept of it"
timeout 60 "$provium" explain - without <k.json >out 2>err ||
    complain "the status is $?"
out "k/k.test.lua:7: bad luck"

claim "explain lists several failures, and asks which one is meant"
run 2 explain k.json
[ "$(wc -l <err)" = 1 ] || complain "more than a line"
err "2 failures in 'k.json': name one by its number, as in 'provium explain k.json 1'"
[ "$(cat out)" = "   1  k/k.test.lua: fails
   2  k/k.test.lua: fails without files" ] || complain "no list"
run 2 explain k.json fails
err "2 failures with 'fails' in 'k.json'"

claim "explain says that there is no such failure, status 1"
run 1 explain k.json nothing
err "none of the 2 failures in 'k.json' is 'nothing': 'provium explain k.json' lists them"
run 1 explain k.json 3
err "is '3'"
run 0 run --events fine.json u
run 1 explain fine.json
err "no failure in 'fine.json'"
[ ! -s out ] || complain "it prints something"
[ "$(wc -l <err)" = 1 ] || complain "more than a line"

claim "explain says in a line what it cannot read, status 2"
for bad in nothing.json t/a.test.lua t; do
	run 2 explain "$bad"
	[ "$(wc -l <err)" = 1 ] || complain "more than a line"
	[ ! -s out ] || complain "it prints something"
done
printf '{"event":"run_start","version":9}\n' >later.json
run 2 explain later.json
err "later.json:1: events of version 9, this provium reads up to 1"
{
	head -n 1 k.json
	printf '{"event":"failure_calls","file":"x","calls":[{"at":-1}]}\n'
} >hostile.json
run 2 explain hostile.json
err "hostile.json:2: "
run 2 explain
err "name the events file"
run 2 explain k.json 1 2
err "'2' is one word too many"

claim "explain goes as far as cut off events go"
sed '/"test":"fails without files"/,$d' k.json >cut.json
printf '{"event":"te' >>cut.json
run 0 explain cut.json
out "k/k.test.lua:4: no luck"
err "not all was run: interrupted by its events end early"
head -n 3 k.json >cut.json
run 1 explain cut.json
err "no failure in 'cut.json'"
err "its events end early"

claim "explain teaches"
run 0 explain --help
out "usage: provium explain [option...] file [number|text]"
out "Status 0"
run 0 --help
out "provium explain"

file o/o.test.lua <<'END'
io.stderr:write("of the file\n")
test("quiet", function(t)
  local soon = os.time() + 1
  while os.time() < soon do end
end)
test("stderr", function(t)
  io.stderr:write("x\n")
  io.write("no newline")
end)
test("silent", function(t) end)
test("child", function(t)
  os.execute("echo y; echo z >&2")
  t:log("between")
  os.execute("printf w")
end)
test("closes", function(t)
  require("ffi").cdef("int close(int);")
  io.write("v\n")
  require("ffi").C.close(1)
  os.execute("exec >&2; echo u")
end)
test("last", function(t) io.stderr:write("t\n") end)
END

claim "output is the test's that wrote it"
run 0 run --junit o.xml --events o.json o
valid o.xml
python3 - <<'END' >out 2>err || complain "output is not where it was written"
import json
import xml.etree.ElementTree as xml
want = {"quiet": None, "stderr": "x\nno newline\n", "silent": None,
        "child": "y\nz\nbetween\nw\n", "closes": "v\nu\n", "last": "t\n"}
suite = xml.parse("o.xml").getroot()[0]
for case in suite.findall("testcase"):
    assert case.findtext("system-out") == want.pop(case.get("name")), \
        (case.get("name"), case.findtext("system-out"))
assert not want, want
assert suite.findtext("system-out") == "of the file\n"
now = None
for line in open("o.json"):
    event = json.loads(line)
    if event["event"] == "test_start":
        now = event["test"]
    elif event["event"] == "test_end":
        now = None
    elif event["event"] == "output":
        assert event.get("test") == now, event
END

claim "TAP has standard output, the report standard error"
run 1 run --tap t
[ "$(head -n 1 out)" = "TAP version 13" ] || complain "no version"
[ "$(tail -n 1 out)" = "1..5" ] || complain "no plan"
[ "$(grep -cE '^(not )?ok ' out)" = 5 ] || complain "not 5 points"
out "# SKIP no moon"
err "2 passed, 2 failed, 1 skipped"

file p/good.test.lua <<'END'
test("plain", function(t) end)
test("ends in {", {skip = "a {"}, function(t) end)
test("issue #12 \\", {skip = "see #13 \\"}, function(t) end)
END
file p/bad.test.lua <<'END'
test("a # TODO b", function(t) t:fail("one\0\n  ...\nok 2\n# two") end)
test("a \\# TODO b", function(t) t:assert_eq(("\1"):rep(1e6), "") end)
test("c #skip d", function(t) error("no") end)
test("bail\nBail out! \nnot ok 3", function(t) t:fail() end)
test("# TODO", {retries = 1}, function(t) t:fail("{") end)
END

# prove ARGUMENT...: runs it on files of tests, keeps what it prints.
prove_files() {
	timeout 120 prove --exec "$provium run --tap" "$@" >out 2>err </dev/null
}

claim "prove reads what passes and what is skipped"
prove_files p/good.test.lua || complain "the status is $?"
grep -qE '^Files=1, Tests=3,' out || complain "not 3 tests"
[ "$(tail -n 1 out)" = "Result: PASS" ] || complain "no PASS"
no_out "Parse errors"

claim "prove reads what fails, whatever its name is"
prove_files p/bad.test.lua && complain "the status is 0"
out "Failed 5/5 subtests"
out "Failed tests:  1-5"
[ "$(tail -n 1 out)" = "Result: FAIL" ] || complain "no FAIL"
no_out "TODO passed"
no_out "Parse errors"

claim "prove tells an interrupted run from a whole one"
prove_files long/d.test.lua && complain "the status is 0"
grep -q "Further testing stopped.*interrupted by SIGINT" out err ||
    complain "no bail out"

claim "--json prints one object"
run 1 run --json t
jq . <out >/dev/null 2>&1 || python3 -m json.tool <out >/dev/null ||
    complain "no JSON"
run 2 run --json --tap t
err "only one of --tap, --json and --events -"

claim "several runs are merged into one"
run 0 run --events f.json u
run 2 report e.json f.json
err "--merge reports them as one run"
run 1 report --merge --junit m.xml e.json f.json
valid m.xml
out "3 passed, 2 failed, 1 skipped"

claim "runs of the same tests are merged with each result of each"
run 1 report --merge --junit n.xml e.json e.json
valid n.xml
out "4 passed, 4 failed, 2 skipped"
[ "$(grep -c 'name="adds"' n.xml)" = 2 ] || complain "one is missing"
out "  t/a.test.lua: fails <&> \x01 �  failed 2 times of 2"
out "FAIL  fails"
out "in all of 2 attempts"

claim "garbage is one clear line, status 2"
echo hello >g.json
run 2 report g.json
err "g.json:1: not an event"
[ "$(wc -l <err)" = 1 ] || complain "more than a line"
run 2 report nothing.json
err "cannot read 'nothing.json'"
run 2 report
err "name the events file"

claim "the events of a killed run are reported as far as they go"
head -n 4 e.json >h.json
run 2 report --junit n.xml h.json
valid n.xml
out "interrupted by its events end early"

claim "an interrupted run writes its reports"
run 2 run --events i.json --junit i.xml long
valid i.xml
has i.xml 'name="first"'
has i.json '"interrupted":"SIGINT"'
out "interrupted by SIGINT"

claim "a report that cannot be written is status 2, before the run"
run 2 run --junit /nonexistent/x.xml t
err "--junit: cannot write '/nonexistent/x.xml'"
no_out "a.test.lua"

claim "events go to a socket"
python3 - "$work/sock" >got <<'END' &
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1] + ".new")
s.listen(1)
import os
os.rename(sys.argv[1] + ".new", sys.argv[1])
c, _ = s.accept()
while True:
    part = c.recv(65536)
    if not part:
        break
    sys.stdout.write(part.decode())
END
listener=$!
n=0
while [ ! -S sock ] && [ "$n" -lt 600 ]; do
	n=$((n + 1))
	sleep 0.1
done
run 0 run --events unix:sock u
wait "$listener"
head -n 1 got | grep -q '"event":"run_start"' || complain "no run_start"
tail -n 1 got | grep -q '"event":"run_end"' || complain "no run_end"
run 2 run --events unix:nowhere u
err "cannot connect to 'nowhere'"

claim "in a GitHub job, text of tests commands nothing"
GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY="$work/sum.md" run 1 run t
head -n 1 out | grep -qE '^::stop-commands::[0-9a-f]{32}$' ||
    complain "the first line stops no commands"
token=$(head -n 1 out | sed 's/.*:://')
[ "$(grep -c "$token" out)" = 2 ] || complain "the token is not there twice"
sed "1,/^::$token::\$/d" out >rest
has rest "::error file=t/a.test.lua,line="
has sum.md "| 2 | 1 | 1 | 1 |"

claims_end
