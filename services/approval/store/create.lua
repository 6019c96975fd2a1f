-- Store a new approval, once for a request_id.
--
-- KEYS 1 request, 2 approval, 3 due, 4 closed, 5 journal, 6 pending approvals of the run, 7.. indexes that get the member
-- ARGV 1 approval id, 2 member, 3 milliseconds to decide (0: nobody is asked), 4 milliseconds to use (0: not approved),
--      5 "1" if it is decided already, 6 "1" if it is closed already, 7 prefix of approval keys of this shard,
--      8 how many of the run may be pending (0: any number), 9 entry of the journal, 10 "1" if watchers are told,
--      11.. field, value, ... of the approval
-- Returns {1, now_ms} if it was created; {0, now_ms, field, value, ...} of the approval that the request_id made before;
-- {2, now_ms} if too many of the run are pending: nothing was stored.
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
local decide_within, use_within, cap = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[8])
if decide_within > 0 and cap > 0 and redis.call('ZCARD', KEYS[6]) >= cap then
  return {2, now}
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'created_ms', now, unpack(ARGV, 11))
if ARGV[5] == '1' then
  redis.call('HSET', KEYS[2], 'decided_ms', now)
end
if decide_within > 0 then
  local escalate_at = now + math.floor(decide_within / 2)
  redis.call('HSET', KEYS[2], 'decide_by_ms', now + decide_within, 'escalate_at_ms', escalate_at)
  redis.call('ZADD', KEYS[3], escalate_at, ARGV[2])
end
if use_within > 0 then
  redis.call('HSET', KEYS[2], 'use_by_ms', now + use_within)
  redis.call('ZADD', KEYS[3], now + use_within, ARGV[2])
end
if ARGV[6] == '1' then
  redis.call('ZADD', KEYS[4], now, ARGV[2])
end
for i = 7, #KEYS do
  redis.call('ZADD', KEYS[i], 0, ARGV[2])
end
redis.call('XADD', KEYS[5], '*', 'e', ARGV[9], 'p', ARGV[10])
return {1, now}
