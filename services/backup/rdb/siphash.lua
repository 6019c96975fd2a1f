-- The two hashes that every digest is made of; see "The digest" in docs/backup-format.md.
--
-- Each leaves its 128 bits in `result`, two words with the low one first.

local ffi = require("ffi")
local bit = require("bit")
local bxor, bor, rol, lshift = bit.bxor, bit.bor, bit.rol, bit.lshift

local M = {}
local u64 = ffi.typeof("uint64_t")
local words = ffi.typeof("const uint64_t *")

-- SipHash-1-3 with 128 bits, under the key "harness backup 2" and a domain that is mixed into its second half.
local KEY0, KEY1 = 0x207373656e726168ULL, 0x322070756b636162ULL
local IV0 = bxor(KEY0, 0x736f6d6570736575ULL)
local IV1 = bxor(KEY1, 0x646f72616e646f6dULL, 0xeeULL)
local IV2 = bxor(KEY0, 0x6c7967656e657261ULL)
local IV3 = bxor(KEY1, 0x7465646279746573ULL)

local result = ffi.new("uint64_t[2]")
M.result = result

local function round(v0, v1, v2, v3)
    v0 = v0 + v1
    v1 = bxor(rol(v1, 13), v0)
    v0 = rol(v0, 32)
    v2 = v2 + v3
    v3 = bxor(rol(v3, 16), v2)
    v0 = v0 + v3
    v3 = bxor(rol(v3, 21), v0)
    v2 = v2 + v1
    v1 = bxor(rol(v1, 17), v2)
    v2 = rol(v2, 32)
    return v0, v1, v2, v3
end

local function finish(v0, v1, v2, v3, last)
    v3 = bxor(v3, last)
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
    v0 = bxor(v0, last)
    v2 = bxor(v2, 0xeeULL)
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
    result[0] = bxor(v0, v1, v2, v3)
    v1 = bxor(v1, 0xddULL)
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
    result[1] = bxor(v0, v1, v2, v3)
end

-- B(bytes)
local function hash_bytes(q, size)
    local v0, v1, v2, v3 = IV0, IV1, IV2, IV3
    local whole = (size - size % 8) / 8
    local w = ffi.cast(words, q)
    for i = 0, whole - 1 do
        local m = w[i]
        v3 = bxor(v3, m)
        v0, v1, v2, v3 = round(v0, v1, v2, v3)
        v0 = bxor(v0, m)
    end
    local last = lshift(ffi.cast(u64, size % 256), 56)
    local scale = 0
    for i = whole * 8, size - 1 do
        last = bor(last, lshift(ffi.cast(u64, q[i]), scale))
        scale = scale + 8
    end
    finish(v0, v1, v2, v3, last)
end
M.hash_bytes = hash_bytes

-- W(domain; words): state is the four words and how many were absorbed.
local function start(s, domain)
    s[0], s[1], s[2], s[3], s[4] = IV0, bxor(IV1, u64(domain)), IV2, bxor(IV3, u64(domain)), 0
end

local function absorb(s, m)
    m = ffi.cast(u64, m)
    local v0, v1, v2, v3 = s[0], s[1], s[2], bxor(s[3], m)
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
    s[0], s[1], s[2], s[3], s[4] = bxor(v0, m), v1, v2, v3, s[4] + 1
end

local function absorb_result(s)
    local low, high = result[0], result[1]
    absorb(s, low)
    absorb(s, high)
end

local function done(s) finish(s[0], s[1], s[2], s[3], lshift(s[4], 59)) end

-- Sums of hashes, modulo 2^128: what does not depend on an order.
local function add(to)
    local low = to[0] + result[0]
    to[1] = to[1] + result[1] + (low < result[0] and 1ULL or 0ULL)
    to[0] = low
end

M.start, M.absorb, M.absorb_result, M.done, M.add = start, absorb, absorb_result, done, add

return M
