-- What rows do --------------------------------------------------------------------------------------------

local function forget(cx, kind, place, start)
  local slot = slot_of(cx, kind, place, start)
  note(slot, newest_version(slot))
  empty(kind, place, slot)
end

-- Takes the fields of a label away, and the window with the last one.
local function take(cx, kind, place, start, label, epoch)
  if not is_there(place, start) then return end
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
  set_there(place, row.start, true)
  return true
end

local function is_gone(kind, start)
  return tonumber(start) <= kind.floor and not is_there(kind.final, start)
end

local function trim(cx, kind)
  while count_of(kind.final) > cx.request.windows_kept do
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
  while count_of(kind.live) > cx.request.live_windows_max do forget(cx, kind, kind.live, oldest(kind.live)) end
  return 'put'
end

