-- Hands out what is due, and hides it for a while, so that one process does it and another does if that one dies.
--
-- KEYS  1 a zset of members by time in ms (timers or outbox)
-- ARGV  1 at most this many   2 hidden for this many ms   3 due only this many ms after their time
-- Returns the members.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGE', KEYS[1], '-inf', now - tonumber(ARGV[3]), 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, member in ipairs(due) do
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), member)
end
return due
