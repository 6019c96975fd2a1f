-- Remove deliveries of a webhook and every trace of them.
--
-- KEYS 1 deliveries of the webhook, 2 dead letters of the webhook, 3 dead letters by time, 4 deliveries that still gather
-- ARGV 1 prefix of the shard's keys, 2 webhook id, 3.. delivery ids
-- Returns how many there were.
for i = 3, #ARGV do
  local key = ARGV[1] .. 'delivery:' .. ARGV[i]
  local gather = redis.call('HGET', key, 'gather')
  if gather then
    redis.call('HDEL', KEYS[4], gather)
  end
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[1], ARGV[i])
  redis.call('ZREM', KEYS[2], ARGV[i])
  redis.call('ZREM', KEYS[3], ARGV[2] .. ' ' .. ARGV[i])
end
return #ARGV - 2
