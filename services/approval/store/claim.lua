-- Take deliveries of a webhook whose time has come, for as long as a lease: nobody else gets them until it is over.
--
-- KEYS 1 deliveries of the webhook, 2 deliveries that still gather
-- ARGV 1 prefix of the shard's keys, 2 how many, 3 lease (ms), 4 name of the lease
-- Returns the fields of each delivery.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  local key = ARGV[1] .. 'delivery:' .. id
  if redis.call('EXISTS', key) == 0 then
    redis.call('ZREM', KEYS[1], id)
  else
    local gather = redis.call('HGET', key, 'gather')
    if gather then
      redis.call('HDEL', KEYS[2], gather)
      redis.call('HDEL', key, 'gather')
    end
    redis.call('HINCRBY', key, 'attempts', 1)
    redis.call('HSET', key, 'lease', ARGV[4])
    redis.call('ZADD', KEYS[1], now + ARGV[3], id)
    taken[#taken + 1] = redis.call('HGETALL', key)
  end
end
return taken
