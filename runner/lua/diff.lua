-- Values compared by content, and how two differ: what assert_eq needs. Nothing
-- here fails on any value. show is runner/lua/show.lua.
local show = ...
local ffi = require("ffi")

local M = { show = show.show }

local SHOWN_MAX = 20 -- differences listed
local WHOLE_MAX = 200 -- bytes of a string that differs and is shown whole
local BEFORE, AFTER = 40, 100 -- of a longer one: bytes around the place
local LINES_AROUND = 2
local LINES_MAX = 20 -- lines of a block that differs, of either side
local BLOCKS_MAX = 8 -- blocks of lines that differ
local CELLS_MAX = 250000 -- pairs of lines that are compared
local PART_MIN = 3 -- bytes of a text's part that are worth being found

local int64, uint64 = ffi.typeof("int64_t"), ffi.typeof("uint64_t")
local TWO_63, TWO_64 = 2 ^ 63, 2 ^ 64

-- --- two values -----------------------------------------------------------

local function same(a, b)
  return a == b
end

local function is_int64(v)
  return ffi.istype(int64, v) or ffi.istype(uint64, v)
end

-- LuaJIT would convert the number, and lose what does not fit.
local function is_integer(i, n)
  if n % 1 ~= 0 then
    return false
  elseif ffi.istype(uint64, i) then
    return n >= 0 and n < TWO_64 and uint64(n) == i
  end
  return n >= -TWO_63 and n < TWO_63 and int64(n) == i
end

-- The value that it holds, of a cdata that is a number of another type.
local function number_of(v)
  if type(v) == "cdata" and not is_int64(v) then
    return tonumber(v) or v
  end
  return v
end

-- Whether they are the same number; nil: not both are numbers.
local function is_same_number(a, b)
  a, b = number_of(a), number_of(b)
  local ta, tb = type(a), type(b)
  if ta == "number" and tb == "number" then
    return a == b
  elseif ta == "number" and is_int64(b) then
    return is_integer(b, a)
  elseif tb == "number" and is_int64(a) then
    return is_integer(a, b)
  elseif is_int64(a) and is_int64(b) then
    local is_mixed = ffi.istype(uint64, a) ~= ffi.istype(uint64, b)
    local signed = ffi.istype(uint64, a) and b or a
    return a == b and not (is_mixed and signed < 0)
  end
  return nil
end

local simple = {
  number = true, string = true, boolean = true, ["nil"] = true,
  ["function"] = true, thread = true,
}

-- As == has it, but for numbers of different types.
local function is_plain_equal(a, b)
  if simple[type(a)] and simple[type(b)] then
    return a == b
  end
  if type(a) == "cdata" or type(b) == "cdata" then
    local is = is_same_number(a, b)
    if is ~= nil then
      return is
    end
  end
  local ok, is = pcall(same, a, b)
  return ok and is
end

-- --- graphs of tables -----------------------------------------------------

-- Tables that were compared are joined: up leads from each to another of its
-- set. Two of one set are equal, unless a difference was found already. So
-- as many pairs are looked at as there are tables, however they are linked.
local function root_of(up, t)
  while up[t] do
    up[t] = up[up[t]] or up[t]
    t = up[t]
  end
  return t
end

-- False: they were of one set before.
local function join(up, a, b)
  a, b = root_of(up, a), root_of(up, b)
  if rawequal(a, b) then
    return false
  end
  up[a] = b
  return true
end

-- Whether the tables have the same keys, and values that may be equal: those
-- that are tables are put into todo, at n.
local function add_pairs(a, b, todo, n)
  for k, v in next, a do
    local other = rawget(b, k)
    if not is_plain_equal(v, other) then
      if type(v) ~= "table" or type(other) ~= "table" then
        return nil
      end
      todo[n + 1], todo[n + 2] = v, other
      n = n + 2
    end
  end
  for k in next, b do
    if rawequal(rawget(a, k), nil) then
      return nil
    end
  end
  return n
end

