#!/bin/sh
# The HTML report as a browser shows it: headless Chromium does what a reader
# would. Boots nothing. Ends with "N passed, N failed".
#   page.sh PROVIUM
set -u

provium=$(readlink -f "$1")
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/page.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
export XDG_RUNTIME_DIR="$work/runtime" PROVIUM_CACHE_DIR="$work/cache"
export HOME="$work" XDG_CONFIG_HOME="$work/config"
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
test("fails", function(t)
  print("</script><script>document.title = 'owned'</script><b id=owned>")
  t:assert_eq("left", "right")
end)
test("waits", {skip = "no moon"}, function(t) end)
END
file t/b.test.lua <<'END'
test("takes long", function(t)
  local from = os.clock()
  while os.clock() - from < 0.1 do end
end)
END
file t/c.test.lua <<'END'
local = 1
END
"$provium" run -j1 --events e.json --html page.html t >/dev/null 2>&1
# What the pool of a run with VMs tells, and a VM.
sed '/"event":"run_end"/,$d' e.json >v.json
at=$(sed -n 's/.*"event":"run_start","time":\([0-9]*\).*/\1/p' e.json)
cat >>v.json <<END
{"event":"vm","time":$at.1,"file":"t/b.test.lua","vm":"srv","state":"booting"}
{"event":"pool","time":$at.1,"memory":1073741824,"memory_total":4294967296,"cpus":1,"cpus_total":8,"waiting":3}
{"event":"vm","time":$at.6,"file":"t/b.test.lua","vm":"srv","state":"booted"}
{"event":"pool","time":$at.9,"memory":0,"memory_total":4294967296,"cpus":0,"cpus_total":8,"waiting":0}
END
sed -n '/"event":"run_end"/,$p' e.json >>v.json

# page FILE, with a script on standard input: opens the page and runs it. What
# it tells is in `told`, one a line.
page() {
	{
		sed '/<\/body>/,$d' "$1"
		cat <<'END'
<pre id="told"></pre><script>
"use strict";
const told = [], tell = (...a) => told.push(a.join(" "));
const all = s => [...document.querySelectorAll(s)];
const shown = e => e.checkVisibility();
const names = () => all("details:not(.file) > summary > .name")
	.filter(shown).map(e => e.textContent).join(", ");
const files = () => all("details.file > summary > .name")
	.filter(shown).map(e => e.textContent).join(", ");
const lanes = () => all(".lane .label").filter(shown)
	.map(e => e.textContent).join(", ");
const search = document.querySelector("input[type=search]");
const type = s => { search.value = s; search.dispatchEvent(new Event("input")); };
const box = kind => all("label").find(l => l.classList.contains(kind)).firstChild;
addEventListener("error", e => tell("error", e.message));
try {
END
		cat
		cat <<'END'
} catch (e) { tell("error", e); }
document.getElementById("told").textContent = told.map(l => "told: " + l + "\n").join("");
</script></body></html>
END
	} >driven.html
	timeout 120 chromium --headless --no-sandbox --disable-gpu \
	    --user-data-dir="$work/profile" --dump-dom \
	    "file://$work/driven.html" >dom 2>err
	sed -n 's/^\(<pre id="told">\)\{0,1\}told: //p' dom >out
	[ -s out ] || complain "the page tells nothing"
	: >err
}

# The whole line, once.
told() {
	[ "$(grep -cxF -e "$1" out)" = 1 ] || complain "not told: '$1'"
}

claim "what was run is there, with its counts"
page page.html <<'END'
tell(all(".counts div").map(e => e.textContent).join(" "));
tell(files());
tell(names());
tell("title:", document.title);
tell("elements of guests:", all("#owned").length);
END
told "3passed 1failed 1skipped 1flaky 1error"
told "t/a.test.lua, t/b.test.lua, t/c.test.lua"
told "adds, flaky, fails, waits, takes long, outside of tests"
told "title: provium report"
told "elements of guests: 0"

claim "failures are open, the rest opens by a click"
page page.html <<'END'
const of = name => all("summary").find(e =>
	e.querySelector(".name").textContent === name).parentNode;
