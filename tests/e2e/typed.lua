-- Reads the typed description of what tests may call, runner/lua/stubs.lua:
-- classes with fields, aliases, functions with typed parameters.
local M = {}

-- "a|{b: c|d}|e[]" at the bars outside of brackets.
local function split(text, separators)
  local parts, depth, start = {}, 0, 1
  for i = 1, #text do
    local c = text:sub(i, i)
    if c:find("[%(%[{<]") then
      depth = depth + 1
    elseif c:find("[%)%]}>]") then
      depth = depth - 1
    elseif depth == 0 and separators:find(c, 1, true) then
      parts[#parts + 1] = text:sub(start, i - 1):match("^%s*(.-)%s*$")
      start = i + 1
    end
  end
  parts[#parts + 1] = text:sub(start):match("^%s*(.-)%s*$")
  return parts
end

-- A type may hold spaces inside of brackets; what follows is prose.
local function cut_type(text)
  local depth = 0
  for i = 1, #text do
    local c = text:sub(i, i)
    if c:find("[%(%[{<]") then
      depth = depth + 1
    elseif c:find("[%)%]}>]") then
      depth = depth - 1
    elseif c == " " and depth == 0 and not text:sub(i - 1, i - 1):find("[:,|]")
    then
      return text:sub(1, i - 1)
    end
  end
  return text
end

local BASIC = {
  string = { "string" }, boolean = { "boolean" }, number = { "number" },
  ["function"] = { "function" },
}

local function add(type_, kinds)
  for _, kind in ipairs(kinds) do
    type_.kinds[kind] = true
  end
end

-- One of the alternatives of a type into what all of them make.
local function add_alternative(self, type_, text)
  if text:sub(-2) == "[]" then
    add(type_, { "table" })
    type_.item = self:type(text:sub(1, -3))
  elseif text:sub(1, 1) == "{" then
    add(type_, { "table" })
    type_.fields = {}
    for _, field in ipairs(split(text:sub(2, -2), ",")) do
      local name, kind = field:match("^([%w_]+%??):%s*(.*)$")
      if not name then
        type_.is_open = true -- [string]: any
      else
        type_.fields[name:gsub("%?$", "")] = self:type(kind)
      end
    end
  elseif text:sub(1, 6) == "table<" then
    add(type_, { "table" })
    type_.map = self:type(split(text:sub(7, -2), ",")[2])
  elseif text:sub(1, 4) == "fun(" then
    add(type_, { "function" })
  elseif text:sub(1, 1) == '"' then
    add(type_, { "string" })
    type_.values = type_.values or {}
    type_.values[#type_.values + 1] = text:sub(2, -2)
  elseif text == "integer" then
    add(type_, { "number" })
    type_.is_integer = true
  elseif text == "Int64" then
    add(type_, { "number", "cdata" })
    type_.is_integer = true
  elseif text == "Duration" or text == "Size" or text == "Signal" then
    add(type_, { "number", "string" })
    type_[text:lower()] = true
  elseif text == "any" then
    type_.is_any = true
  elseif text == "ffi.cdata*" then
    add(type_, { "cdata" })
  elseif BASIC[text] then
    add(type_, BASIC[text])
    if text == "string" then
      type_.takes_any_string = true
    end
  elseif self.classes[text] and self.classes[text].is_record then
    add(type_, { "table" })
    type_.fields = self.classes[text].fields
  else
    add(type_, { "userdata" })
    type_.object = text
  end
end

-- {text=, kinds={string=true, ...}, optional=, ...}
function M:type(text)
  local type_ = { text = text, kinds = {} }
  if text:sub(-1) == "?" and text:sub(-2) ~= "]?" then
    type_.optional = true
    text = text:sub(1, -2)
  end
  for _, part in ipairs(split(text, "|")) do
    add_alternative(self, type_, part)
  end
  return type_
end

local function read_block(lines)
  local block = { params = {}, fields = {} }
  for _, line in ipairs(lines) do
    local tag, rest = line:match("^%-%-%-@(%w+)%s*(.*)$")
    if tag == "param" or tag == "field" then
      local name, kind = rest:match("^(%S+)%s+(.*)$")
      local list = tag == "param" and block.params or block.fields
      list[#list + 1] = {
        name = name:gsub("%?$", ""), optional = name:sub(-1) == "?",
        text = cut_type(kind),
      }
    elseif tag == "overload" then
      block.has_overload = true
    elseif tag == "class" then
      block.class, block.base = rest:match("^([%w]+):?%s*(%w*)")
    end
  end
  return block
end

local function read_function(self, line, block)
  local owner, colon, name = line:match("^function ([%w]+)([.:])([%w_]+)%(")
  if not owner then
    owner, colon, name = "", "", line:match("^function ([%w_]+)%(")
  end
  local class = self.classes[owner]
  class.functions[#class.functions + 1] = {
    owner = owner, colon = colon, name = name, params = block.params,
    has_overload = block.has_overload,
  }
end

-- Reads it all: classes[name] = {fields=, functions=, is_record=}.
function M.read(path)
  local self = setmetatable({
    classes = { [""] = { functions = {}, fields = {} } },
  }, { __index = M })
  local pending, blocks = {}, {}
  for line in io.lines(path) do
    if line:sub(1, 3) == "---" then
      pending[#pending + 1] = line
    else
      local block = read_block(pending)
      pending = {}
      if block.class then
        self.classes[block.class] = {
          functions = {}, raw_fields = block.fields, fields = {},
          is_record = not line:find("^%S"),
        }
      end
      if line:find("^function ") then
        blocks[#blocks + 1] = { line, block }
      end
    end
  end
  -- Types may name classes that come later.
  for _, class in pairs(self.classes) do
    for _, field in ipairs(class.raw_fields or {}) do
      class.fields[field.name] = self:type(field.text)
    end
  end
  for _, item in ipairs(blocks) do
    for _, param in ipairs(item[2].params) do
      param.type = self:type(param.text)
    end
    read_function(self, item[1], item[2])
  end
  return self
end

return M