-- Without recursion: a list of a million links is only a table.
function M.equal(a, b)
  if is_plain_equal(a, b) then
    return true
  elseif type(a) ~= "table" or type(b) ~= "table" then
    return false
  end
  local todo, n, up = { a, b }, 2, {}
  while n > 0 do
    local x, y = todo[n - 1], todo[n]
    todo[n - 1], todo[n] = nil, nil
    n = n - 2
    if join(up, x, y) then
      n = add_pairs(x, y, todo, n)
      if not n then
        return false
      end
    end
  end
  return true
end

-- Appends what differs in the two tables of the item, as {got, want, place}.
local function add_children(item, todo)
  local got, want = item[1], item[2]
  local n_leaves = 0
  for _, k in ipairs(show.keys(got, want)) do
    local a, b = rawget(got, k), rawget(want, k)
    if not is_plain_equal(a, b) then
      todo[#todo + 1] = { a, b, { above = item[3], key = k } }
      if type(a) ~= "table" or type(b) ~= "table" then
        n_leaves = n_leaves + 1
      end
      if n_leaves > SHOWN_MAX then
        break
      end
    end
  end
end

-- The differences of two values, those with short paths first, each by its
-- shortest; one more than are listed at the most.
local function differences(got, want)
  local todo, first, out, up = { { got, want } }, 0, {}, {}
  while todo[first + 1] and #out <= SHOWN_MAX do
    first = first + 1
    local item = todo[first]
    todo[first] = false
    if type(item[1]) ~= "table" or type(item[2]) ~= "table" then
      out[#out + 1] = item
    elseif join(up, item[1], item[2]) then
      add_children(item, todo)
    end
  end
  return out
end

-- --- texts ----------------------------------------------------------------

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
  return (from > 1 and "..." or "") .. show.quote(s:sub(from, to))
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
    return show.quote(text) .. note
  end
  return window(text, across and parting(text, across) or 1) .. note
end

-- The lines from x[from] to x[to]; those of y from there stand across.
local function add_lines(out, sign, x, from, to, y, y_from)
  local last = math.min(to, from + LINES_MAX - 1)
  for k = from, last do
    out[#out + 1] = ("  %s %s"):format(sign, one_of(x[k], y[y_from + k - from]))
  end
  if to > last then
    out[#out + 1] = ("  %s ... %d line%s more"):format(sign, to - last,
      to - last == 1 and "" or "s")
  end
end

-- How long the longest common sequence of a[x..na] and b[y..nb] is, as [x][y].
local function common_lengths(a, b, first, na, nb)
  local lengths = { [na + 1] = {} }
  for y = first, nb + 1 do
    lengths[na + 1][y] = 0
  end
  for x = na, first, -1 do
    local row, below = { [nb + 1] = 0 }, lengths[x + 1]
    for y = nb, first, -1 do
      row[y] = a[x] == b[y] and below[y + 1] + 1
        or math.max(below[y], row[y + 1])
    end
    lengths[x] = row
  end
  return lengths
end

-- Where the lines differ: blocks of lines of a in place of lines of b, in order.
-- Texts that are too long to compare so are one block.
local function blocks_of(a, b, first, na, nb)
  if (na - first + 1) * (nb - first + 1) > CELLS_MAX then
    return { { a = first, a_to = na, b = first, b_to = nb } }
  end
  local lengths = common_lengths(a, b, first, na, nb)
  local blocks, x, y = {}, first, first
  while x <= na or y <= nb do
    if x <= na and y <= nb and a[x] == b[y] then
      x, y = x + 1, y + 1
    else
      local last = blocks[#blocks]
      if not last or last.a_to ~= x - 1 or last.b_to ~= y - 1 then
        last = { a = x, a_to = x - 1, b = y, b_to = y - 1 }
        blocks[#blocks + 1] = last
      end
      if y > nb or x <= na and lengths[x + 1][y] >= lengths[x][y + 1] then
        x, last.a_to = x + 1, x
      else
        y, last.b_to = y + 1, y
      end
    end
  end
  return blocks
end

-- Lines that both have, from a[from] to a[to]: those beside a block.
local function add_equal(out, a, from, to, is_first, is_last)
  local after = is_first and 0 or LINES_AROUND
  local before = is_last and 0 or LINES_AROUND
  for k = from, to do
    if k < from + after or k > to - before then
      out[#out + 1] = "    " .. one_of(a[k])
    elseif k == from + after and not is_first and not is_last then
      out[#out + 1] = ("    ... %d equal lines"):format(
        to - from + 1 - after - before)
    end
  end
end

-- Two texts of several lines: each place where they differ, and what is around
-- it.
local function explain_text(got, want)
  local a, b = lines_of(got), lines_of(want)
  local i, na, nb = 1, #a, #b
  while a[i] == b[i] do
    i = i + 1
  end
  while na >= i and nb >= i and a[na] == b[nb] do
    na, nb = na - 1, nb - 1
  end
  local out = { ("the texts differ from line %d on:"):format(i) }
  local blocks, shown = blocks_of(a, b, i, na, nb), 0
  for n, block in ipairs(blocks) do
    if n > BLOCKS_MAX then
      out[#out + 1] = ("    ... %d more places"):format(#blocks - BLOCKS_MAX)
      break
    end
    add_equal(out, a, shown + 1, block.a - 1, n == 1)
    add_lines(out, "-", b, block.b, block.b_to, a, block.a)
    add_lines(out, "+", a, block.a, block.a_to, b, block.b)
    shown = block.a_to
  end
  if #blocks <= BLOCKS_MAX then
    add_equal(out, a, shown + 1, #a, false, true)
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

-- A text; of a long one, its end.
function M.brief(text)
  if #text <= WHOLE_MAX then
    return show.show(text)
  end
  return ("the text (%d bytes) that ends ...%s"):format(#text,
    show.quote(text:sub(-AFTER)))
end

-- Says of a text that it does not contain the part: of a long one, the line
-- that has the most of the part's beginning.
function M.explain_missing(text, part)
  if #text <= WHOLE_MAX then
    return ("%s does not contain %s"):format(show.show(text), show.show(part))
  end
  local _, lines = text:gsub("\n", "")
  lines = lines + (text:sub(-1) == "\n" and 0 or 1)
  local said = ("the text (%d bytes, %d line%s) does not contain %s"):format(
    #text, lines, lines == 1 and "" or "s", show.show(part))
  for n = #part - 1, PART_MIN, -1 do
    local at = text:find(part:sub(1, n), 1, true)
    if at then
      local _, before = text:sub(1, at):gsub("\n", "")
      local from = text:sub(1, at):match(".*\n()") or 1
      local line = text:match("[^\n]*", from)
      return ("%s\n  nearest:  line %d: %s"):format(said, before + 1,
        #line <= WHOLE_MAX and show.quote(line) or window(line, at - from + 1))
    end
  end
  return said .. "\n  it ends:  ..." .. show.quote(text:sub(-AFTER))
end

-- --- what is said -----------------------------------------------------------

-- How both are shown; where that is the same, with their types. A nan differs
-- from every other.
local function show_both(a, b, part, place)
  local x, y = show.show(a, part, place), show.show(b, part, place)
  local is_nan = a ~= a and b ~= b
  if x == y and not is_nan then
    x, y = x .. " (" .. type(a) .. ")", y .. " (" .. type(b) .. ")"
  end
  return x, y
end

-- All of them together have the budget of one value.
local function explain_tables(got, want)
  local found = differences(got, want)
  local n = math.min(#found, SHOWN_MAX)
  local lines = { "the tables differ:" }
  for i = 1, n do
    local a, b = show_both(found[i][1], found[i][2], 1 / n, found[i][3])
    a = rawequal(found[i][1], nil) and "nothing" or a
    b = rawequal(found[i][2], nil) and "nothing" or b
    lines[#lines + 1] = ("  %s: got %s, expected %s"):format(
      show.path(found[i][3]), a, b)
  end
  if #found > n then
    lines[#lines + 1] = "  ..."
  end
  return table.concat(lines, "\n")
end

-- Says how got differs from want, which it does.
function M.explain(got, want)
  if type(got) == "table" and type(want) == "table" then
    return explain_tables(got, want)
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
  return ("values differ\n  got:      %s\n  expected: %s"):format(
    show_both(got, want))
end

return M
