-- Store a new approval, once for a request_id.
--
-- KEYS 1 request, 2 approval, 3 due, 4 closed, 5.. indexes that get the member
-- ARGV 1 approval id, 2 member, 3 milliseconds to decide (0: nobody is asked), 4 milliseconds to use (0: not approved),
--      5 "1" if it is decided already, 6 "1" if it is closed already, 7 prefix of approval keys of this shard,
--      8.. field, value, ... of the approval
-- Returns {1, now_ms} if it was created; {0, now_ms, field, value, ...} of the approval that the request_id made before.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local made = redis.call('GET', KEYS[1])
if made then
  local answer = {0, now}
  for _, part in ipairs(redis.call('HGETALL', ARGV[7] .. made)) do
    answer[#answer + 1] = part
  end
  return answer
end
local decide_within, use_within = tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'created_ms', now, unpack(ARGV, 8))
if ARGV[5] == '1' then
  redis.call('HSET', KEYS[2], 'decided_ms', now)
end
if decide_within > 0 then
  redis.call('HSET', KEYS[2], 'decide_by_ms', now + decide_within)
  redis.call('ZADD', KEYS[3], now + decide_within, ARGV[2])
end
if use_within > 0 then
  redis.call('HSET', KEYS[2], 'use_by_ms', now + use_within)
  redis.call('ZADD', KEYS[3], now + use_within, ARGV[2])
end
if ARGV[6] == '1' then
  redis.call('ZADD', KEYS[4], now, ARGV[2])
end
for i = 5, #KEYS do
  redis.call('ZADD', KEYS[i], 0, ARGV[2])
end
return {1, now}
