-- Commit one transition of an approval, if it is still what the transition was decided on.
--
-- KEYS 1 approval, 2 due, 3 closed, 4 journal, 5 earlier revisions, 6.. indexes that it leaves, then indexes that it joins
-- ARGV 1 version decided on, 2 time before which it holds, ms (0: any), 3 member, 4 when something is to happen by
--      itself, ms (0: never), 5 "1" if it is closed now, 6 how many indexes it leaves, 7 entry of the journal (empty:
--      none), 8 "1" if watchers are told, 9 revision whose body is kept (empty: none), 10.. field, value, ... that change
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
if ARGV[9] ~= '' then
  redis.call('HSET', KEYS[5], ARGV[9], redis.call('HGET', KEYS[1], 'body'))
end
redis.call('HSET', KEYS[1], 'version', ARGV[1] + 1, unpack(ARGV, 10))
local leaves = 5 + tonumber(ARGV[6])
for i = 6, #KEYS do
  if i <= leaves then
    redis.call('ZREM', KEYS[i], ARGV[3])
  else
    redis.call('ZADD', KEYS[i], 0, ARGV[3])
  end
end
if ARGV[4] == '0' then
  redis.call('ZREM', KEYS[2], ARGV[3])
else
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
end
if ARGV[5] == '1' then
  redis.call('ZADD', KEYS[3], now, ARGV[3])
end
if ARGV[7] ~= '' then
  redis.call('XADD', KEYS[4], '*', 'e', ARGV[7], 'p', ARGV[8])
end
return 1
