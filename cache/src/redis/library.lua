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

-- What rows do --------------------------------------------------------------------------------------------

local function forget(cx, kind, place, start)
  local slot = slot_of(cx, kind, place, start)
  note(slot, newest_version(slot))
  empty(kind, place, slot)
end

local function oldest(place)
  local found
  for start in pairs(place.starts) do
    if not found or tonumber(start) < tonumber(found) then found = start end
  end
  return found
end

-- Takes the fields of a label away, and the window with the last one.
local function take(cx, kind, place, start, label, epoch)
  if not place.starts[start] then return end
  local slot = slot_of(cx, kind, place, start)
  if not slot.versions[label] then return end
  note(slot, epoch)
  slot.versions[label] = nil
  slot.labels = slot.labels - 1
  for _, suffix in ipairs(kind.suffixes) do slot.values[label .. '.' .. suffix] = nil end
  if slot.labels == 0 then empty(kind, place, slot) end
end

-- Sets the fields of a label; false when the window has no room for it.
local function put(cx, kind, place, row, ttl)
  local slot = slot_of(cx, kind, place, row.start)
  if not slot.versions[row.label] then
    if slot.labels >= cx.request.labels_max then return false end
    slot.labels = slot.labels + 1
  end
  note(slot, row.epoch)
  slot.versions[row.label] = row.epoch
  slot.stop, slot.ttl = row.stop, ttl
  for i, suffix in ipairs(kind.suffixes) do slot.values[row.label .. '.' .. suffix] = row.values[i] end
  if not place.starts[row.start] then
    place.starts[row.start] = true
    place.count = place.count + 1
  end
  return true
end

local function is_gone(kind, start)
  return tonumber(start) <= kind.floor and not kind.final.starts[start]
end

local function trim(cx, kind)
  while kind.final.count > cx.request.windows_kept do
    local start = oldest(kind.final)
    forget(cx, kind, kind.final, start)
    raise(kind, tonumber(start))
  end
end

-- A final row.
local function settle(cx, kind, row)
  -- The window is closed, whatever becomes of the row.
  take(cx, kind, kind.live, row.start, row.label, row.epoch)
  local version = slot_of(cx, kind, kind.final, row.start).versions[row.label]
  if version and is_greater(version, row.epoch) then return 'stale' end
  if not row.values then
    take(cx, kind, kind.final, row.start, row.label, row.epoch)
    return 'removed'
  end
  if is_gone(kind, row.start) then return 'old' end
  if not put(cx, kind, kind.final, row, cx.request.ttl) then return 'refused' end
  trim(cx, kind)
  return 'put'
end

-- A provisional row.
local function show(cx, kind, row)
  if not row.has_live then return 'refused' end
  if tonumber(row.stop) <= cx.frontier or is_gone(kind, row.start) then return 'old' end
  if slot_of(cx, kind, kind.final, row.start).versions[row.label] then return 'stale' end
  local version = slot_of(cx, kind, kind.live, row.start).versions[row.label]
  if version and is_greater(version, row.epoch) then return 'stale' end
  if not row.values then
    take(cx, kind, kind.live, row.start, row.label, row.epoch)
    return 'removed'
  end
  -- Two windows' time.
  local ttl = 2 * (tonumber(row.stop) - tonumber(row.start))
  if not put(cx, kind, kind.live, row, ttl) then return 'refused' end
  while kind.live.count > cx.request.live_windows_max do forget(cx, kind, kind.live, oldest(kind.live)) end
  return 'put'
end

-- What is written and told --------------------------------------------------------------------------------

local function next_seq(cx)
  if redis.call('HEXISTS', cx.state, 'seq') == 0 then
    -- A cache that was lost does not count from where some reader may have seen it.
    local time = redis.call('TIME')
    redis.call('HSET', cx.state, 'seq', time[1] .. string.format('%06d', tonumber(time[2])))
  end
  redis.call('HINCRBY', cx.state, 'seq', 1)
  return redis.call('HGET', cx.state, 'seq')
end

