-- Remove a closed approval and every trace of it.
--
-- KEYS 1 approval, 2 request, 3 earlier revisions, 4 comments, 5.. indexes it is in
-- ARGV 1 member
-- Returns 1.
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
for i = 5, #KEYS do
  redis.call('ZREM', KEYS[i], ARGV[1])
end
return 1
