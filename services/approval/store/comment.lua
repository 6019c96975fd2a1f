-- Add to the thread of an approval.
--
-- KEYS 1 approval, 2 comments, 3 journal
-- ARGV 1 comment (JSON), 2 entry of the journal, 3 how many comments there may be, 4 "1" if watchers are told
-- Returns the time of the comment, ms; 0 if the thread is full or the approval is gone.
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[3]) then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('RPUSH', KEYS[2], string.format('%d %s', now, ARGV[1]))
redis.call('HINCRBY', KEYS[1], 'comments', 1)
redis.call('XADD', KEYS[3], '*', 'e', ARGV[2], 'p', ARGV[4])
return now
