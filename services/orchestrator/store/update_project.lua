-- Changes fields of a project that is open and, when an etag is given, unchanged since.
--
-- KEYS  1 project hash
-- ARGV  1 etag ("" for any)   2.. fields (name, value)
-- Returns {status, value}: "OK", all fields; "GONE"; "ARCHIVED"; "CHANGED", the current etag
local seen = redis.call('HMGET', KEYS[1], 'etag', 'archived')
if not seen[1] then
  return {'GONE', ''}
elseif seen[2] == '1' then
  return {'ARCHIVED', ''}
elseif ARGV[1] ~= '' and ARGV[1] ~= seen[1] then
  return {'CHANGED', seen[1]}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[1], 'etag', tonumber(seen[1]) + 1, 'updated_ms', now)
return {'OK', redis.call('HGETALL', KEYS[1])}
