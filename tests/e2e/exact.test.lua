-- Numbers, texts and packed bytes pass exactly, or are refused: no guest
-- needed.
local I64_MIN, I64_MAX, U64_MAX = -9223372036854775807LL - 1,
  9223372036854775807LL, 18446744073709551615ULL

local function refused(t, text, fn, ...)
  local err = tostring(t:assert_raises(fn, ...))
  t:assert_match(err, "^tests/e2e/exact.test.lua:%d+: ", text)
  t:assert_contains(err, text)
end

test("json takes what RFC 8259 allows", function(t)
  local function is(text, value)
    t:assert_eq({ json.decode(text) }, { value }, text)
  end
  is(" \t\r\n1 \n", 1)
  is("-0", 0)
  is("0.5", 0.5)
  is("1E2", 100)
  is("1.5e+3", 1500)
  is("5e-324", 5e-324)
  is("1.7976931348623157e308", 1.7976931348623157e308)
  is("true", true)
  is("false", false)
  is("null", nil)
  is('""', "")
  is([["\"\\\/\b\f\n\r\t"]], '"\\/\b\f\n\r\t')
  is([["\u0041\u00e4\u20ac\ud83d\ude00"]], "A\195\164\226\130\172\240\159\152\128")
  is('"\195\164\127"', "\195\164\127")
  is([["a\u0000b"]], "a\0b")
  is("[]", {})
  is("{}", {})
  is("[1,[2,[3]]]", { 1, { 2, { 3 } } })
  is('{"a":{"b":[null,1]}}', { a = { b = { [2] = 1 } } })
  is('{"":1}', { [""] = 1 })
end)

test("json refuses what RFC 8259 does not allow", function(t)
  for _, text in ipairs({ "", " ", "{", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]",
    "{}}", "[]]", "1 2", "{a:1}", "{'a':1}", '{"a"}', '{"a":}', '{"a":1,}',
    '{"a" 1}', "{1:2}", "01", "-", "+1", ".5", "1.", "1e", "1e+", "0x10", "NaN",
    "Infinity", "nul", "True", "TRUE", '"', '"a', "'a'", '"\n"', '"\t"', '"\0"',
    [["\x41"]], [["\u12"]], [["\u12g4"]], [["\ud800"]], [["\udc00"]],
    [["\ud800\u0041"]], '"\255"', '"\192\128"', '"\237\160\128"', "\239\187\191[]",
    "// a\n1", "/* a */ 1", "1;", "[1]\0" }) do
    local ok, err = pcall(json.decode, text)
    t:assert(not ok, ("%q was decoded"):format(text))
    t:assert_match(err, "line %d+.*column %d+", ("%q"):format(text))
  end
  refused(t, "line 3", function() json.decode('{\n"a": 1,\n"b": x\n}') end)
  refused(t, "json.decode", function() json.decode(nil) end)
end)

test("json integers are exact to 64 bits, both ways", function(t)
  for _, text in ipairs({ "9007199254740993", "-9007199254740993",
    "9223372036854775807", "-9223372036854775808", "18446744073709551615",
    "9223372036854775808" }) do
    local v = json.decode(text)
    t:assert_eq(type(v), "cdata", text)
    t:assert_eq(json.encode(v), text)
    t:assert_eq(json.encode(json.decode("[" .. text .. "]")), "[" .. text .. "]")
  end
  for _, text in ipairs({ "0", "1", "-1", "9007199254740992",
    "-9007199254740992" }) do
    t:assert_eq(type(json.decode(text)), "number", text)
    t:assert_eq(json.encode(json.decode(text)), text)
  end
end)

test("json numbers that no integer type holds are floats", function(t)
  t:assert_eq(json.decode("18446744073709551616"), 2 ^ 64)
  t:assert_eq(json.decode("-9223372036854775809"), -2 ^ 63)
  t:assert_eq(json.decode("1e400"), math.huge)
  t:assert_eq(json.decode("[-1e400]"), { -math.huge })
  t:assert_eq(json.decode("1e-400"), 0)
end)

