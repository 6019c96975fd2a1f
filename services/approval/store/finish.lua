-- Note what came of an attempt to deliver, if the lease it was made under still holds.
--
-- KEYS 1 deliveries of the webhook, 2 delivery, 3 dead letters of the webhook, 4 dead letters by time
-- ARGV 1 delivery id, 2 name of the lease, 3 "delivered", "again" or "dead", 4 when to try again, ms from now,
--      5 status of the answer, 6 what was wrong, 7 webhook id
-- Returns 1; 0 if the lease is over.
if redis.call('HGET', KEYS[2], 'lease') ~= ARGV[2] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] == 'delivered' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('DEL', KEYS[2])
  return 1
end
redis.call('HDEL', KEYS[2], 'lease')
redis.call('HSET', KEYS[2], 'last_status', ARGV[5], 'last_error', ARGV[6])
if ARGV[3] == 'again' then
  redis.call('ZADD', KEYS[1], now + ARGV[4], ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('HSET', KEYS[2], 'dead_ms', now)
  redis.call('ZADD', KEYS[3], 0, ARGV[1])
  redis.call('ZADD', KEYS[4], now, ARGV[7] .. ' ' .. ARGV[1])
end
return 1
