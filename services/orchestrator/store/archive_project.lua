-- Archives a project: it moves from the open to the archived indexes. Repeating it changes nothing.
--
-- KEYS  1 project hash   2 open projects   3 the owner's   4 archived projects   5 the owner's
-- ARGV  1 id
-- Returns {status, value}: "OK", all fields; "GONE"
local seen = redis.call('HMGET', KEYS[1], 'etag', 'archived', 'created_ms')
if not seen[1] then
  return {'GONE', ''}
end
if seen[2] ~= '1' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', KEYS[1], 'archived', '1', 'etag', tonumber(seen[1]) + 1, 'updated_ms', now)
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZADD', KEYS[4], seen[3], ARGV[1])
  redis.call('ZADD', KEYS[5], seen[3], ARGV[1])
end
return {'OK', redis.call('HGETALL', KEYS[1])}
