-- Values compared by content, and how they are shown: what assert_eq and
-- t:log need. Nothing here fails on any value.
local M = {}

local SHOWN_MAX = 20 -- differences listed
local TEXT_MAX = 2000 -- bytes of one shown value
local WHOLE_MAX = 200 -- bytes of a string that differs and is shown whole
local BEFORE, AFTER = 40, 100 -- of a longer one: bytes around the place
local LINES_AROUND = 2
local LINES_MAX = 20 -- lines that differ, of either side
local DEPTH_MAX = 20 -- of tables within tables, as shown
local PATH_MAX = 50 -- the same, as looked for what differs

local function is_word(k)
  return type(k) == "string" and k:match("^[%a_][%w_]*$")
end

local escapes = {
  ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\",
  ['"'] = '\\"',
}

local function quote(s)
  if #s > TEXT_MAX then
    return quote(s:sub(1, TEXT_MAX)) .. ("... (%d bytes)"):format(#s)
  end
  return '"' .. s:gsub('[%c"\\\127-\255]', function(c)
    return escapes[c] or ("\\x%02x"):format(c:byte())
  end) .. '"'
end

-- Keys in an order that is the same in every run.
local function sorted_keys(t)
  local keys = {}
  for k in next, t do
    keys[#keys + 1] = k
  end
  table.sort(keys, function(a, b)
    local ta, tb = type(a), type(b)
    if ta ~= tb then
      return ta < tb
    elseif ta == "number" or ta == "string" then
      return a < b
    end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function describe(v)
  local ok, text = pcall(tostring, v)
  return ok and text or ("(a %s)"):format(type(v))
end

local show

local function show_table(t, seen, depth)
  if seen[t] then
    return "(the same table again)"
  elseif depth >= DEPTH_MAX then
    return "{...}"
  end
  seen[t] = true
  local out, n = {}, #t
  for _, k in ipairs(sorted_keys(t)) do
    local v = show(rawget(t, k), seen, depth + 1)
    if type(k) == "number" and k >= 1 and k <= n and k % 1 == 0 then
      out[#out + 1] = v
    elseif is_word(k) then
      out[#out + 1] = k .. " = " .. v
    else
      out[#out + 1] = "[" .. show(k, seen, depth + 1) .. "] = " .. v
    end
  end
  seen[t] = nil
  local flat = "{" .. table.concat(out, ", ") .. "}"
  if #flat <= 72 then
    return flat
  end
  local pad = ("  "):rep(depth + 1)
  return "{\n" .. pad .. table.concat(out, ",\n" .. pad) .. "\n"
    .. ("  "):rep(depth) .. "}"
end

show = function(v, seen, depth)
  if type(v) == "string" then
    return quote(v)
  elseif type(v) ~= "table" then
    if type(v) == "number" and v % 1 == 0 and v > -1e15 and v < 1e15 then
      return ("%d"):format(v)
    end
    return describe(v)
  end
  local meta = getmetatable(v)
  if type(meta) == "table" and meta.__tostring then
    return describe(v)
  end
  return show_table(v, seen, depth)
end

function M.show(v)
  return show(v, {}, 0)
end

local function is_plain_equal(a, b)
  local ok, same = pcall(function() return a == b end)
  return ok and same
end

-- Whether the tables have the same keys; what they hold is put into todo, at n.
local function add_pairs(a, b, todo, n)
  for k, v in next, a do
    local other = rawget(b, k)
    if other == nil then
      return nil
    end
    todo[n + 1], todo[n + 2] = v, other
    n = n + 2
  end
  for k in next, b do
    if rawget(a, k) == nil then
      return nil
    end
  end
  return n
end

-- Without recursion: a list of a million links is only a table.
local function equal(a, b)
  local todo, n, seen = { a, b }, 2, {}
  while n > 0 do
    local x, y = todo[n - 1], todo[n]
    todo[n - 1], todo[n] = nil, nil
    n = n - 2
    if not is_plain_equal(x, y) then
      if type(x) ~= "table" or type(y) ~= "table" then
        return false
      end
      -- A pair that was met before is equal, or differs in what was put into
      -- todo then.
      seen[x] = seen[x] or {}
      if not seen[x][y] then
        seen[x][y] = true
        n = add_pairs(x, y, todo, n)
        if not n then
          return false
        end
      end
    end
  end
  return true
end

M.equal = equal

-- The first byte at which two strings differ.
local function parting(a, b)
  local low, high = 0, math.min(#a, #b) -- equal up to low
  while low < high do
    local mid = math.ceil((low + high) / 2)
    if a:sub(low + 1, mid) == b:sub(low + 1, mid) then
      low = mid
    else
      high = mid - 1
    end
  end
  return low + 1
end

-- A string around the place at which it differs from another one.
local function window(s, at)
  local from, to = math.max(1, at - BEFORE), math.min(#s, at + AFTER)
  return (from > 1 and "..." or "") .. quote(s:sub(from, to))
    .. (to < #s and "..." or "")
end

-- Each with its newline.
local function lines_of(s)
  local lines = {}
  for line in s:gmatch("[^\n]*\n?") do
    lines[#lines + 1] = line ~= "" and line or nil
  end
  return lines
end

-- A line, around where it differs from the one across when it is long.
local function one_of(line, across)
  local text, newline = line:match("^(.-)(\n?)$")
  local note = newline == "" and " (no newline)" or ""
  if #text <= WHOLE_MAX then
    return quote(text) .. note
  end
  return window(text, across and parting(text, across) or 1) .. note
end

local function add_lines(out, sign, a, b, from, to)
  local last = math.min(to, from + LINES_MAX - 1)
  for k = from, last do
    out[#out + 1] = ("  %s %s"):format(sign, one_of(a[k], b[k]))
  end
  if to > last then
    out[#out + 1] = ("  %s ... %d lines more"):format(sign, to - last)
  end
end

-- Two texts of several lines: from where they part to where they meet again
-- for good.
local function explain_text(got, want)
  local a, b = lines_of(got), lines_of(want)
  local i, na, nb = 1, #a, #b
  while a[i] == b[i] do
    i = i + 1
  end
  while na > i and nb > i and a[na] == b[nb] do
    na, nb = na - 1, nb - 1
  end
  local out = { ("the texts differ from line %d on:"):format(i) }
  for k = math.max(1, i - LINES_AROUND), i - 1 do
    out[#out + 1] = "    " .. one_of(a[k])
  end
  add_lines(out, "-", b, a, i, nb)
  add_lines(out, "+", a, b, i, na)
  for k = na + 1, math.min(#a, na + LINES_AROUND) do
    out[#out + 1] = "    " .. one_of(a[k])
  end
  out[#out + 1] = "  (- expected, + got)"
  return table.concat(out, "\n")
end

local function explain_long(got, want)
  local at = parting(got, want)
  return ("the strings (%d and %d bytes) differ from byte %d on\n"
    .. "  got:      %s\n  expected: %s"):format(#got, #want, at,
    window(got, at), window(want, at))
end

local function child_path(path, k)
  if is_word(k) then
    return path .. "." .. k
  end
  return path .. "[" .. M.show(k) .. "]"
end

local function or_nothing(v)
  return v == nil and "nothing" or M.show(v)
end

local function collect(a, b, path, out, seen, depth)
  if #out > SHOWN_MAX or equal(a, b) then
    return
  end
  if type(a) ~= "table" or type(b) ~= "table" or (seen[a] and seen[a][b])
    or depth >= PATH_MAX
  then
    out[#out + 1] = ("  %s: got %s, expected %s"):format(
      path == "" and "value" or path, or_nothing(a), or_nothing(b))
    return
  end
  seen[a] = seen[a] or {}
  seen[a][b] = true
  local keys = {}
  for k in next, a do
    keys[k] = true
  end
  for k in next, b do
    keys[k] = true
  end
  for _, k in ipairs(sorted_keys(keys)) do
    collect(rawget(a, k), rawget(b, k), child_path(path, k), out, seen,
      depth + 1)
  end
end

-- Says how got differs from want, which it does.
function M.explain(got, want)
  if type(got) == "table" and type(want) == "table" then
    local out = {}
    collect(got, want, "", out, {}, 0)
    if #out > SHOWN_MAX then
      out[SHOWN_MAX + 1] = "  ..."
      out[SHOWN_MAX + 2] = nil
    end
    return "the tables differ:\n" .. table.concat(out, "\n")
  end
  if type(got) == "string" and type(want) == "string" then
    if got:find("\n.") or want:find("\n.") then
      return explain_text(got, want)
    elseif #got > WHOLE_MAX or #want > WHOLE_MAX then
      return explain_long(got, want)
    end
  end
  if got ~= got and want ~= want then
    return "values differ: a nan is equal to nothing, not even to a nan"
  end
  local a, b = M.show(got), M.show(want)
  if a == b then
    a, b = a .. " (" .. type(got) .. ")", b .. " (" .. type(want) .. ")"
  end
  return ("values differ\n  got:      %s\n  expected: %s"):format(a, b)
end

return M
