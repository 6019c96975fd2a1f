-- End a delegation.
--
-- KEYS 1 delegation, 2 journal, 3.. indexes it is in
-- ARGV 1 id, 2 entry of the journal
-- Returns 1 if it ended now; 0 if there was none.
if redis.call('DEL', KEYS[1]) == 0 then
  return 0
end
for i = 3, #KEYS do
  redis.call('ZREM', KEYS[i], ARGV[1])
end
redis.call('XADD', KEYS[2], '*', 'e', ARGV[2], 'p', '0')
return 1
