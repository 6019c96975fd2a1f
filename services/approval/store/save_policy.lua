-- Replace the policy of an environment, if it is still the version the writer saw, keep it as a version, and write down
-- who did.
--
-- KEYS 1 policy, 2 versions, 3 bodies, 4 journal
-- ARGV 1 version seen (empty: any), 2 body, 3 who, 4 how many versions are kept, 5, 6 and 7 entry of the journal: what
--      stands before the number of the new version, between it and that of the version before, and after both
-- Returns {1, new version, now_ms}, or {0, version} if it has changed since.
local version = redis.call('HGET', KEYS[1], 'version') or '0'
if ARGV[1] ~= '' and ARGV[1] ~= version then
  return {0, tonumber(version)}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local saved = version + 1
redis.call('HSET', KEYS[1], 'version', saved, 'body', ARGV[2], 'updated_by', ARGV[3], 'updated_ms', now)
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[4], saved .. '-0', 'by', ARGV[3], 'ms', now)
redis.call('HSET', KEYS[3], saved, ARGV[2])
redis.call('HDEL', KEYS[3], saved - ARGV[4])
redis.call('XADD', KEYS[4], '*', 'e', ARGV[5] .. string.format('%d', saved) .. ARGV[6] .. version .. ARGV[7], 'p', '0')
return {1, saved, now}
