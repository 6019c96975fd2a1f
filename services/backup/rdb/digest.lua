-- The canonical digest of a value, whatever its encoding: see "The digest" in docs/backup-format.md.

local format, siphash, packs = ...
local ffi = require("ffi")
local bit = require("bit")
local bswap = bit.bswap
local length, number, read_string, damaged = format.length, format.number, format.read_string, format.damaged
local decimal, integer, skip_numbers = format.decimal, format.integer, format.skip_numbers
local hash_bytes, start, absorb, done = siphash.hash_bytes, siphash.start, siphash.absorb, siphash.done
local absorb_result, add, result = siphash.absorb_result, siphash.add, siphash.result
local listpack_first, listpack_next = packs.listpack.first, packs.listpack.next
local ziplist_first, ziplist_next = packs.ziplist.first, packs.ziplist.next

ffi.cdef("double strtod(const char *, char **);")

local M = {}
local u64 = ffi.typeof("uint64_t")
local words = ffi.typeof("const uint64_t *")

-- Domains of W, each for one kind of thing.
local FIELD, SCORED, LIST, ENTRIES, GROUP, STREAM, RECORD = 1, 2, 3, 4, 5, 6, 7

local outer, inner = ffi.new("uint64_t[5]"), ffi.new("uint64_t[5]")
local sum = ffi.new("uint64_t[2]")

local function begin_sum() sum[0], sum[1] = 0, 0 end
local function end_sum() result[0], result[1] = sum[0], sum[1] end

local digits = ffi.new("uint8_t[64]")
local stop = ffi.new("char *[1]")

-- A score written as text; zero has no sign.
local function score_of(q, size)
    if size > 63 or size == 0 then damaged("a score is not a number") end
    ffi.copy(digits, q, size)
    digits[size] = 0
    local value = ffi.C.strtod(ffi.cast("const char *", digits), stop)
    if ffi.cast("uint8_t *", stop[0]) ~= digits + size then damaged("a score is not a number") end
    return value
end

local double = ffi.new("union { double number; uint64_t word; }")

local function absorb_score(s, value)
    double.number = value
    if value == 0 then double.word = 0 end
    absorb(s, double.word)
end

-- Each kind of value. `V(value)` is a string's B, a list's W over its elements' B, and for sets, hashes and sorted sets
-- a sum, which does not depend on the order.

local function string_value(p, pos, lim)
    local q, size = read_string(p, pos, lim)
    hash_bytes(q, size)
end

local function pack_into_list(q, size, first, step)
    local at = first(q, size)
    while true do
        local where, count, after = step(q, at, size)
        if where == nil then return end
        hash_bytes(where, count)
        absorb_result(outer)
        at = after
    end
end

local function plain_list(p, pos, lim)
    start(outer, LIST)
    local count, at = length(p, pos, lim)
    for _ = 1, count do
        local q, size, after = read_string(p, at, lim)
        hash_bytes(q, size)
        absorb_result(outer)
        at = after
    end
    done(outer)
end

local function packed_list(p, pos, lim)
    start(outer, LIST)
    local q, size = read_string(p, pos, lim)
    pack_into_list(q, size, ziplist_first, ziplist_next)
    done(outer)
end

local function quicklist(p, pos, lim)
    start(outer, LIST)
    local count, at = length(p, pos, lim)
    for _ = 1, count do
        local q, size, after = read_string(p, at, lim)
        pack_into_list(q, size, ziplist_first, ziplist_next)
        at = after
    end
    done(outer)
end

local function quicklist2(p, pos, lim)
    start(outer, LIST)
    local count, at = length(p, pos, lim)
    for _ = 1, count do
        local container, from = length(p, at, lim)
        local q, size, after = read_string(p, from, lim)
        if container == 1 then
            hash_bytes(q, size)
            absorb_result(outer)
        elseif container == 2 then
            pack_into_list(q, size, listpack_first, listpack_next)
        else
            damaged("a list's container is not known")
        end
        at = after
    end
    done(outer)
end

local function plain_set(p, pos, lim)
    begin_sum()
    local count, at = length(p, pos, lim)
    for _ = 1, count do
        local q, size, after = read_string(p, at, lim)
        hash_bytes(q, size)
        add(sum)
        at = after
    end
    end_sum()
end

local function intset(p, pos, lim)
    begin_sum()
    local q, size = read_string(p, pos, lim)
    if size < 8 then damaged("an intset is too short") end
    local width, count = integer(q, 0, 4), integer(q, 4, 4)
    if (width ~= 2 and width ~= 4 and width ~= 8) or size ~= 8 + width * count then
        damaged("an intset is not as long as it says")
    end
    for i = 0, count - 1 do
        hash_bytes(decimal(integer(q, 8 + i * width, width)))
        add(sum)
    end
    end_sum()
end