tell("fails:", of("fails").open, of("fails").innerText.includes('"left"'));
tell("printed:", of("fails").innerText.includes("<b id=owned>"));
tell("flaky:", of("flaky").open);
of("flaky").addEventListener("toggle", () => {});
of("flaky").querySelector("summary").click();
tell("then:", of("flaky").open);
of("flaky").dispatchEvent(new Event("toggle"));
tell("with:", of("flaky").innerText.includes("not yet"));
END
told "fails: true true"
told "printed: true"
told "flaky: false"
told "then: true"
told "with: true"

claim "what is typed filters by file, test and message"
page page.html <<'END'
type("TAKES"); tell("test:", names());
type("a.test.lua"); tell("file:", files());
type("values differ"); tell("message:", names());
type("nothing like it"); tell("none:", names(), shown(all("p.dim").pop()));
type(""); tell("all:", names().split(", ").length);
END
told "test: takes long"
told "file: t/a.test.lua"
told "message: fails"
told "none:  true"
told "all: 6"

claim "each kind can be left out"
page page.html <<'END'
const without = (...kinds) => { for (const k of kinds) box(k).click();
	tell("without", kinds.join(" ") + ":", names());
	for (const k of kinds) box(k).click(); };
without("passed"); without("failed"); without("skipped");
without("passed", "failed", "skipped"); without("flaky");
END
told "without passed: flaky, fails, waits, outside of tests"
told "without failed: adds, flaky, waits, takes long"
told "without skipped: adds, flaky, fails, takes long, outside of tests"
told "without passed failed skipped: flaky"
told "without flaky: adds, fails, waits, takes long, outside of tests"

claim "the slowest come first where asked for"
page page.html <<'END'
const order = document.querySelector("select");
order.selectedIndex = 1; order.dispatchEvent(new Event("change"));
tell("first:", files().split(", ")[0]);
END
told "first: t/b.test.lua"

claim "files, VMs and the pool have lanes in time"
run 1 report --html pool.html v.json
page pool.html <<'END'
tell(lanes());
const bars = c => all(".track i." + c).map(e => Math.round(e.getBoundingClientRect().width) > 1);
tell("boot:", bars("boot").join(), "up:", bars("vm").join());
const area = s => all("[data-pool=" + s + "] polygon")[0].getBoundingClientRect();
const track = all("[data-pool=memory] .track")[0].getBoundingClientRect();
tell("memory:", Math.round(100 * area("memory").height / track.height));
tell("waiting:", Math.round(100 * area("waiting").height / track.height));
type("a.test"); tell("filtered:", lanes());
END
told "t/a.test.lua, t/b.test.lua, srv, t/c.test.lua, memory: 1.0 GiB of 4.0 GiB, vCPUs: 1 of 8, waiting: up to 3"
told "boot: true up: true"
told "memory: 25"
told "waiting: 100"
told "filtered: t/a.test.lua, memory: 1.0 GiB of 4.0 GiB, vCPUs: 1 of 8, waiting: up to 3"

claim "the pools of merged runs stand apart"
run 1 report --merge --html both.html v.json v.json
page both.html <<'END'
tell(all("[data-pool=memory] .label").map(e => e.textContent).join(", "));
END
told "memory of run 1: 1.0 GiB of 4.0 GiB, memory of run 2: 1.0 GiB of 4.0 GiB"

python3 - <<'END' >long.json
import json
def say(event, **members):
    print(json.dumps(dict(members, event=event)))
console = "".join(f"line {n}\r\n" for n in range(200))
file = {"file": "t/l.test.lua"}
test = dict(file, test="fails")
say("run_start", version=1, time=1)
say("file_start", **file, time=1)
say("plan", **file, tests=[])
say("test_start", **test, time=1)
say("log", **test, text="".join(f"said {n}\n" for n in range(300)) + "\x1b\x07\x00")
say("failure_console", **test, vm="v", text="Linux version\r\n" + console, left_out=1)
say("failure_packets", **test, bridge="lan", left_out=3, packets=[
    {"at": 0.125, "text": "ARP 10.0.0.1 asks who has 10.0.0.2 <b id=owned>"}])
say("failure_calls", **test, calls=[
    {"method": "vm:run", "at": 0.5, "seconds": 0.25, "note": "<b> exited with 0",
     "location": {"file": "t/l.test.lua", "line": 3}}])
