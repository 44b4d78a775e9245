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
  for _, start in ipairs(starts_of(kind.final)) do forget(cx, kind, kind.final, start) end
end

local function skip(cx)
  local request = cx.request
  local position = position_of(cx, request.source)
  if is_greater(request.from, position.after) then return { 'gap', position.after } end
  if not is_greater(request.to, position.after) then return { 'done' } end
  for name in pairs(request.kinds) do
    local kind = kind_of(cx, name)
    for _, start in ipairs(starts_of(kind.final)) do raise(kind, tonumber(start)) end
    clear(cx, kind)
  end
  finish(cx)
  move(cx, request.source, request.to, '')
  return { 'done' }
end

-- Another log, whose rows are all newer: windows stay.
local function adopt(cx)
  move(cx, cx.request.source, cx.request.start, '')
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
    local kind = kind_of(cx, name)
    for _, start in ipairs(starts_of(kind.live)) do
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
    if is_there(place, start) then
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

-- The newest windows of `kind`, up to `limit`: the start of each, and its text.
local function newest(prefix, kind, live, limit)
  local hash = prefix .. (live and 'live:' or 'metrics:') .. kind .. ':'
  local word = live and 'live:' or 'final:'
  local side, shown = prefix .. 'tidegate:' .. word .. kind .. ':', prefix .. 'tidegate:shown:' .. word .. kind
  local windows, passed = {}, 0
  while #windows < limit * 2 do
    local asked = math.min(limit - #windows / 2, STARTS_AT_ONCE)
    local starts, keys = redis.call('ZREVRANGE', hash .. 'windows', passed, passed + asked - 1), {}
    if #starts == 0 then break end
    for _, start in ipairs(starts) do
      keys[#keys + 1] = hash .. start
      keys[#keys + 1] = side .. start
    end
    -- The server may have let go of either.
    local all = redis.call('EXISTS', unpack(keys)) == #keys
    for i, text in ipairs(redis.call('HMGET', shown, unpack(starts))) do
      if text and (all or redis.call('EXISTS', keys[2 * i - 1], keys[2 * i]) == 2) then
        windows[#windows + 1] = starts[i]
        windows[#windows + 1] = text
      end
    end
    passed = passed + asked
  end
  return windows
end

-- Everything that is asked for, as of the same instant. What is not there is an empty text.
local function read(keys, args)
  local state = redis.call('HMGET', keys[1], 'seq', 'ready', 'epoch', 'frontier')
  local answers = {}
  for i, ask in ipairs(cjson.decode(args[2])) do answers[i] = newest(args[1], ask.kind, ask.live, ask.limit) end
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
redis.register_function('tidegate_cache_1_adopt', whole_or_told(adopt))
redis.register_function('tidegate_cache_1_seed', whole_or_told(seed))
redis.register_function('tidegate_cache_1_set_as_of', whole_or_told(set_as_of))
redis.register_function('tidegate_cache_1_expire', whole_or_told(expire))
redis.register_function { function_name = 'tidegate_cache_1_sizes', callback = sizes, flags = { 'no-writes' } }
redis.register_function { function_name = 'tidegate_cache_1_read', callback = read, flags = { 'no-writes' } }
