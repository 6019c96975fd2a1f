-- Replace the policy of an environment, if it is still the version the writer saw.
--
-- KEYS 1 policy
-- ARGV 1 version seen (empty: any), 2 body, 3 who
-- Returns {1, new version, now_ms}, or {0, version} if it has changed since.
local version = redis.call('HGET', KEYS[1], 'version') or '0'
if ARGV[1] ~= '' and ARGV[1] ~= version then
  return {0, tonumber(version)}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'version', version + 1, 'body', ARGV[2], 'updated_by', ARGV[3], 'updated_ms', now)
return {1, version + 1, now}