test("json errors after a large integer have their own column", function(t)
  local function place(text)
    local _, err = pcall(json.decode, text)
    return err:match("line %d+, column %d+")
  end
  local large, small = "18446744073709551615", '"123456789012345678"'
  for _, form in ipairs({ "[%s x]", "\n[1,%s,%s x", "[%s,\n\n%s,%s,,]" }) do
    local wanted = place((form:gsub("%%s", small)))
    t:assert(wanted, form)
    t:assert_eq(place((form:gsub("%%s", large))), wanted, form)
  end
  -- What is in a string is no integer.
  local text = ([["\\\"%s"]]):format(large)
  t:assert_eq(json.decode("[" .. large .. "," .. text .. "]")[2],
    '\\"' .. large)
end)

test("json encodes each value in its one form", function(t)
  local function is(value, text)
    t:assert_eq(json.encode(value), text)
    t:assert_eq(json.encode(json.decode(text)), text)
  end
  is({ 1, 2, { 3 } }, "[1,2,[3]]")
  is({ a = 1 }, '{"a":1}')
  is("a\0\1\31\127\"\\/", [["a\u0000\u0001\u001F]] .. '\127\\"\\\\/"')
  is(0.1, "0.1")
  is(1 / 3, "0.3333333333333333")
  is(2 ^ 53, "9007199254740992")
  is(true, "true")
  t:assert_eq(json.encode(nil), "null")
  t:assert_eq(json.encode({ [1] = 1, [3] = 3 }), "[1,null,3]")
  t:assert_eq(json.decode(json.encode(-1.5e300)), -1.5e300)
  t:assert_eq(json.decode(json.encode(5e-324)), 5e-324)
  for _, v in ipairs({ 0.1, 1e21, 123456789.123456789, 2 ^ -1074, 1 - 2 ^ -53 }) do
    t:assert_eq(json.decode(json.encode(v)), v)
  end
end)

test("json refuses what has no form", function(t)
  local cycle = {}
  cycle[1] = cycle
  refused(t, "cycle", function() json.encode(cycle) end)
  refused(t, "function", function() json.encode({ f = print }) end)
  refused(t, "nan", function() json.encode(0 / 0) end)
  refused(t, "inf", function() json.encode({ 1 / 0 }) end)
  refused(t, "UTF-8", function() json.encode("\255") end)
  refused(t, "key", function() json.encode({ [{}] = 1 }) end)
  refused(t, "key", function() json.encode({ 1, a = 2 }) end)
  local deep = {}
  for _ = 1, 100000 do deep = { deep } end
  refused(t, "deep", function() json.encode(deep) end)
  refused(t, "nested too deep", function() json.decode(("["):rep(100000)) end)
  -- One table in two places is no cycle.
  local twice = { 1 }
  t:assert_eq(json.encode({ twice, twice }), "[[1],[1]]")
end)

test("string.pack is that of Lua 5.4", function(t)
  local function hex(s)
    return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
  end
  local function is(bytes, fmt, ...)
    local packed = string.pack(fmt, ...)
    t:assert_eq(hex(packed), bytes, fmt)
    local back = { string.unpack(fmt, packed) }
    t:assert_eq(back[#back], #packed + 1, fmt)
    back[#back] = nil
    for i, v in ipairs({ ... }) do
      t:assert(back[i] == v, ("%s: %s"):format(fmt, tostring(back[i])))
    end
  end
  is("01", "b", 1)
  is("ff", "b", -1)
  is("ff", "B", 255)
  is("feff", "<h", -2)
  is("fffe", ">h", -2)
  is("01020304", ">I4", 0x01020304)
  is("0403020100000000", "<l", 0x01020304)
  is("ffffffffffffffff", "<j", -1)
  is("ffffffffffffffff", "<J", U64_MAX)
  is("0000000000000080", "<i8", I64_MIN)
  is("7fffffffffffffff", ">i8", I64_MAX)
  is("010203", ">I3", 0x010203)
  is("00000000000000000000000000000001", ">I16", 1)
  is("ffffffffffffffffffffffffffffffff", "<i16", -1)
  is("0000803f", "<f", 1)
  is("3ff0000000000000", ">d", 1)
  is("3ff0000000000000", ">n", 1)
  is("6100", "z", "a")
  is("0161", "s1", "a")
  is("0100000061", "<s4", "a")
  is("0100000000000000" .. "61", "<s", "a")
  is("616200", "c3", "ab\0")
  is("01000200", "<b x h", 1, 2)
  is("0100000002000000", "<!4 b i4", 1, 2)
  is("01000000" .. "02000000", "<!4 b Xi4 i4", 1, 2)
  is("010002", "> b h", 1, 2)
  is("", "")
  t:assert_eq({ string.packsize("<!8 b d i2"), string.packsize("<b i3 I16") },
    { 18, 20 })
  t:assert_eq({ string.unpack("<I2", "xx\1\2", 3) }, { 0x0201, 5 })
  t:assert_eq({ string.unpack("<I2", "xx\1\2", -2) }, { 0x0201, 5 })
  t:assert_eq({ provium:unpack(">I2", provium:pack(">I2", 258)) }, { 258, 3 })
end)

test("string.pack refuses what does not fit", function(t)
  refused(t, "must be -128 to 127, got 128", function() string.pack("b", 128) end)
  refused(t, "does not fit", function() string.pack("B", 256) end)
  refused(t, "does not fit", function() string.pack("B", -1) end)
  refused(t, "must be -8388608 to 8388607", function() string.pack("i3", 0x800000) end)
  refused(t, "integer", function() string.pack("i4", 1.5) end)
  refused(t, "integer", function() string.pack("i4", "x") end)
  refused(t, "1 to 16 bytes", function() string.pack("i17", 1) end)
  refused(t, "1 to 16 bytes", function() string.pack("i0", 1) end)
  refused(t, "NUL byte", function() string.pack("z", "a\0b") end)
  refused(t, "longer", function() string.pack("c1", "ab") end)
  refused(t, "does not fit", function() string.pack("s1", ("x"):rep(256)) end)
  refused(t, "no such option", function() string.pack("y", 1) end)
  refused(t, "needs a size", function() string.pack("c", "a") end)
  refused(t, "too short", function() string.unpack("<I4", "abc") end)
  refused(t, "too short", function() string.unpack("s1", "\5abc") end)
  refused(t, "has no end", function() string.unpack("z", "abc") end)
  refused(t, "position must be -1 to 2, got 3", function() string.unpack("b", "a", 3) end)
  refused(t, "variable", function() string.packsize("s") end)
  refused(t, "does not fit 64 bits", function()
    string.unpack("<i16", ("\255"):rep(8) .. ("\1"):rep(8))
  end)
end)

test("later Lua's functions are those of later Lua", function(t)
  local p = table.pack(nil, 2, nil)
  t:assert_eq(p.n, 3)
  t:assert_eq({ table.unpack({ 1, 2, 3 }, 2) }, { 2, 3 })
  t:assert_eq({ table.unpack({ 1, 2, 3 }, 2, 2) }, { 2 })
  t:assert_eq(table.move({ 1, 2, 3 }, 1, 3, 2), { 1, 1, 2, 3 })
  t:assert_eq(table.move({ 1, 2, 3 }, 2, 3, 1), { 2, 3, 3 })
  t:assert_eq(table.move({ 1, 2 }, 1, 2, 1, {}), { 1, 2 })
  t:assert_eq({ math.type(1), math.type(1.5), math.type(1LL), math.type("1") },
    { "integer", "float", "integer", nil })
  t:assert_eq({ math.tointeger(3), math.tointeger(3.5), math.tointeger("x") },
    { 3, nil, nil })
  t:assert_eq(utf8.char(72, 228, 8364, 128512), "H\195\164\226\130\172\240\159\152\128")
  t:assert_eq({ utf8.codepoint("\195\164\226\130\172", 1, -1) }, { 228, 8364 })
  t:assert_eq({ utf8.len("a\195\164"), utf8.offset("a\195\164b", 3) }, { 2, 4 })
  t:assert_eq({ utf8.len("a\255") }, { nil, 2 })
  local seen = {}
  for at, code in utf8.codes("a\226\130\172") do
    seen[#seen + 1] = { at, code }
  end
  t:assert_eq(seen, { { 1, 97 }, { 2, 8364 } })
  t:assert(not pcall(utf8.codepoint, "\255"))
end)
