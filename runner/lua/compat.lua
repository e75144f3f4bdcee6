-- Library functions of later Luas that authors of tests expect.
local INTEGER_MAX = 2 ^ 53

-- LuaJIT's own assert ends the message at its first NUL byte.
function assert(...)
  local v, message = ...
  if v then
    return ...
  elseif select("#", ...) > 1 then
    error(message, type(message) == "string" and 2 or 0)
  elseif select("#", ...) == 1 then
    error("assertion failed!", 2)
  end
  error("bad argument #1 to 'assert' (value expected)", 2)
end

-- LuaJIT reads counts and positions as integers of 32 bits. One that is larger
-- becomes some other: ("x"):rep(2^31) is "", ("x"):sub(1, math.huge) too. No
-- string is as long as the largest, so it means the same. A tail call leaves
-- the function's name in the errors of LuaJIT.
local INT_MAX = 2 ^ 31 - 1
local STRING_MAX = 0x7fffff00 -- LJ_MAX_STR of lj_def.h

local function clamp(n)
  local value = type(n) == "string" and tonumber(n) or n
  if type(value) ~= "number" then
    return n
  elseif value > INT_MAX then
    return INT_MAX
  elseif value < -INT_MAX then
    return -INT_MAX
  end
  return n
end

local rep, sub, byte = string.rep, string.sub, string.byte
local find, match, gsub = string.find, string.match, string.gsub
local concat, unpack_list = table.concat, unpack

function string.rep(s, n, separator)
  local count = tonumber(n)
  if type(s) == "string" and count then
    local size = #s * count
    if type(separator) == "string" then
      size = size + #separator * (count - 1)
    end
    if size > STRING_MAX or count ~= count then
      error(("string.rep: the result would have %.0f bytes, a string holds up "
        .. "to %d"):format(size, STRING_MAX), 2)
    end
  end
  return rep(s, clamp(n), separator)
end

function string.sub(s, i, j)
  return sub(s, clamp(i), clamp(j))
end

function string.byte(s, i, j)
  return byte(s, clamp(i), clamp(j))
end

function string.find(s, pattern, init, plain)
  return find(s, pattern, clamp(init), plain)
end

function string.match(s, pattern, init)
  return match(s, pattern, clamp(init))
end

function string.gsub(s, pattern, by, n)
  return gsub(s, pattern, by, clamp(n))
end

function table.concat(list, separator, i, j)
  return concat(list, separator, clamp(i), clamp(j))
end

function unpack(list, i, j)
  return unpack_list(list, clamp(i), clamp(j))
end

function table.pack(...)
  return { n = select("#", ...), ... }
end

table.unpack = unpack

function table.move(a1, f, e, t, a2)
  a2 = a2 or a1
  if t > f and t <= e and a1 == a2 then
    for i = e - f, 0, -1 do
      a2[t + i] = a1[f + i]
    end
  else
    for i = 0, e - f do
      a2[t + i] = a1[f + i]
    end
  end
  return a2
end

-- There is one type of number: those that are whole are called integers.
function math.type(x)
  if type(x) == "number" then
    return x % 1 == 0 and "integer" or "float"
  elseif type(x) == "cdata" and tonumber(x) then
    return "integer"
  elseif x == nil then
    error("bad argument #1 to 'type' (value expected)", 2)
  end
  return nil
end

function math.tointeger(x)
  local n = type(x) == "string" and tonumber(x) or x
  if type(n) == "number" and n % 1 == 0 and math.abs(n) <= INTEGER_MAX then
    return n
  end
  return nil
end

utf8 = { charpattern = "[%z\1-\127\194-\253][\128-\191]*" }

local function encode(code)
  if type(code) ~= "number" or code % 1 ~= 0 or code < 0
    or code > 0x10ffff then
    error(("bad code point %s"):format(tostring(code)), 3)
  elseif code < 0x80 then
    return string.char(code)
  elseif code < 0x800 then
    return string.char(0xc0 + math.floor(code / 64), 0x80 + code % 64)
  elseif code < 0x10000 then
    return string.char(0xe0 + math.floor(code / 4096),
      0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
  end
  return string.char(0xf0 + math.floor(code / 262144),
    0x80 + math.floor(code / 4096) % 64, 0x80 + math.floor(code / 64) % 64,
    0x80 + code % 64)
end

function utf8.char(...)
  local out = {}
  for i = 1, select("#", ...) do
    out[i] = encode((select(i, ...)))
  end
  return table.concat(out)
end

local least = { 0, 0x80, 0x800, 0x10000 }

-- The character at byte i of s: its code and the position behind it, or nil
-- where there is no valid one.
local function decode(s, i)
  local lead = s:byte(i)
  local length, code
  if not lead then
    return nil
  elseif lead < 0x80 then
    return lead, i + 1
  elseif lead >= 0xc2 and lead < 0xe0 then
    length, code = 2, lead - 0xc0
  elseif lead >= 0xe0 and lead < 0xf0 then
    length, code = 3, lead - 0xe0
  elseif lead >= 0xf0 and lead < 0xf5 then
    length, code = 4, lead - 0xf0
  else
    return nil
  end
  for k = i + 1, i + length - 1 do
    local b = s:byte(k)
    if not b or b < 0x80 or b > 0xbf then
      return nil
    end
    code = code * 64 + b - 0x80
  end
  if code < least[length] or code > 0x10ffff
    or (code >= 0xd800 and code <= 0xdfff) then
    return nil
  end
  return code, i + length
end

local function position(s, i, otherwise)
  i = i or otherwise
  return i >= 0 and i or #s + i + 1
end

function utf8.codepoint(s, i, j)
  i = position(s, i, 1)
  j = position(s, j, i)
  local out = {}
  while i <= j do
    local code, after = decode(s, i)
    if not code then
      error("invalid UTF-8 code", 2)
    end
    out[#out + 1] = code
    i = after
  end
  return unpack(out)
end

function utf8.len(s, i, j)
  i = position(s, i, 1)
  j = position(s, j, -1)
  local n = 0
  while i <= j do
    local code, after = decode(s, i)
    if not code then
      return nil, i
    end
    n, i = n + 1, after
  end
  return n
end

function utf8.codes(s)
  return function(_, i)
    local after = 1
    if i > 0 then
      local _, next_i = decode(s, i)
      after = next_i
    end
    if after > #s then
      return nil
    end
    local code = decode(s, after)
    if not code then
      error("invalid UTF-8 code", 2)
    end
    return after, code
  end, s, 0
end

local function is_continuation(s, i)
  local b = s:byte(i)
  return b and b >= 0x80 and b < 0xc0
end

function utf8.offset(s, n, i)
  i = position(s, i, n > 0 and 1 or #s + 1)
  if n == 0 then
    while i > 1 and is_continuation(s, i) do
      i = i - 1
    end
    return i
  elseif is_continuation(s, i) then
    error("initial position is a continuation byte", 2)
  end
  local step = n > 0 and 1 or -1
  for _ = 1, n > 0 and n - 1 or -n do
    if (step > 0 and i > #s) or (step < 0 and i <= 1) then
      return nil
    end
    repeat
      i = i + step
    until not is_continuation(s, i)
  end
  return i
end
