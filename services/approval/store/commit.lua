-- Commit one transition of an approval, if it is still what the transition was decided on.
--
-- KEYS 1 approval, 2 due, 3 closed, 4 outbox, 5 index of the old state, 6 of the new state,
--      7 index of the requester and the old state, 8 of the requester and the new state
-- ARGV 1 version decided on, 2 time before which it holds, ms (0: any), 3 member, 4 when it will expire, ms (0: never),
--      5 "1" if it is closed now, 6 decision to publish (empty: none), 7.. field, value, ... that change
-- Returns 1 if it was committed; 0 if the approval has changed, or is gone, or it is too late: load it and decide again.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local before = tonumber(ARGV[2])
if before > 0 and now >= before then
  return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[1] + 1, unpack(ARGV, 7))
if KEYS[5] ~= KEYS[6] then
  redis.call('ZREM', KEYS[5], ARGV[3])
  redis.call('ZADD', KEYS[6], 0, ARGV[3])
  redis.call('ZREM', KEYS[7], ARGV[3])
  redis.call('ZADD', KEYS[8], 0, ARGV[3])
end
if ARGV[4] == '0' then
  redis.call('ZREM', KEYS[2], ARGV[3])
else
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
end
if ARGV[5] == '1' then
  redis.call('ZADD', KEYS[3], now, ARGV[3])
end
if ARGV[6] ~= '' then
  redis.call('XADD', KEYS[4], '*', 'e', ARGV[6])
end
return 1
