-- Creates a task in an open project, with its index entries: all of it, or nothing.
--
-- KEYS  1 project hash   2 task hash   3 tasks   4 the owner's tasks   5 the project's tasks
--       6 request key (only with a request id)
-- ARGV  1 id   2 fingerprint of the request   3 seconds the request id counts   4 data (JSON)   5 plan (JSON)
-- Returns {status, value}:
--   "OK", server time in ms      "REPEATED", the id that the request id made    "REUSED", that id, of another request
--   "NO_PROJECT"                 "ARCHIVED"
if KEYS[6] then
  local seen = redis.call('HMGET', KEYS[6], 'id', 'fingerprint')
  if seen[1] then
    return {seen[2] == ARGV[2] and 'REPEATED' or 'REUSED', seen[1]}
  end
end
local archived = redis.call('HGET', KEYS[1], 'archived')
if not archived then
  return {'NO_PROJECT', ''}
elseif archived == '1' then
  return {'ARCHIVED', ''}
end
if KEYS[6] then
  redis.call('HSET', KEYS[6], 'id', ARGV[1], 'fingerprint', ARGV[2])
  redis.call('EXPIRE', KEYS[6], ARGV[3])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[2], 'data', ARGV[4], 'plan', ARGV[5], 'status', 'planning', 'last_run', '', 'active_run', '',
  'created_ms', now, 'updated_ms', now)
for i = 3, 5 do
  redis.call('ZADD', KEYS[i], now, ARGV[1])
end
return {'OK', now}
