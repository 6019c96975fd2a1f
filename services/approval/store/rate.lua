-- Let so many through, of what comes at once, that a rate holds (GCRA): the time at which all that was let through would
-- be paid off is kept, and nothing else.
--
-- KEYS 1 what is limited
-- ARGV 1 microseconds each costs, 2 how many may come at once, 3 how many come
-- Returns {how many may pass, ms until one more may (0: at once)}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local paid = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local passed = math.max(0, math.min(tonumber(ARGV[3]), math.floor(burst - (paid - now) / cost)))
paid = paid + passed * cost
if passed > 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', paid), 'PX', math.ceil((paid - now) / 1000) + 1)
end
return {passed, math.max(0, math.ceil((paid + cost - burst * cost - now) / 1000))}