local function publish(cx, kind, place, slot, fields, removed)
  local parts = {}
  for i, name in ipairs(fields) do parts[i] = cjson.encode(name) .. ':' .. slot.values[name] end
  local gone = {}
  for i, name in ipairs(removed) do gone[i] = cjson.encode(name) end
  redis.call('PUBLISH', cx.prefix .. 'cache:updates', '{"seq":' .. next_seq(cx)
    .. ',"kind":' .. cjson.encode(kind.name)
    .. ',"window_start":' .. slot.start .. ',"window_end":' .. slot.stop
    .. ',"provisional":' .. tostring(place.live)
    .. ',"fields":{' .. table.concat(parts, ',') .. '}'
    .. ',"removed":[' .. table.concat(gone, ',') .. ']'
    .. ',"epoch":' .. slot.epoch .. '}')
end

local function write(cx, place, slot, fields, removed)
  if not place.starts[slot.start] then
    redis.call('DEL', slot.key, slot.side)
    redis.call('ZREM', place.index, slot.start)
    redis.call('ZREM', cx.expiry, slot.member)
    return
  end
  local set = {}
  for _, name in ipairs(fields) do
    set[#set + 1] = name
    set[#set + 1] = slot.values[name]
  end
  call_with('HSET', slot.key, set)
  call_with('HDEL', slot.key, removed)
  local versions, taken = { 'end', slot.stop }, {}
  for label, epoch in pairs(slot.versions) do
    if slot.labels_before[label] ~= epoch then
      versions[#versions + 1] = ':' .. label
      versions[#versions + 1] = epoch
    end
  end
  for label in pairs(slot.labels_before) do
    if not slot.versions[label] then taken[#taken + 1] = ':' .. label end
  end
  call_with('HSET', slot.side, versions)
  call_with('HDEL', slot.side, taken)
  redis.call('ZADD', place.index, slot.start, slot.start)
  if slot.ttl then
    redis.call('PEXPIRE', slot.key, whole(math.max(slot.ttl, 1)))
    redis.call('ZADD', cx.expiry, whole(cx.request.now + slot.ttl), slot.member)
  end
end

local function save(cx, kind, place)
  local starts = {}
  for start, slot in pairs(place.slots) do
    if slot.epoch then starts[#starts + 1] = start end
  end
  table.sort(starts, function(a, b) return tonumber(a) < tonumber(b) end)
  for _, start in ipairs(starts) do
    local slot = place.slots[start]
    local new, old = {}, {}
    for name, value in pairs(slot.values) do
      if slot.before[name] ~= value then new[name] = true end
    end
    for name in pairs(slot.before) do
      if not slot.values[name] then old[name] = true end
    end
    local fields, removed = sorted(new), sorted(old)
    write(cx, place, slot, fields, removed)
    if #fields + #removed > 0 then publish(cx, kind, place, slot, fields, removed) end
  end
end

local function finish(cx)
  for _, name in ipairs(sorted(cx.kinds)) do
    local kind = cx.kinds[name]
    if kind.given then redis.call('HSET', cx.names, name, cjson.encode(kind.suffixes)) end
    -- Final values come before the provisional ones that they take the place of.
    save(cx, kind, kind.final)
    save(cx, kind, kind.live)
    if kind.floor == -math.huge then
      redis.call('HDEL', cx.state, 'floor:' .. name)
    elseif kind.floor_moved then
      redis.call('HSET', cx.state, 'floor:' .. name, whole(kind.floor))
    end
  end
end

-- Positions -----------------------------------------------------------------------------------------------

local function position_of(cx, source)
  local text = redis.call('HGET', cx.positions, source) or '0'
  local after, last = string.match(text, '^(%d+)(.*)$')
  return { after = after, last = last }
end

-- `last` is the offset and the epoch of the last row, each after a space, or empty.
local function move(cx, source, after, last)
  redis.call('HSET', cx.positions, source, after .. last)
end

-- Who writes ----------------------------------------------------------------------------------------------

-- A generation later than every one before, and later than the clock, so that a cache that was lost or restored
-- gives none twice. From now on it is this writer's.
local function claim(keys, args)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local held = tonumber(redis.call('HGET', keys[1], 'generation') or '0')
  local generation = whole(math.max(held + 1, now))
  redis.call('HSET', keys[1], 'generation', generation, 'writer', args[2])
  return generation
end

-- The generation of whoever took over from this writer; nothing where it may go on. A cache that was lost or
-- restored may not know the latest one: who comes with a later one than it knows takes over again.
local function fenced_by(cx, generation, writer)
  local held = redis.call('HMGET', cx.state, 'generation', 'writer')
  if held[1] == generation and held[2] == writer then return nil end
  if held[1] and not is_greater(generation, held[1]) then return held[1] end
  redis.call('HSET', cx.state, 'generation', generation, 'writer', writer)
  return nil
end

-- Requests ------------------------------------------------------------------------------------------------

local function apply(cx)
  local request = cx.request
  local position = position_of(cx, request.source)
  if is_greater(request.from, position.after) then return { 'gap', position.after } end
  local counts = { put = 0, removed = 0, repeated = 0, stale = 0, old = 0, refused = 0 }
  local frontier = redis.call('HGET', cx.state, 'frontier')
  cx.frontier = frontier and tonumber(frontier) or -math.huge
  local is_new = is_greater(request.to, position.after)
  for _, row in ipairs(request.rows) do
    if is_greater(position.after, row.offset) then
      counts.repeated = counts.repeated + 1
    elseif is_new then
      local outcome = (row.provisional and show or settle)(cx, kind_of(cx, row.kind), row)
      counts[outcome] = counts[outcome] + 1
    end
  end
  if is_new then
    finish(cx)
    move(cx, request.source, request.to, request.last ~= '' and request.last or position.last)
  end
  return { 'done', counts.put, counts.removed, counts.repeated, counts.stale, counts.old, counts.refused }
end

local function clear(cx, kind)
  local starts = {}
  for start in pairs(kind.final.starts) do starts[#starts + 1] = start end
  for _, start in ipairs(starts) do forget(cx, kind, kind.final, start) end
end

local function skip(cx)
  local request = cx.request
  local position = position_of(cx, request.source)
  if is_greater(request.from, position.after) then return { 'gap', position.after } end
  if not is_greater(request.to, position.after) then return { 'done' } end
  for name in pairs(request.kinds) do
    local kind = kind_of(cx, name)
    for start in pairs(kind.final.starts) do raise(kind, tonumber(start)) end
    clear(cx, kind)
  end
  finish(cx)
  move(cx, request.source, request.to, '')
  return { 'done' }
end

local function seed(cx)
  for _, seeded in ipairs(cx.request.seeds) do
    local kind = kind_of(cx, seeded.kind)
    clear(cx, kind)
    kind.floor, kind.floor_moved = seeded.floor and tonumber(seeded.floor) or -math.huge, true
    for _, row in ipairs(seeded.rows) do
      take(cx, kind, kind.live, row.start, row.label, row.epoch)
      put(cx, kind, kind.final, row, cx.request.ttl)
      trim(cx, kind)
    end
  end
  finish(cx)
  for _, seeded in ipairs(cx.request.seeds) do
    for _, source in ipairs(redis.call('HKEYS', cx.positions)) do
      if string.match(source, '^(.*):%d+$') == seeded.topic then redis.call('HDEL', cx.positions, source) end
    end
    for source, position in pairs(seeded.positions) do move(cx, source, position, '') end
  end
  return { 'done' }
end

local function set_as_of(cx)
  local request, held = cx.request, pairs_of(redis.call('HGETALL', cx.positions))
  local sources = {}
  for source in pairs(request.at) do sources[source] = true end
  for source in pairs(held) do sources[source] = true end
  for _, source in ipairs(sorted(sources)) do
    local actual = string.match(held[source] or '0', '^%d+')
    local expected = request.at[source] or '0'
    if actual ~= expected then return { 'moved', source, expected, actual } end
  end
  redis.call('HSET', cx.state, 'ready', '1')
  if not request.epoch then
    redis.call('HDEL', cx.state, 'epoch', 'frontier')
    return { 'done' }
  end
  local was = redis.call('HMGET', cx.state, 'epoch', 'frontier')
  if was[1] == request.epoch and was[2] == request.frontier then return { 'done' } end
  for _, name in ipairs(redis.call('HKEYS', cx.names)) do
    local kind, closed = kind_of(cx, name), {}
    for start in pairs(kind.live.starts) do closed[#closed + 1] = start end
    for _, start in ipairs(closed) do
      local stop = slot_of(cx, kind, kind.live, start).stop
      if tonumber(stop) <= tonumber(request.frontier) then forget(cx, kind, kind.live, start) end
    end
  end
  finish(cx)
  redis.call('HSET', cx.state, 'epoch', request.epoch, 'frontier', request.frontier)
  redis.call('PUBLISH', cx.prefix .. 'cache:as_of', '{"seq":' .. next_seq(cx)
    .. ',"epoch":' .. request.epoch .. ',"frontier":' .. request.frontier .. '}')
  return { 'done' }
end

local function expire(cx)
  local due = redis.call('ZRANGEBYSCORE', cx.expiry, '-inf', whole(cx.request.now))
  for _, member in ipairs(due) do
    local word, name, start = string.match(member, '^(%a+):(.*):(-?%d+)$')
    local kind = kind_of(cx, name)
    local place = word == 'live' and kind.live or kind.final
    if place.starts[start] then
      forget(cx, kind, place, start)
      if not place.live then raise(kind, tonumber(start)) end
    else
      redis.call('ZREM', cx.expiry, member)
    end
  end
  finish(cx)
  return { 'done' }
end

local function sizes(keys, args)
  local found = {}
  for _, name in ipairs(redis.call('HKEYS', keys[4])) do
    found[#found + 1] = name
    found[#found + 1] = redis.call('ZCARD', args[1] .. 'metrics:' .. name .. ':windows')
    found[#found + 1] = redis.call('ZCARD', args[1] .. 'live:' .. name .. ':windows')
  end
  return found
end

-- Everything that is asked for, as of the same instant. What is not there is an empty text.
local function read(keys, args)
  local state = redis.call('HMGET', keys[1], 'seq', 'ready', 'epoch', 'frontier')
  local answers = {}
  for i, ask in ipairs(cjson.decode(args[2])) do
    local word = ask.live and 'live:' or 'metrics:'
    local side = args[1] .. 'tidegate:' .. (ask.live and 'live:' or 'final:') .. ask.kind .. ':'
    local windows = {}
    for _, start in ipairs(redis.call('ZREVRANGE', args[1] .. word .. ask.kind .. ':windows', 0, -1)) do
      if #windows >= ask.limit then break end
      local values = redis.call('HGETALL', args[1] .. word .. ask.kind .. ':' .. start)
      local stop = redis.call('HGET', side .. start, 'end')
      -- The server may have let go of either.
      if stop and #values > 0 then windows[#windows + 1] = { start, stop, values } end
    end
    answers[i] = windows
  end
  return { state[1] or '', state[2] or '', state[3] or '', state[4] or '', answers }
end

-- Whoever follows must not be left believing that nothing changed when a command in the middle failed: the
-- number that is left out tells them. The position did not move, so that the request comes again.
local function whole_or_told(request)
  return function(keys, args)
    local cx = open(keys, args)
    local by = fenced_by(cx, args[3], args[4])
    if by then return { 'fenced', by } end
    local done, result = pcall(request, cx)
    if done then return result end
    pcall(next_seq, cx)
    if type(result) == 'table' then return result end
    return redis.error_reply('ERR ' .. tostring(result))
  end
end

redis.register_function('tidegate_cache_1_claim', claim)
redis.register_function('tidegate_cache_1_apply', whole_or_told(apply))
redis.register_function('tidegate_cache_1_skip', whole_or_told(skip))
redis.register_function('tidegate_cache_1_seed', whole_or_told(seed))
redis.register_function('tidegate_cache_1_set_as_of', whole_or_told(set_as_of))
redis.register_function('tidegate_cache_1_expire', whole_or_told(expire))
redis.register_function { function_name = 'tidegate_cache_1_sizes', callback = sizes, flags = { 'no-writes' } }
redis.register_function { function_name = 'tidegate_cache_1_read', callback = read, flags = { 'no-writes' } }
