-- Values compared by content, and how they are shown: what assert_eq and
-- t:log need. Nothing here fails on any value.
local M = {}

local SHOWN_MAX = 20 -- differences listed
local TEXT_MAX = 2000 -- bytes of one shown value
local LINES_AROUND = 2

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

local function equal(a, b, seen)
  if is_plain_equal(a, b) then
    return true
  end
  if type(a) ~= "table" or type(b) ~= "table" then
    return false
  end
  -- Assume a pair that is being compared further up to be equal: only what
  -- differs elsewhere makes it different.
  if seen[a] and seen[a][b] then
    return true
  end
  seen[a] = seen[a] or {}
  seen[a][b] = true
  for k, v in next, a do
    local other = rawget(b, k)
    if other == nil or not equal(v, other, seen) then
      return false
    end
  end
  for k in next, b do
    if rawget(a, k) == nil then
      return false
    end
  end
  return true
end

function M.equal(a, b)
  return equal(a, b, {})
end

local function lines_of(s)
  local lines = {}
  for line in (s .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = line
  end
  return lines
end

-- Two texts of several lines: the first place where they part.
local function explain_text(got, want)
  local a, b = lines_of(got), lines_of(want)
  local i = 1
  while a[i] == b[i] do
    i = i + 1
  end
  local out = { ("the texts differ from line %d on:"):format(i) }
  for k = math.max(1, i - LINES_AROUND), i - 1 do
    out[#out + 1] = "    " .. quote(a[k])
  end
  for k = i, i + LINES_AROUND do
    if b[k] then
      out[#out + 1] = "  - " .. quote(b[k])
    end
  end
  for k = i, i + LINES_AROUND do
    if a[k] then
      out[#out + 1] = "  + " .. quote(a[k])
    end
  end
  out[#out + 1] = "  (- expected, + got)"
  return table.concat(out, "\n")
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

local function collect(a, b, path, out, seen)
  if equal(a, b, {}) or #out > SHOWN_MAX then
    return
  end
  if type(a) ~= "table" or type(b) ~= "table" or (seen[a] and seen[a][b])
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
    collect(rawget(a, k), rawget(b, k), child_path(path, k), out, seen)
  end
end

-- Says how got differs from want, which it does.
function M.explain(got, want)
  if type(got) == "table" and type(want) == "table" then
    local out = {}
    collect(got, want, "", out, {})
    if #out > SHOWN_MAX then
      out[SHOWN_MAX + 1] = "  ..."
      out[SHOWN_MAX + 2] = nil
    end
    return "the tables differ:\n" .. table.concat(out, "\n")
  end
  if type(got) == "string" and type(want) == "string"
    and (got:find("\n.") or want:find("\n.")) then
    return explain_text(got, want)
  end
  local a, b = M.show(got), M.show(want)
  if a == b then
    a, b = a .. " (" .. type(got) .. ")", b .. " (" .. type(want) .. ")"
  end
  return ("values differ\n  got:      %s\n  expected: %s"):format(a, b)
end

return M
