#!lua name=tidegate_cache_1
--
-- What writes and reads the cache, whole or not at all: nothing else runs on the server meanwhile.
--
-- KEYS  1 state (seq, ready, as of, floors, generation and writer)   2 positions   3 when windows expire   4 kinds
-- ARGV  1 prefix of every key and channel   2 the request, in JSON   3 the writer's generation   4 the writer
--
-- Beside the hash of each window lies another one, `tidegate:<final|live>:<kind>:<start>`: the end of the
-- window, and under `:<label>` the epoch that the label's values are of. A request works on tables of Lua;
-- what became of them is written and published at its end, the position last.
--
-- Numbers that do not fit a double (offsets, epochs, values) stay decimal text.
--
-- The parts: what there is (here), what rows do to it (rows), how it is written and told (writing), and the functions
-- that are called, with positions and who may write (requests).

local PAIRS_MAX = 500 -- arguments of one command; Lua's stack has room for 8,000

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

-- The windows of a kind with final values, or those with provisional ones.
local function area(cx, kind, live)
  local index = cx.prefix .. (live and 'live:' or 'metrics:') .. kind .. ':windows'
  local found = { live = live, index = index, starts = {}, count = 0, slots = {} }
  for _, start in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    found.starts[start] = true
    found.count = found.count + 1
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
  if place.starts[slot.start] then
    place.starts[slot.start] = nil
    place.count = place.count - 1
  end
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
  if not place.starts[start] then return slot end
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

