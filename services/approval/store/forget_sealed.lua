-- Remove the start of a chain, up to a checkpoint, which becomes its root.
--
-- KEYS 1 chain, 2 head, 3.. zsets of approvals that have records among those removed
-- ARGV 1 sequence of the checkpoint, 2 the root's line
-- Returns 1; 0 if as much was removed before, or the chain does not reach that far.
local head = redis.call('HMGET', KEYS[2], 'sequence', 'root_sequence')
local sequence = tonumber(ARGV[1])
if tonumber(head[1] or '0') < sequence or tonumber(head[2] or '0') >= sequence then
  return 0
end
redis.call('HSET', KEYS[2], 'root', ARGV[2], 'root_sequence', ARGV[1])
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%d-0', sequence + 1))
for i = 3, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', sequence)
end
return 1
