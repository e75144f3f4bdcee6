-- What every stream does, whichever kind it is.
local opener = require("opener")
local sources = require("sources")

provium.timeout = 300

local vm = sources.boot("streams")
local settle, feed_each, finish, now =
  sources.settle, sources.feed_each, sources.finish, sources.now

-- A time in which nothing comes, and one in which all comes that must.
local SOON, LONG = 0.05, 60

local every_byte = {}
for i = 0, 255 do
  every_byte[#every_byte + 1] = string.char(i)
end
every_byte = table.concat(every_byte)

local function raises(t, text, fn)
  local err = tostring(t:assert_raises(fn))
  t:assert_contains(err, text)
  return err
end

-- How long fn takes; its first result follows.
local function timed(fn)
  local from = now()
  local result = fn()
  return now() - from, result
end

-- A claim about each kind, or each that is `which`: can end, gives the bytes
-- that were written and no others, ...
local function claim(name, fn, which)
  for _, kind in ipairs(sources.kinds) do
    if which == "any" or kind[which or "exact"] then
      test(kind.name .. ": " .. name, function(t)
        local src = kind.open(vm)
        fn(t, src.stream, src, kind)
      end)
    end
  end
end

local function claim_of_end(name, fn)
  claim(name, fn, "ends")
end

-- next ----------------------------------------------------------------------

claim("next returns the next chunk of bytes as a string", function(t, s, src)
  src.feed("chunk")
  local got = s:next(LONG)
  t:assert_eq(type(got), "string")
  while #got < 5 do got = got .. s:next(LONG) end
  t:assert_eq(got, "chunk")
end)

claim("next returns one frame at a time, in order", function(t, s, src)
  feed_each(src, "1", "2", "3")
  t:assert_eq({s:next(LONG), s:next(LONG), s:next(LONG)}, {"1", "2", "3"})
end)

claim("next waits for bytes that come later", function(t, s, src, kind)
  local got
  provium.all(
    function() got = s:next(LONG) end,
    function() src.feed("later") end)
  t:assert_match(got, kind.whole and "^later$" or "l")
end, "any")

claim_of_end("next returns nil at EOF", function(t, s, src)
  feed_each(src, "a")
  finish(src)
  t:assert_eq(s:next(LONG), "a")
  t:assert_eq(s:next(LONG), nil)
  t:assert_eq(s:next(0), nil)
end)

claim("next returns nil at its time-out, and eof tells the difference",
  function(t, s, src)
    t:assert_eq(s:next(SOON), nil)
    t:assert_eq(s:eof(), false)
    src.feed("x")
    t:assert_eq(type(s:next(LONG)), "string")
  end, "any")

claim("a time-out is a number of seconds or a string with ms, s, m or h",
  function(t, s)
    for _, span in ipairs({0.2, "200ms", "0.2s", "0.0034m",
      "0.00006h"}) do
      local took, got = timed(function() return s:next(span) end)
      t:assert_eq(got, nil)
      t:assert(took >= 0.19 and took < 30, span .. " took " .. took)
    end
  end, "any")

claim("a time-out that is none is refused by name", function(t, s)
  for _, bad in ipairs({"5", "soon", "1d", "-1s", "", "1e400s"}) do
    raises(t, bad, function() s:next(bad) end)
    raises(t, "timeout", function() s:drain(bad) end)
    raises(t, "timeout", function() s:expect("x", bad) end)
  end
  for _, bad in ipairs({-1, 0 / 0, 1 / 0, true}) do
    raises(t, "timeout", function() s:read_until("x", bad) end)
  end
end, "any")

claim("a time-out of 0 takes what is there and does not wait",
  function(t, s, src)
    t:assert_eq(s:next(0), nil)
    feed_each(src, "a", "b")
    t:assert_eq(s:next(0), "a")
    t:assert_eq(s:drain(0), {"b"})
    t:assert_eq(s:drain(0), {})
    feed_each(src, "c")
    t:assert_eq(s:read_until("c", 0), "c")
    raises(t, "expect timed out waiting for `d`", function()
      s:expect("d", 0)
    end)
  end)

-- read_until ----------------------------------------------------------------

claim("read_until returns the prefix up to and including the match",
  function(t, s, src)
    src.feed("one two three")
    t:assert_eq(s:read_until("two", LONG), "one two")
  end)

claim("read_until pulls frames until the pattern is found", function(t, s, src)
  feed_each(src, "x", "yy", "z!")
  t:assert_eq(s:read_until("!", LONG), "xyyz!")
end)

claim("read_until waits for frames that come later", function(t, s, src)
  local got
  provium.all(
    function() got = s:read_until("end", LONG) end,
    function() feed_each(src, "a", "e", "n", "d") end)
  t:assert_eq(got, "aend")
end)

claim("read_until finds a match across the borders of frames",
  function(t, s, src)
    feed_each(src, "r", "e", "a", "d", "y", "!")
    t:assert_eq(s:read_until("ready", LONG), "ready")
    t:assert_eq(s:next(LONG), "!")
  end)

claim("read_until names the pattern when it times out", function(t, s, src)
  feed_each(src, "something else")
  local err = raises(t, "read_until timed out waiting for `login:`", function()
    s:read_until("login:", SOON)
  end)
  t:assert_contains(err, "something else")
end, "any")

claim("the error shows the last 200 bytes, escaped", function(t, s, src)
  local text = ("."):rep(100) .. "<" .. ("-"):rep(195) .. "\0\1\t\n\255"
  src.feed(text)
  settle(src, #text)
  local err = raises(t, ("-"):rep(195) .. "\\x00\\x01\\t\\n\\xff", function()
    s:read_until("no", SOON)
  end)
  t:assert(not err:find("<", 1, true), "more than 200 bytes: " .. err)
  t:assert(not err:find("[%z\1\255]"), "not escaped")
end)

claim("the error shows a pattern of any bytes, escaped", function(t, s)
  raises(t, "expect timed out waiting for `a\\x00\\n`", function()
    s:expect("a\0\n", 0)
  end)
end, "any")

claim_of_end("read_until raises at EOF", function(t, s, src, kind)
  feed_each(src, "tail")
  finish(src)
  local err = raises(t, kind.eof, function() s:read_until("no", LONG) end)
  t:assert_contains(err, "stream EOF")
  t:assert_contains(err, "`no`")
  t:assert_contains(err, "tail")
end)

claim_of_end("read_until raises when EOF comes while it waits",
  function(t, s, src)
    local err
    provium.all(
      function()
        err = t:assert_raises(function() s:read_until("no", LONG) end)
      end,
      function() src.finish() end)
    t:assert_contains(tostring(err), "stream EOF")
  end)

claim("nothing is lost by a time-out", function(t, s, src)
  feed_each(src, "a", "b")
  raises(t, "timed out", function() s:read_until("zz", SOON) end)
  raises(t, "timed out", function() s:expect("zz", SOON) end)
  t:assert_eq(s:drain(0), {"a", "b"})
end)

claim_of_end("nothing is lost by an error at EOF", function(t, s, src)
  feed_each(src, "a", "b")
  finish(src)
  raises(t, "EOF", function() s:expect("zz", LONG) end)
  t:assert_eq({s:next(0), s:next(0)}, {"a", "b"})
end)

claim("bytes past the match are replayed by the next call",
  function(t, s, src)
    feed_each(src, "one two three four")
    s:read_until("one", LONG)
    t:assert_eq(s:read_until("two", LONG), " two")
    s:expect(" th", LONG)
    t:assert_eq(table.concat(s:drain(0)), "ree four")
  end)

claim("bytes past the match are the next frame", function(t, s, src)
  feed_each(src, "one two three", "four")
  s:expect("one", LONG)
  t:assert_eq(s:next(0), " two three")
  t:assert_eq(s:next(0), "four")
  feed_each(src, "five six", "seven")
  t:assert_eq(s:read_until("five", 0), "five")
  t:assert_eq(s:drain(0), {" six", "seven"})
end, "whole")

-- expect --------------------------------------------------------------------

claim("expect discards the matched prefix and returns nothing",
  function(t, s, src)
    feed_each(src, "boot ok, go")
    t:assert_eq(select("#", s:expect("ok", LONG)), 0)
    t:assert_eq(s:read_until("go", LONG), ", go")
  end)

claim("expect fails in the same words as read_until", function(t, s, src)
  feed_each(src, "some bytes")
  local function words(method)
    local err = tostring(t:assert_raises(function() s[method](s, "no", 0) end))
    return (err:gsub("^%S+ ", ""):gsub(method, "VERB"))
  end
  t:assert_contains(words("expect"), "VERB timed out waiting for `no`")
  t:assert_eq(words("expect"), words("read_until"))
end, "any")

claim_of_end("expect raises at EOF", function(t, s, src, kind)
  finish(src)
  raises(t, kind.eof, function() s:expect("x", LONG) end)
end)

claim("a pattern is bytes, not a Lua pattern", function(t, s, src)
  feed_each(src, "a.c %d+ [x]")
  t:assert_eq(s:read_until("%d+", LONG), "a.c %d+")
  raises(t, "timed out", function() s:expect(".x", 0) end)
end)

claim("an empty pattern is refused", function(t, s)
  raises(t, "pattern is empty", function() s:expect("") end)
  raises(t, "pattern is empty", function() s:read_until("") end)
  raises(t, "pattern[2] is empty", function() s:expect({"a", ""}) end)
  raises(t, "pattern", function() s:expect({}) end)
  raises(t, "pattern", function() s:expect(nil) end)
  raises(t, "pattern", function() s:expect(12) end)
end, "any")

claim("of several patterns the earliest match wins", function(t, s, src)
  feed_each(src, "login: panic! ")
  t:assert_eq(s:expect({"panic", "login:"}, LONG), 2)
  local bytes, index = s:read_until({"no", "panic", "!"}, LONG)
  t:assert_eq({bytes, index}, {" panic", 2})
  local err = raises(t, "timed out waiting for", function()
    s:expect({"one", "two"}, 0)
  end)
  t:assert_contains(err, "`one`")
  t:assert_contains(err, "`two`")
end)

claim("a match may lie in the midst of a packet, the rest stays",
  function(t, s, src)
    feed_each(src, "one two", "three four")
    s:expect("one", LONG)
    t:assert_match(s:next(LONG), "^ two%z*$")
    t:assert_match(s:read_until("three", LONG), "three$")
    local frames = s:drain(0)
    t:assert_eq(#frames, 1)
    t:assert_match(frames[1], "^ four%z*$")
  end, "headed")

-- drain ---------------------------------------------------------------------

claim("drain collects every frame, one element each", function(t, s, src)
  feed_each(src, "a", "b", "c")
  t:assert_eq(s:drain(SOON), {"a", "b", "c"})
  t:assert_eq(s:drain(SOON), {})
end)

claim("drain gives pending bytes first", function(t, s, src)
  feed_each(src, "match left", "x", "y")
  s:expect("match", LONG)
  local frames = s:drain(0)
  t:assert_eq(table.concat(frames), " leftxy")
  t:assert_eq({frames[#frames - 1], frames[#frames]}, {"x", "y"})
end)

claim("drain collects what comes before its deadline", function(t, s, src)
  local got
  -- Without an end to wait for, a deadline that is far enough for two calls
  -- however slow the machine.
  provium.all(
    function() got = s:drain(src.finish and 200 or 5) end,
    function()
      feed_each(src, "a", "b")
      if src.finish then src.finish() end
    end)
  t:assert_eq(got, {"a", "b"})
end)

claim("drain stops at its deadline though bytes keep coming",
  function(t, s, src)
    local done, fed = false, 0
    provium.all(
      function()
        local took = timed(function() s:drain(0.3) end)
        done = true
        t:assert(took >= 0.29 and took < 30, "took " .. took)
      end,
      function()
        while not done do
          src.feed("x")
          fed = fed + 1
        end
      end)
    t:assert(fed > 0)
  end, "any")

claim_of_end("drain stops at EOF before its deadline", function(t, s, src)
  feed_each(src, "a", "b")
  finish(src)
  local took, got = timed(function() return s:drain(200) end)
  t:assert_eq(got, {"a", "b"})
  t:assert(took < 100, "took " .. took)
  took, got = timed(function() return s:drain(200) end)
  t:assert_eq(got, {})
  t:assert(took < 100, "took " .. took)
end)

claim("drain waits for half a second by default", function(t, s)
  local took, got = timed(function() return s:drain() end)
  t:assert_eq(got, {})
  t:assert(took >= 0.49 and took < 9, "took " .. took)
end, "any")

-- close ---------------------------------------------------------------------

claim("after close next returns nil and drain nothing", function(t, s)
  t:assert_eq(select("#", s:close()), 0)
  local took = timed(function()
    t:assert_eq(s:next(200), nil)
    t:assert_eq(s:drain(200), {})
  end)
  t:assert(took < 100, "took " .. took)
end, "any")

claim("after close expect and read_until raise what is closed",
  function(t, s, _, kind)
    s:close()
    raises(t, kind.closed, function() s:expect("x") end)
    raises(t, kind.closed, function() s:read_until("x") end)
  end, "any")

claim("close is idempotent", function(t, s, _, kind)
  s:close()
  s:close()
  t:assert_eq(s:next(), nil)
  s:close()
  raises(t, kind.closed, function() s:expect("x") end)
end, "any")

claim("close drops pending bytes", function(t, s, src)
  feed_each(src, "a match b", "c")
  s:expect("match", LONG)
  s:close()
  t:assert_eq(s:next(), nil)
  t:assert_eq(s:drain(), {})
end, "any")

claim("close ends a call that waits in another task", function(t, s)
  local got, err = "none", nil
  provium.all(
    function() got = s:next(LONG) end,
    function() s:close() end)
  t:assert_eq(got, nil)
end, "any")

claim("close ends an expect that waits in another task, in the same words",
  function(t, s, _, kind)
    local err
    provium.all(
      function()
        err = t:assert_raises(function() s:expect("x", LONG) end)
      end,
      function() s:close() end)
    t:assert_contains(tostring(err), kind.closed)
  end, "any")

claim("what is asked of a closed stream is still known", function(t, s, src)
  feed_each(src, "abc")
  local kind, detail, site = s:kind(), s:detail(), s:creation_site()
  local n = s:bytes()
  s:close()
  t:assert_eq({s:kind(), s:detail(), s:creation_site()}, {kind, detail, site})
  t:assert_eq(s:bytes(), n)
end, "any")

-- eof -----------------------------------------------------------------------

claim("eof is false while the stream is open", function(t, s, src)
  t:assert_eq(s:eof(), false)
  feed_each(src, "a")
  t:assert_eq(s:eof(), false)
  s:next(LONG)
  t:assert_eq(s:eof(), false)
end, "any")

claim_of_end("eof is false at EOF until pending bytes are consumed",
  function(t, s, src)
    feed_each(src, "a b", "c")
    finish(src)
    t:assert_eq(s:eof(), false)
    s:expect("a ", LONG)
    t:assert_eq(s:eof(), false)
    t:assert_eq(s:next(LONG), "b")
    t:assert_eq(s:eof(), false)
    t:assert_eq(s:next(LONG), "c")
    t:assert_eq(s:eof(), true)
  end)

claim("eof is true after close", function(t, s, src)
  feed_each(src, "pending")
  s:close()
  t:assert_eq(s:eof(), true)
end, "any")

claim_of_end("a loop over next ends at EOF", function(t, s, src)
  feed_each(src, "a", "b", "c")
  src.finish()
  local got = {}
  while true do
    local frame = s:next(LONG)
    if not frame then break end
    got[#got + 1] = frame
  end
  t:assert_eq(table.concat(got), "abc")
  t:assert_eq(s:eof(), true)
  s:close()
  while s:next() do t:fail("a closed stream gave a frame") end
end)

-- creation_site and what else a stream tells of itself ----------------------

claim("a stream tells its kind and what it is of", function(t, s, src, kind)
  t:assert_eq(s:kind(), kind.kind)
  t:assert_eq(s:detail(), src.detail)
end, "any")

claim("a stream names the line of the test that opened it", function(t, s)
  local site = s:creation_site()
  t:assert_match(site.file, "common%.test%.lua$")
  t:assert_eq(math.type(site.line), "integer")
  local n = 0
  for _ in pairs(site) do n = n + 1 end
  t:assert_eq(n, 2)
end, "any")

test("a stream opened in a helper's file names the test's frame", function(t)
  vm:write_file("/tmp/helped", "")
  local s = opener.tail(vm, "/tmp/helped") local line = t and
    debug.getinfo(1, "l").currentline - 1
  local site = s:creation_site()
  t:assert_match(site.file, "common%.test%.lua$")
  t:assert_eq(site.line, line)
end)

test("a stream opened with no test's frame on the stack has no site",
  function(t)
    vm:write_file("/tmp/siteless", "")
    local s
    provium.all(
      -- The task's own stack begins in the helper's file.
      opener.task(vm, "/tmp/siteless", function(x) s = x end))
    t:assert_eq(s:creation_site(), nil)
  end)

claim("an error carries the line of the author's frame", function(t, s)
  local err = tostring(t:assert_raises(function()
    s:expect("x", 0)
  end))
  local line = debug.getinfo(1, "l").currentline - 2
  t:assert_contains(err, "common.test.lua:" .. line .. ": ")
  s:close()
  t:assert_match(tostring(t:assert_raises(function() s:expect("x") end)),
    "common%.test%.lua:%d+: ")
end, "any")

-- bytes, whatever they are --------------------------------------------------

claim("every byte value comes through", function(t, s, src)
  src.feed(every_byte)
  t:assert_eq(s:read_until("\253\254\255", LONG), every_byte)
  src.feed("\0\0a\0")
  t:assert_eq(s:read_until("a\0", LONG), "\0\0a\0")
end)

claim("bytes counts what was delivered", function(t, s, src)
  t:assert_eq(s:bytes(), 0)
  feed_each(src, "abc", "de")
  t:assert_eq(s:bytes(), 5)
  s:drain(0)
  t:assert_eq(s:bytes(), 5)
end)

claim("lines gives each line without its end", function(t, s, src)
  src.feed("one\ntwo\r\n\nthree\n")
  local got = {}
  for line in s:lines(LONG) do
    got[#got + 1] = line
    if line == "three" then break end
  end
  t:assert_eq(got, {"one", "two\r", "", "three"})
end)

claim_of_end("lines ends at EOF, with what has no end of line",
  function(t, s, src)
    feed_each(src, "one\ntw", "o")
    src.finish()
    local got = {}
    for line in s:lines(LONG) do got[#got + 1] = line end
    t:assert_eq(got, {"one", "two"})
  end)

claim("a search costs what came in, not that times the pattern",
  function(t, s, src)
    -- 30 s of processor time for a search that starts over at each byte.
    local pattern = ("a"):rep(100000) .. "b"
    local got
    local from = os.clock()
    provium.all(
      function() got = s:read_until(pattern, 250) end,
      function()
        for _ = 1, 100 do src.feed(("a"):rep(4000)) end
        src.feed("b")
      end)
    local took = os.clock() - from
    t:assert_eq(#got, 400001)
    t:assert(took < 10, "processor time " .. took)
  end)

-- defaults ------------------------------------------------------------------
-- All kinds and calls wait at once, once: the tests look at what came of it.

local defaults

local function wait_by_default(method, src)
  local from = now()
  local ok, result = pcall(src.stream[method], src.stream,
    method ~= "next" and "never" or nil)
  return {took = now() - from, ok = ok, result = result}
end

-- What was fed while sources were opened is seen by others of their medium;
-- takes all that.
local function quiet(opened)
  local last = {}
  for _, o in ipairs(opened) do
    if o.kind.medium then last[o.kind.medium] = o.src end
  end
  for _, src in pairs(last) do src.feed("<all are open>") end
  for _, o in ipairs(opened) do
    if o.kind.medium then o.src.stream:expect("<all are open>", LONG) end
  end
end

local function measure_defaults()
  if defaults then return defaults end
  defaults = {}
  local tasks, opened = {}, {}
  for _, kind in ipairs(sources.kinds) do
    defaults[kind.name] = {}
    for _, method in ipairs({"next", "read_until", "expect"}) do
      local src = kind.open(vm)
      opened[#opened + 1] = {kind = kind, src = src}
      tasks[#tasks + 1] = function()
        defaults[kind.name][method] = wait_by_default(method, src)
      end
    end
  end
  quiet(opened)
  provium.all(unpack(tasks))
  return defaults
end

for _, method in ipairs({"next", "read_until", "expect"}) do
  test(method .. " waits for 10 seconds by default", function(t)
    for name, results in pairs(measure_defaults()) do
      local r = results[method]
      t:assert(r.took >= 9.9 and r.took < 60,
        ("%s: %s took %.2f s"):format(name, method, r.took))
      if method == "next" then
        t:assert_eq({r.ok, r.result}, {true, nil})
      else
        t:assert_contains(tostring(r.result),
          method .. " timed out waiting for `never`")
      end
    end
  end)
end