say("test_end", **test, status="failed", duration=1, time=2, message="no", artifacts=["1-v.console"],
    console=[{"vm": "v", "text": console},
             {"vm": "broken", "text": "BUG: x\n" + console, "alarm": "BUG: x"},
             {"vm": "mute", "text": ""}])
say("artifacts", **file, paths=["kept/1-v.console", "kept/1-other.qmp"])
say("file_end", **file, duration=1, time=2)
say("run_end", passed=0, failed=1, skipped=0, errors=0, duration=1)
END
run 1 report --html long.html long.json

claim "boxes of what grows show their end, other boxes their beginning"
page long.html <<'END'
const scrolled = title => { const h = all("h4").find(e => e.textContent === title), e = h.nextSibling;
	tell(title + ":", e.scrollHeight > e.clientHeight + 100,
		e.scrollTop + e.clientHeight >= e.scrollHeight - 1 ? "end" : e.scrollTop); };
scrolled("console of v"); scrolled("printed"); scrolled("console of broken");
tell(all("h4").map(e => e.textContent).find(s => s.includes("mute")));
tell(all("pre").find(e => e.textContent.includes("said 299")).textContent.trimEnd().split("\n").pop());
END
told "console of v: true end"
told "printed: true end"
told "console of broken: true 0"
told "console of mute: nothing since the test began"
told '\x1b\x07\x00'

claim "all that is known of a failure is behind lines to click"
page long.html <<'END'
const folds = all("details.more");
tell(folds.map(e => e.querySelector("summary").textContent).join("; "));
const [made, lan, whole] = folds;
tell("before:", document.body.textContent.includes("Linux version\n"), all("#owned").length);
for (const f of folds) { f.open = true; f.dispatchEvent(new Event("toggle")); }
tell("after:", whole.innerText.includes("Linux version"), whole.innerText.includes("line 199"),
	whole.querySelector("pre").scrollTop > 0, all("#owned").length);
tell(lan.querySelector("pre").textContent);
tell(made.querySelector("tr").innerText.replace(/\s+/g, " ").trim());
tell("kept:", all("h4").filter(e => e.textContent === "kept").map(e => e.nextSibling.textContent).join("; "));
END
told "all calls, 1; packets of lan, 1, without 3 before them; console of v since power-on, 201 lines, without 1 byte before them"
told "before: false 0"
told "after: true true true 0"
told "at 0.125 s  ARP 10.0.0.1 asks who has 10.0.0.2 &lt;b id=owned&gt;"
told 'at 0.500 s 250 ms vm:run t/l.test.lua:3 &lt;b&gt; exited with 0'
told "kept: kept/1-v.console; kept/1-other.qmp"

claim "one file is one file"
page long.html <<'END'
tell(all("#page > .dim")[0].textContent.split(", ")[1]);
END
told "1 file"
page page.html <<'END'
tell(all("#page > .dim")[0].textContent.split(", ")[1]);
END
told "3 files"

claim "a page of thousands of tests answers at once"
python3 - <<'END' >large.json
import json
print(json.dumps({"event": "run_start", "version": 1, "time": 1}))
for f in range(200):
    name = f"t/{f}.test.lua"
    print(json.dumps({"event": "file_start", "file": name, "time": f}))
    print(json.dumps({"event": "plan", "file": name, "tests": []}))
    for n in range(50):
        print(json.dumps({"event": "test_start", "file": name, "test": f"t{n}", "time": f}))
        print(json.dumps({"event": "test_end", "file": name, "test": f"t{n}",
                          "status": "passed", "duration": 0.01, "time": f + 1}))
    print(json.dumps({"event": "file_end", "file": name, "duration": 1, "time": f + 1}))
print(json.dumps({"event": "run_end", "passed": 10000, "failed": 0, "skipped": 0, "errors": 0}))
END
run 0 report -q --html large.html large.json
page large.html <<'END'
const t0 = performance.now();
type("17.test.lua");
tell("rows:", names().split(", ").length);
tell("filtered in time:", performance.now() - t0 < 5000);
END
told "rows: 100"
told "filtered in time: true"

claims_end
