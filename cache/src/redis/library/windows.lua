#!lua name=tidegate_cache_1
--
-- What writes and reads the cache, whole or not at all: nothing else runs on the server meanwhile.
--
-- KEYS  1 state (seq, ready, as of, floors, generation and writer)   2 positions   3 when windows expire   4 kinds
-- ARGV  1 prefix of every key and channel   2 the request, in JSON   3 the writer's generation   4 the writer
--
-- Beside the hash of each window lies another one, `tidegate:<final|live>:<kind>:<start>`: the end of the
-- window, and under `:<label>` the epoch that the label's values are of. All windows of a kind lie in
-- `tidegate:shown:<final|live>:<kind>` once more, each as one text: an answer that reads hash by hash takes ten times
-- as long. A request works on tables of Lua; what became of them is written and published at its end, the position last.
--
-- Numbers that do not fit a double (offsets, epochs, values) stay decimal text.
--
-- The parts: what there is (here), what rows do to it (rows), how it is written and told (writing), and the functions
-- that are called, with positions and who may write (requests).

local PAIRS_MAX = 500 -- arguments of one command; Lua's stack has room for 8,000
local STARTS_AT_ONCE = 100 -- windows that are looked through

local function is_greater(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end

local function larger(a, b)
  return is_greater(a, b) and a or b
end

local function whole(number)
  return string.format('%.0f', number)
end

-- Calls `command key list…`, in pieces.
local function call_with(command, key, list)
  for from = 1, #list, PAIRS_MAX * 2 do
    redis.call(command, key, unpack(list, from, math.min(#list, from + PAIRS_MAX * 2 - 1)))
  end
end

local function pairs_of(flat)
  local found = {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local function sorted(set)
  local list = {}
  for name in pairs(set) do list[#list + 1] = name end
  table.sort(list)
  return list
end

-- What there is -------------------------------------------------------------------------------------------

local function open(keys, args)
  return {
    state = keys[1], positions = keys[2], expiry = keys[3], names = keys[4],
    prefix = args[1], request = cjson.decode(args[2]), kinds = {},
  }
end

-- The windows of a kind with final values, or those with provisional ones. There may be thousands: which there are
-- is asked for when it matters, and kept in `known`, with what became of them since.
local function area(cx, kind, live)
  local index = cx.prefix .. (live and 'live:' or 'metrics:') .. kind .. ':windows'
  local shown = cx.prefix .. 'tidegate:shown:' .. (live and 'live:' or 'final:') .. kind
  return { live = live, index = index, shown = shown, known = {}, grown = 0, passed = 0, slots = {} }
end

local function is_there(place, start)
  if place.known[start] == nil then
    place.known[start] = redis.call('ZSCORE', place.index, start) and true or false
  end
  return place.known[start]
end

local function set_there(place, start, there)
  if is_there(place, start) == there then return end
  place.known[start] = there
  place.grown = place.grown + (there and 1 or -1)
end

local function count_of(place)
  place.before = place.before or redis.call('ZCARD', place.index)
  return place.before + place.grown
end

local function starts_of(place)
  for _, start in ipairs(redis.call('ZRANGE', place.index, 0, -1)) do
    if place.known[start] == nil then place.known[start] = true end
  end
  local found = {}
  for start, there in pairs(place.known) do
    if there then found[#found + 1] = start end
  end
  return found
end

-- The first of those that nothing was asked about yet.
local function first_unknown(place)
  while true do
    local starts = redis.call('ZRANGE', place.index, place.passed, place.passed + STARTS_AT_ONCE - 1)
    for _, start in ipairs(starts) do
      if place.known[start] == nil then return start end
      place.passed = place.passed + 1
    end
    if #starts < STARTS_AT_ONCE then return nil end
  end
end

local function oldest(place)
  local found = first_unknown(place)
  for start, there in pairs(place.known) do
    if there and (not found or tonumber(start) < tonumber(found)) then found = start end
  end
  return found
end

local function kind_of(cx, name)
  local kind = cx.kinds[name]
  if kind then return kind end
  local given = cx.request.kinds and cx.request.kinds[name]
  local suffixes = given or cjson.decode(redis.call('HGET', cx.names, name) or '[]')
  kind = { name = name, suffixes = suffixes, final = area(cx, name, false), live = area(cx, name, true) }
  local floor = redis.call('HGET', cx.state, 'floor:' .. name)
  kind.floor = floor and tonumber(floor) or -math.huge
  kind.given = given
  cx.kinds[name] = kind
  return kind
end

local function raise(kind, floor)
  if floor > kind.floor then
    kind.floor = floor
    kind.floor_moved = true
  end
end

local function note(slot, epoch)
  slot.epoch = slot.epoch and larger(slot.epoch, epoch) or epoch
end

local function newest_version(slot)
  local newest = '0'
  for _, epoch in pairs(slot.versions) do newest = larger(newest, epoch) end
  return newest
end

local function empty(kind, place, slot)
  slot.values, slot.versions, slot.labels = {}, {}, 0
  set_there(place, slot.start, false)
end

-- A window, with what it was before this request.
local function slot_of(cx, kind, place, start)
  local slot = place.slots[start]
  if slot then return slot end
  local word = place.live and 'live:' or 'final:'
  slot = {
    start = start, values = {}, versions = {}, labels = 0, before = {}, labels_before = {},
    key = cx.prefix .. (place.live and 'live:' or 'metrics:') .. kind.name .. ':' .. start,
    side = cx.prefix .. 'tidegate:' .. word .. kind.name .. ':' .. start,
    member = word .. kind.name .. ':' .. start,
  }
  place.slots[start] = slot
  if not is_there(place, start) then return slot end
  slot.before = pairs_of(redis.call('HGETALL', slot.key))
  for name, value in pairs(slot.before) do slot.values[name] = value end
  for name, value in pairs(pairs_of(redis.call('HGETALL', slot.side))) do
    if name == 'end' then
      slot.stop = value
    else
      local label = string.sub(name, 2)
      slot.versions[label], slot.labels_before[label] = value, value
      slot.labels = slot.labels + 1
    end
  end
  if not slot.stop or next(slot.before) == nil then
    -- The server let go of it, in whole or in part: what is left must not pass for the window.
    for label in pairs(slot.versions) do
      for _, suffix in ipairs(kind.suffixes) do slot.before[label .. '.' .. suffix] = '?' end
    end
    note(slot, newest_version(slot))
    slot.stop = slot.stop or start
    empty(kind, place, slot)
    if not place.live then raise(kind, tonumber(start)) end
  end
  return slot
end

