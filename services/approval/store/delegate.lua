-- Store a delegation, once for a request_id.
--
-- KEYS 1 request, 2 delegation, 3 journal, 4.. indexes that get the id
-- ARGV 1 id, 2 body, 3 until when, ms, 4 entry of the journal, 5 prefix of delegation keys
-- Returns the body of what the request_id made before, if it still holds; else false: this one was stored.
local made = redis.call('GET', KEYS[1])
if made then
  local body = redis.call('GET', ARGV[5] .. made)
  if body then
    return body
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'PXAT', ARGV[3])
for i = 4, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  redis.call('ZADD', KEYS[i], ARGV[3], ARGV[1])
  local last = redis.call('ZRANGE', KEYS[i], -1, -1, 'WITHSCORES')
  redis.call('PEXPIREAT', KEYS[i], last[2])
end
redis.call('XADD', KEYS[3], '*', 'e', ARGV[4], 'p', '0')
return false
