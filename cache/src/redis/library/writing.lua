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

-- The end, all fields and all values in one text, which answers take.
local function shown(slot)
  local list = { slot.stop }
  for _, name in ipairs(sorted(slot.values)) do
    list[#list + 1] = name
    list[#list + 1] = slot.values[name]
  end
  return cjson.encode(list)
end

local function write(cx, place, slot, fields, removed)
  if not is_there(place, slot.start) then
    redis.call('DEL', slot.key, slot.side)
    redis.call('HDEL', place.shown, slot.start)
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
  redis.call('HSET', place.shown, slot.start, shown(slot))
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

