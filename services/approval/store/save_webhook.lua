-- Create, replace or remove a webhook, and write down that it changed.
--
-- KEYS 1 webhooks, 2 requests that made them, 3 those removed, 4 journal
-- ARGV 1 webhook id, 2 the webhook as the writer saw it (empty: there was none), 3 the webhook (empty: remove it),
--      4 sha256 of the request_id (empty: no request makes it), 5 id and sha256 of the request, 6 how many there may be,
--      7 entry of the journal
-- Returns {1, ''}; {0, ''} if it has changed since; {2, id and sha256} of what the request_id made before; {3, ''} if
-- there are too many.
if ARGV[2] == '' then
  local made = redis.call('HGET', KEYS[2], ARGV[4])
  if made then
    return {2, made}
  end
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then
    return {3, ''}
  end
  redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
elseif redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return {0, ''}
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[4])
  redis.call('ZADD', KEYS[3], redis.call('TIME')[1] * 1000, ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
redis.call('XADD', KEYS[4], '*', 'e', ARGV[7], 'p', 0)
return {1, ''}
