-- Forgets a run that ended long ago. A run that has not ended is not in KEYS[3], so it is never touched.
--
-- KEYS  1 run hash   2 events stream   3 ended   4.. the run indexes
-- ARGV  1 run id     2 kept for this many ms after its end
-- Returns 1 if it was forgotten, 0 if it is kept.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ended = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not ended or tonumber(ended) > now - tonumber(ARGV[2]) then
  return 0
end
redis.call('UNLINK', KEYS[1], KEYS[2])
for i = 3, #KEYS do
  redis.call('ZREM', KEYS[i], ARGV[1])
end
return 1
