-- Give entries of one shard's journal their place in the one sequence, each once.
--
-- What has been published is remembered in the same step, so a crash at any point, or two replicas at once, neither loses
-- nor repeats one.
--
-- KEYS 1 stream of events, 2 sequence, 3 published
-- ARGV 1 shard, 2 how many events to keep, 3.. id, entry (empty: watchers are not told), ... in the order of the journal
-- Returns how many were new.
local function parts(id)
  local ms, n = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(n)
end
local last_ms, last_n = parts(redis.call('HGET', KEYS[3], ARGV[1]) or '0-0')
local new = 0
for i = 3, #ARGV, 2 do
  local ms, n = parts(ARGV[i])
  if ms > last_ms or (ms == last_ms and n > last_n) then
    if ARGV[i + 1] ~= '' then
      local sequence = redis.call('INCR', KEYS[2])
      redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], sequence .. '-0', 'e', ARGV[i + 1], 't', ms)
      new = new + 1
    end
    redis.call('HSET', KEYS[3], ARGV[1], ARGV[i])
    last_ms, last_n = ms, n
  end
end
return new