local function packed_set(p, pos, lim)
    begin_sum()
    local q, size = read_string(p, pos, lim)
    local at = listpack_first(q, size)
    while true do
        local where, count, after = listpack_next(q, at, size)
        if where == nil then break end
        hash_bytes(where, count)
        add(sum)
        at = after
    end
    end_sum()
end

local function binary_zset(p, pos, lim)
    begin_sum()
    local count, at = length(p, pos, lim)
    for _ = 1, count do
        local q, size, after = read_string(p, at, lim)
        hash_bytes(q, size)
        start(inner, SCORED)
        absorb_result(inner)
        absorb_score(inner, ffi.cast("const double *", p + after)[0])
        done(inner)
        add(sum)
        at = after + 8
    end
    end_sum()
end

local function packed_zset(first, step)
    return function(p, pos, lim)
        begin_sum()
        local q, size = read_string(p, pos, lim)
        local at = first(q, size)
        while true do
            local where, count, after = step(q, at, size)
            if where == nil then break end
            hash_bytes(where, count)
            start(inner, SCORED)
            absorb_result(inner)
            where, count, after = step(q, after, size)
            if where == nil then damaged("a member has no score") end
            absorb_score(inner, score_of(where, count))
            done(inner)
            add(sum)
            at = after
        end
        end_sum()
    end
end

local function plain_hash(p, pos, lim)
    begin_sum()
    local count, at = length(p, pos, lim)
    for _ = 1, count do
        start(inner, FIELD)
        for _ = 1, 2 do
            local q, size, after = read_string(p, at, lim)
            hash_bytes(q, size)
            absorb_result(inner)
            at = after
        end
        absorb(inner, 0)
        done(inner)
        add(sum)
    end
    end_sum()
end

local function expiring_hash(p, pos, lim)
    begin_sum()
    local earliest = integer(p, pos, 8)
    local count, at = length(p, pos + 8, lim)
    for _ = 1, count do
        local expiry
        expiry, at = number(p, at, lim)
        start(inner, FIELD)
        for _ = 1, 2 do
            local q, size, after = read_string(p, at, lim)
            hash_bytes(q, size)
            absorb_result(inner)
            at = after
        end
        -- Written as one more than the distance from the earliest, 0 for none.
        absorb(inner, expiry == 0 and 0ULL or expiry + ffi.cast(u64, earliest) - 1)
        done(inner)
        add(sum)
    end
    end_sum()
end

local function packed_hash(skip, per_field, first, step)
    return function(p, pos, lim)
        begin_sum()
        local q, size = read_string(p, pos + skip, lim)
        local at = first(q, size)
        while true do
            local where, count, after = step(q, at, size)
            if where == nil then break end
            hash_bytes(where, count)
            start(inner, FIELD)
            absorb_result(inner)
            where, count, after = step(q, after, size)
            if where == nil then damaged("a field has no value") end
            hash_bytes(where, count)
            absorb_result(inner)
            local expiry = 0
            if per_field == 3 then
                where, count, after, expiry = step(q, after, size)
                if expiry == nil then damaged("a field has no expiry") end
            end
            absorb(inner, ffi.cast("int64_t", expiry))
            done(inner)
            add(sum)
            at = after
        end
        end_sum()
    end
end

local fields, fields_size = ffi.new("uint64_t[?]", 128), 64

-- The next element of a stream's listpack, which must be an integer.
local function step_number(q, at, size)
    local where, _, after, value = listpack_next(q, at, size)
    if where == nil or value == nil then damaged("a stream's entry is not well-formed") end
    return value, after
end

local function step_hash(q, at, size)
    local where, count, after = listpack_next(q, at, size)
    if where == nil then damaged("a stream's entry is not well-formed") end
    hash_bytes(where, count)
    return after
end

local function stream_entries(q, size, ms, seq)
    local at = listpack_first(q, size)
    local live, deleted, count, same
    live, at = step_number(q, at, size)
    deleted, at = step_number(q, at, size)
    count, at = step_number(q, at, size)
    count = tonumber(count)
    if count > size then damaged("a stream's entry is not well-formed") end
    if count > fields_size then
        fields_size = count
        fields = ffi.new("uint64_t[?]", count * 2)
    end
    for i = 0, count - 1 do
        at = step_hash(q, at, size)
        fields[2 * i], fields[2 * i + 1] = result[0], result[1]
    end
    _, at = step_number(q, at, size)
    for _ = 1, tonumber(live) + tonumber(deleted) do
        local flags, ms_more, seq_more, own
        flags, at = step_number(q, at, size)
        ms_more, at = step_number(q, at, size)
        seq_more, at = step_number(q, at, size)
        flags = tonumber(flags)
        same = bit.band(flags, 2) ~= 0
        own = count
        if not same then own, at = step_number(q, at, size) end
        own = tonumber(own)
        local is_live = bit.band(flags, 1) == 0
        if is_live then
            absorb(outer, ms + ffi.cast("int64_t", ms_more))
            absorb(outer, seq + ffi.cast("int64_t", seq_more))
            absorb(outer, own)
        end
        for i = 0, own - 1 do
            if not same then
                at = step_hash(q, at, size)
                if is_live then absorb_result(outer) end
            elseif is_live then
                absorb(outer, fields[2 * i])
                absorb(outer, fields[2 * i + 1])
            end
            at = step_hash(q, at, size)
            if is_live then absorb_result(outer) end
        end
        _, at = step_number(q, at, size)
    end
    if listpack_next(q, at, size) ~= nil then damaged("a stream holds more entries than it says") end
