-- Creates a project and its index entries: all of it, or nothing.
--
-- KEYS  1 project hash   2 open projects   3 the owner's open projects   4 request key (only with a request id)
-- ARGV  1 id   2 fingerprint of the request   3 seconds the request id counts   4.. fields of the project (name, value)
-- Returns {status, value}:
--   "OK", all fields     "REPEATED", the id that the request id made     "REUSED", that id, of another request
if KEYS[4] then
  local seen = redis.call('HMGET', KEYS[4], 'id', 'fingerprint')
  if seen[1] then
    return {seen[2] == ARGV[2] and 'REPEATED' or 'REUSED', seen[1]}
  end
  redis.call('HSET', KEYS[4], 'id', ARGV[1], 'fingerprint', ARGV[2])
  redis.call('EXPIRE', KEYS[4], ARGV[3])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 4, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[1], 'archived', '', 'etag', '1', 'created_ms', now, 'updated_ms', now)
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZADD', KEYS[3], now, ARGV[1])
return {'OK', redis.call('HGETALL', KEYS[1])}
