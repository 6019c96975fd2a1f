-- Append to the chain of a shard, if it still ends where the writer saw it end.
--
-- Whoever loses the race appends nothing, so nothing is sealed twice, or skipped. A stream takes ids in rising order
-- only: even with the head changed by somebody else no sequence is used again.
--
-- KEYS 1 chain, 2 head, 3.. zsets of approvals
-- ARGV 1 sequence and 2 checkpoint that the writer saw, 3 sequence, 4 hash, 5 time, ms, of the last record and 6 the
--      journal's id that was sealed last, as they are now, 7 sequence of a new checkpoint (empty: none), 8 its time, ms,
--      9 the checkpoint's line, 10.. line, number of the approval's zset among KEYS (0: none), ... from the next sequence on
-- Returns 1; 0 if somebody else came first.
local head = redis.call('HMGET', KEYS[2], 'sequence', 'checkpoint')
if (head[1] or '0') ~= ARGV[1] or (head[2] or '0') ~= ARGV[2] then
  return 0
end
local sequence = tonumber(ARGV[1])
for i = 10, #ARGV, 2 do
  sequence = sequence + 1
  local number = string.format('%d', sequence)
  redis.call('XADD', KEYS[1], number .. '-0', 'l', ARGV[i])
  local zset = tonumber(ARGV[i + 1])
  if zset > 0 then
    redis.call('ZADD', KEYS[zset], number, number)
  end
end
redis.call('HSET', KEYS[2], 'sequence', ARGV[3], 'hash', ARGV[4], 'time_ms', ARGV[5], 'journal', ARGV[6])
if ARGV[7] ~= '' then
  redis.call('XADD', KEYS[1], ARGV[7] .. '-1', 'l', ARGV[9])
  redis.call('HSET', KEYS[2], 'checkpoint', ARGV[7], 'checkpoint_ms', ARGV[8])
end
return 1
