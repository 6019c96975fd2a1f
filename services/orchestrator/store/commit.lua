-- Commits a run's transition, or creates a run: all of it, or nothing.
--
-- KEYS  1 run hash   2 events stream   3 timers   4 outbox   5 ended   6 task hash
--       7.. the queues named by index below, then (creation only) the request key (or none) and the run indexes
-- ARGV  1 expected version (0 creates)   2 run id   3 event channel   4 wake channel
--       5 task status ("" leaves it)     6 "1" when the run ends     7 first event's sequence
--       then counted groups, each "n" followed by n entries:
--         fields of the run (name, value)         events (JSON)
--         queue adds (queue index, member, score) queue removes (queue index, member)
--         timers set (member, ms)                 timers cleared (member)
--         outbox adds (member)                    outbox removes (member)
--       and, when creating: number of queues, request fingerprint ("" for none), request TTL in s
-- Returns {status, version or run id, server time in ms}; status is
--   "OK", "CONFLICT" (another version is stored), "GONE" (no such run),
--   "BUSY" (the task has a run that has not ended; its id), "REPEATED" (the request id made this run),
--   "REUSED" (the request id was used for something else), "NO_TASK".
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expected = tonumber(ARGV[1])
local run_id = ARGV[2]

local at = 8
local function group(width)
  local count = tonumber(ARGV[at])
  local first = at + 1
  at = first + count * width
  return first, count
end
local fields, n_fields = group(2)
local events, n_events = group(1)
local adds, n_adds = group(3)
local removes, n_removes = group(2)
local sets, n_sets = group(2)
local clears, n_clears = group(1)
local outs, n_outs = group(1)
local ins, n_ins = group(1)

local stored = redis.call('HGET', KEYS[1], 'v')
if expected == 0 then
  local n_queues, fingerprint, ttl = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
  local index = 7 + n_queues
  if fingerprint ~= '' then
    local seen = redis.call('HMGET', KEYS[index], 'id', 'fingerprint')
    if seen[1] then
      return {seen[2] == fingerprint and 'REPEATED' or 'REUSED', seen[1], now}
    end
  end
  local task = redis.call('HMGET', KEYS[6], 'data', 'active_run')
  if not task[1] then
    return {'NO_TASK', '', now}
  end
  if task[2] and task[2] ~= '' then
    return {'BUSY', task[2], now}
  end
  if stored then
    return {'CONFLICT', stored, now}
  end
  if fingerprint ~= '' then
    redis.call('HSET', KEYS[index], 'id', run_id, 'fingerprint', fingerprint)
    redis.call('EXPIRE', KEYS[index], ttl)
    index = index + 1
  end
  for i = index, #KEYS do
    redis.call('ZADD', KEYS[i], now, run_id)
  end
  redis.call('HSET', KEYS[6], 'active_run', run_id, 'last_run', run_id, 'updated_ms', now)
elseif not stored then
  return {'GONE', '', now}
elseif tonumber(stored) ~= expected then
  return {'CONFLICT', stored, now}
end

for i = fields, fields + n_fields * 2 - 2, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[1], 'v', expected + 1)
local sequence = tonumber(ARGV[7])
for i = 0, n_events - 1 do
  redis.call('XADD', KEYS[2], string.format('%d-0', sequence + i), 'e', ARGV[events + i])
end
for i = adds, adds + n_adds * 3 - 3, 3 do
  redis.call('ZADD', KEYS[6 + tonumber(ARGV[i])], ARGV[i + 2], ARGV[i + 1])
end
for i = removes, removes + n_removes * 2 - 2, 2 do
  redis.call('ZREM', KEYS[6 + tonumber(ARGV[i])], ARGV[i + 1])
end
for i = sets, sets + n_sets * 2 - 2, 2 do
  redis.call('ZADD', KEYS[3], ARGV[i + 1], ARGV[i])
end
for i = clears, clears + n_clears - 1 do
  redis.call('ZREM', KEYS[3], ARGV[i])
end
for i = outs, outs + n_outs - 1 do
  redis.call('ZADD', KEYS[4], now, ARGV[i])
end
for i = ins, ins + n_ins - 1 do
  redis.call('ZREM', KEYS[4], ARGV[i])
end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[6], 'status', ARGV[5], 'updated_ms', now)
end
if ARGV[6] == '1' then
  redis.call('HSET', KEYS[6], 'active_run', '')
  redis.call('ZADD', KEYS[5], now, run_id)
end
if n_events > 0 then
  redis.call('PUBLISH', ARGV[3], sequence + n_events - 1)
end
if n_adds > 0 then
  redis.call('PUBLISH', ARGV[4], n_adds)
end
return {'OK', expected + 1, now}
