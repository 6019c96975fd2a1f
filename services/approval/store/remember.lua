-- Remember a decision, once: what was forgotten stays forgotten until its time is over.
--
-- KEYS 1 remembered, 2 index of the project or run, 3 journal
-- ARGV 1 body, 2 name, 3 until when, ms, 4 entry of the journal
-- Returns 1 if it is remembered now; 0 if something was remembered, or forgotten, before, or its time is over.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if tonumber(ARGV[3]) <= now or not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PXAT', ARGV[3]) then
  return 0
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[2], last[2])
redis.call('XADD', KEYS[3], '*', 'e', ARGV[4], 'p', '0')
return 1