end

local function absorb_id(s, p, pos)
    local id = ffi.cast(words, p + pos)
    absorb(s, bswap(id[0]))
    absorb(s, bswap(id[1]))
end

local function stream(generation)
    return function(p, pos, lim)
        start(outer, ENTRIES)
        local packs, at = length(p, pos, lim)
        for _ = 1, packs do
            local id, size, after = read_string(p, at, lim)
            if size ~= 16 then damaged("a stream's id is not well-formed") end
            local parts = ffi.cast(words, id)
            local ms, seq = bswap(parts[0]), bswap(parts[1])
            local q
            q, size, after = read_string(p, after, lim)
            stream_entries(q, size, ms, seq)
            at = after
        end
        done(outer)
        start(outer, STREAM)
        absorb_result(outer)
        local _, ms, seq, groups, q, size, pending, consumers, owned, times
        _, at = number(p, at, lim)
        ms, at = number(p, at, lim)
        seq, at = number(p, at, lim)
        absorb(outer, ms)
        absorb(outer, seq)
        at = skip_numbers(p, at, lim, generation == 1 and 0 or 5)
        groups, at = length(p, at, lim)
        absorb(outer, groups)
        for _ = 1, groups do
            start(inner, GROUP)
            q, size, at = read_string(p, at, lim)
            hash_bytes(q, size)
            absorb_result(inner)
            ms, at = number(p, at, lim)
            seq, at = number(p, at, lim)
            absorb(inner, ms)
            absorb(inner, seq)
            at = skip_numbers(p, at, lim, generation == 1 and 0 or 1)
            pending, at = length(p, at, lim)
            absorb(inner, pending)
            for _ = 1, pending do
                absorb_id(inner, p, at)
                absorb(inner, ffi.cast(words, p + at + 16)[0])
                times, at = number(p, at + 24, lim)
                absorb(inner, times)
            end
            consumers, at = length(p, at, lim)
            absorb(inner, consumers)
            for _ = 1, consumers do
                q, size, at = read_string(p, at, lim)
                hash_bytes(q, size)
                absorb_result(inner)
                absorb(inner, ffi.cast(words, p + at)[0])
                at = at + (generation == 3 and 16 or 8)
                owned, at = length(p, at, lim)
                absorb(inner, owned)
                for i = 0, owned - 1 do absorb_id(inner, p, at + i * 16) end
                at = at + owned * 16
            end
            done(inner)
            absorb_result(outer)
        end
        done(outer)
    end
end

local STRING, A_LIST, A_SET, A_ZSET, A_HASH, A_STREAM = 0, 1, 2, 3, 4, 5
-- By value type: how its digest is made, and which kind of value it is.
local VALUES = {
    [0] = { string_value, STRING }, [1] = { plain_list, A_LIST }, [2] = { plain_set, A_SET },
    [4] = { plain_hash, A_HASH }, [5] = { binary_zset, A_ZSET }, [10] = { packed_list, A_LIST },
    [11] = { intset, A_SET }, [12] = { packed_zset(ziplist_first, ziplist_next), A_ZSET },
    [13] = { packed_hash(0, 2, ziplist_first, ziplist_next), A_HASH }, [14] = { quicklist, A_LIST },
    [15] = { stream(1), A_STREAM }, [16] = { packed_hash(0, 2, listpack_first, listpack_next), A_HASH },
    [17] = { packed_zset(listpack_first, listpack_next), A_ZSET }, [18] = { quicklist2, A_LIST },
    [19] = { stream(2), A_STREAM }, [20] = { packed_set, A_SET }, [21] = { stream(3), A_STREAM },
    [24] = { expiring_hash, A_HASH }, [25] = { packed_hash(8, 3, listpack_first, listpack_next), A_HASH },
}

local record, name = ffi.new("uint64_t[5]"), ffi.new("uint64_t[2]")

-- The digest of a whole record: key, expiry in Unix milliseconds or -1, and the value in [pos, lim).
function M.record(key, key_size, expiry, kind, p, pos, lim)
    hash_bytes(key, key_size)
    name[0], name[1] = result[0], result[1]
    local how = VALUES[kind]
    how[1](p, pos, lim)
    start(record, RECORD)
    absorb(record, name[0])
    absorb(record, name[1])
    absorb(record, how[2])
    absorb(record, expiry)
    absorb_result(record)
    done(record)
end

return M
