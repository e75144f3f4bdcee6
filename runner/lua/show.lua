-- How values are shown: what t:log, assertions and the prompt print. Nothing
-- here fails on any value, and no value takes more than its budget.
local M = {}

M.BYTES_MAX = 4000 -- of one shown value
M.NODES_MAX = 200 -- the same: values within values
local TEXT_MAX = 2000 -- bytes of one string in it
local KEY_MAX = 60 -- the same of a key in a path
local PATH_ENDS = 10 -- keys that a long path shows at either end
local DEPTH_MAX = 20 -- tables within tables
local LINE_MAX = 72 -- columns of a table on one line
local SHORT_MAX = 20 -- columns of an entry that shares its line
local NILS_MAX = 2 -- in a row, of a list that has holes
local WHOLE_MAX = 2 ^ 64 -- numbers below it are shown to the last digit

local function is_word(k)
  return type(k) == "string" and #k <= KEY_MAX
    and k:match("^[%a_][%w_]*$") ~= nil
end

local escapes = {
  ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\",
  ['"'] = '\\"',
}

local function escape(s)
  return (s:gsub('[%c"\\\127-\255]', function(c)
    return escapes[c] or ("\\x%02x"):format(c:byte())
  end))
end

-- In quotes, max bytes at most but for a note.
function M.quote(s, max)
  local n = math.min(#s, TEXT_MAX, max or TEXT_MAX)
  local text = escape(s:sub(1, n))
  while n > 8 and #text > (max or M.BYTES_MAX) do
    n = math.floor(n / 2)
    text = escape(s:sub(1, n))
  end
  return '"' .. text .. '"' .. (n < #s and ("... (%d bytes)"):format(#s) or "")
end

-- As many digits as tell it from every other number.
local function show_number(v)
  local is_whole = v % 1 == 0
  if v ~= v then
    return "nan"
  elseif is_whole and v > -1e15 and v < 1e15 then
    return ("%d"):format(v)
  end
  local text = ("%.14g"):format(v)
  if tonumber(text) == v then
    return text
  elseif is_whole and v > -WHOLE_MAX and v < WHOLE_MAX then
    return ("%.0f"):format(v)
  end
  for digits = 15, 17 do
    text = ("%%.%dg"):format(digits):format(v)
    if tonumber(text) == v then
      break
    end
  end
  return text
end

-- What tostring makes of it, or its type.
local function describe(v, max)
  local ok, text = pcall(tostring, v)
  if not ok or type(text) ~= "string" then
    return ("(a %s)"):format(type(v))
  elseif #text > max then
    return ("%s... (%d bytes)"):format(text:sub(1, max), #text)
  end
  return text
end

local function is_before(a, b)
  local ta, tb = type(a), type(b)
  if ta ~= tb then
    return ta < tb
  elseif ta == "number" or ta == "string" then
    return a < b
  end
  return describe(a, KEY_MAX) < describe(b, KEY_MAX)
end

-- The keys of the table, or of either, in an order that is the same in every
-- run: first those of the list that it begins with.
function M.keys(t, other)
  local keys, n, seen = {}, 0, {}
  while rawget(t, n + 1) ~= nil or (other and rawget(other, n + 1) ~= nil) do
    n = n + 1
    keys[n] = n
  end
  local rest = {}
  local function add(k)
    local is_listed = type(k) == "number" and k >= 1 and k <= n and k % 1 == 0
    if not is_listed and not seen[k] then
      seen[k] = true
      rest[#rest + 1] = k
    end
  end
  for k in next, t do
    add(k)
  end
  if other then
    for k in next, other do
      add(k)
    end
  end
  table.sort(rest, is_before)
  for i = 1, #rest do
    keys[n + i] = rest[i]
  end
  return keys
end

local function key_text(k)
  if is_word(k) then
    return "." .. k
  elseif type(k) == "string" then
    return "[" .. M.quote(k, KEY_MAX) .. "]"
  elseif type(k) == "number" then
    return "[" .. show_number(k) .. "]"
  end
  return "[" .. (type(k) == "table" and "a table" or describe(k, KEY_MAX))
    .. "]"
end

-- A place is nil, the whole value, or {above = place, key = key}.
function M.path(place)
  local texts = {}
  while place do
    texts[#texts + 1] = key_text(place.key)
    place = place.above
  end
  local n = #texts
  local out = {}
  for i = 1, n do
    if i <= PATH_ENDS or i > n - PATH_ENDS then
      out[#out + 1] = texts[n + 1 - i]
    elseif i == PATH_ENDS + 1 then
      out[#out + 1] = ("...(%d more)..."):format(n - 2 * PATH_ENDS)
    end
  end
  return table.concat(out)
end

local show

-- The entry of a key; at: where the list goes on. Returns that anew.
local function add_entry(out, k, text, at, budget, place)
  local gap = at and type(k) == "number" and k % 1 == 0 and k >= at and k - at
  if gap and gap <= NILS_MAX then
    for _ = 1, gap do
      out[#out + 1] = "nil"
    end
    out[#out + 1] = text
    return k + 1
  elseif is_word(k) then
    out[#out + 1] = k .. " = " .. text
    budget.bytes = budget.bytes - #k
  else
    local shown = show(k, budget, { above = place, key = k }, DEPTH_MAX - 1)
    out[#out + 1] = "[" .. shown .. "] = " .. text
  end
  if type(k) == "number" then
    return nil
  end
  return at
end

local function name_again(place, budget)
  local path = M.path(place)
  local text = path == "" and "(the whole table again)"
    or ("(the same table as %s)"):format(path)
  budget.bytes = budget.bytes - #text
  return text
end

-- The entries of a table as lines: those of a list of short ones share them.
local function lines_of(entries, pad)
  for _, text in ipairs(entries) do
    if #text > SHORT_MAX or text:find("[\n=]") then
      return table.concat(entries, ",\n" .. pad)
    end
  end
  local lines, line = {}, ""
  for i, text in ipairs(entries) do
    line = line .. (line == "" and "" or " ") .. text
      .. (i < #entries and "," or "")
    if #line > LINE_MAX - SHORT_MAX or i == #entries then
      lines[#lines + 1] = line
      line = ""
    end
  end
  return table.concat(lines, "\n" .. pad)
end

local function show_table(t, budget, place, depth)
  local first = budget.shown[t]
  if first then
    return name_again(first.place, budget)
  elseif depth >= DEPTH_MAX then
    return "{...}"
  end
  budget.shown[t] = { place = place }
  local out, at = {}, 1
  local keys = M.keys(t)
  for i, k in ipairs(keys) do
    if budget.nodes <= 0 or budget.bytes <= 0 then
      out[#out + 1] = ("... %d more"):format(#keys - i + 1)
      break
    end
    local text = show(rawget(t, k), budget, { above = place, key = k },
      depth + 1)
    at = add_entry(out, k, text, at, budget, place)
  end
  local flat = "{" .. table.concat(out, ", ") .. "}"
  if #flat <= LINE_MAX then
    return flat
  end
  local pad = ("  "):rep(depth + 1)
  return "{\n" .. pad .. lines_of(out, pad) .. "\n" .. ("  "):rep(depth) .. "}"
end

local function show_plain(v, max)
  if type(v) == "string" then
    return M.quote(v, max)
  elseif type(v) == "number" then
    return show_number(v)
  end
  return describe(v, max)
end

show = function(v, budget, place, depth)
  budget.nodes = budget.nodes - 1
  local meta = type(v) == "table" and getmetatable(v)
  local speaks = type(meta) == "table" and rawget(meta, "__tostring")
  if type(v) == "table" and not speaks then
    return show_table(v, budget, place, depth)
  end
  local text = show_plain(v, math.max(budget.bytes, KEY_MAX))
  budget.bytes = budget.bytes - #text
  return text
end

-- part: of the budget, 1 unless it is given; place: of v, in what it is of.
function M.show(v, part, place)
  local budget = {
    bytes = math.floor(M.BYTES_MAX * (part or 1)),
    nodes = math.floor(M.NODES_MAX * (part or 1)),
    shown = {},
  }
  return show(v, budget, place, 0)
end

return M
