-- Forget a remembered decision. An empty body stays in its place until its time is over, so that repeating the vote that
-- made it does not bring it back.
--
-- KEYS 1 remembered, 2 index of the project or run, 3 journal
-- ARGV 1 name, 2 entry of the journal
-- Returns 1 if it was forgotten now; 0 if there was none.
local body = redis.call('GET', KEYS[1])
if not body or body == '' then
  return 0
end
redis.call('SET', KEYS[1], '', 'KEEPTTL')
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('XADD', KEYS[3], '*', 'e', ARGV[2], 'p', '0')
return 1
