-- Make deliveries of what one shard's journal has, and remember in the same step how far it was read: a crash at any
-- point, or two replicas at once, neither loses nor doubles one.
--
-- KEYS 1 how far the journal was read, 2 deliveries that still gather, 3 dead letters by time
-- ARGV 1 how far the caller saw it read (empty: never), 2 how far it is read now, 3 prefix of the shard's keys,
--      4 how many may wait for one webhook, 5 how many approvals a delivery names,
--      6.. of each delivery: id, webhook id, event, when it happened (ms), facts, approval id, how long to gather (ms),
--      what it gathers (empty: nothing)
-- Returns how many deliveries were made; -1 if somebody else has read on.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return -1
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local prefix, most, names, made = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), 0
for i = 6, #ARGV, 8 do
  local id, webhook, approval, gather = ARGV[i], ARGV[i + 1], ARGV[i + 5], ARGV[i + 7]
  local open = gather ~= '' and redis.call('HGET', KEYS[2], gather)
  if open and redis.call('EXISTS', prefix .. 'delivery:' .. open) == 1 then
    local key = prefix .. 'delivery:' .. open
    if redis.call('HINCRBY', key, 'count', 1) <= names then
      redis.call('HSET', key, 'approval_ids', redis.call('HGET', key, 'approval_ids') .. ' ' .. approval)
    end
  else
    local key, queue = prefix .. 'delivery:' .. id, prefix .. 'deliveries:' .. webhook
    redis.call('HSET', key, 'id', id, 'webhook_id', webhook, 'event', ARGV[i + 2], 'at_ms', ARGV[i + 3], 'facts',
      ARGV[i + 4], 'approval_ids', approval, 'count', 1)
    if redis.call('ZCARD', queue) >= most then
      redis.call('HSET', key, 'dead_ms', now, 'last_error', 'too much waits for this webhook')
      redis.call('ZADD', prefix .. 'dead:' .. webhook, 0, id)
      redis.call('ZADD', KEYS[3], now, webhook .. ' ' .. id)
    else
      redis.call('ZADD', queue, now + ARGV[i + 6], id)
      if gather ~= '' then
        redis.call('HSET', key, 'gather', gather)
        redis.call('HSET', KEYS[2], gather, id)
      end
    end
    made = made + 1
  end
end
redis.call('SET', KEYS[1], ARGV[2])
return made
