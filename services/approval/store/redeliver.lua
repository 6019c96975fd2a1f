-- Let a dead letter be delivered again, from the first attempt on.
--
-- KEYS 1 deliveries of the webhook, 2 delivery, 3 dead letters of the webhook, 4 dead letters by time
-- ARGV 1 delivery id, 2 webhook id
-- Returns 1; 0 if it is no dead letter.
if redis.call('ZREM', KEYS[3], ARGV[1]) == 0 then
  return 0
end
redis.call('ZREM', KEYS[4], ARGV[2] .. ' ' .. ARGV[1])
redis.call('HDEL', KEYS[2], 'dead_ms', 'attempts')
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
return 1
