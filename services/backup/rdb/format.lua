-- The RDB format: lengths, strings, and where each kind of value ends.
--
-- Source: rdb.h, rdb.c and lzf_d.c of Redis 6.2 to 8.2 and Valkey 7.2 to 9.1. A position is counted from `p`, `lim` is
-- the position behind the last byte that may be read. Whatever needs more raises SHORT; nothing reads beyond `lim`.

local ffi = require("ffi")
local bit = require("bit")
local band, rshift = bit.band, bit.rshift

local M = { SHORT = "short" }

local MAX_LENGTH = 2 ^ 48
local LZF_BEST = 264 -- one byte of LZF stands for at most this many

local function short() error("short", 0) end
local function damaged(what) error("damaged:" .. what, 0) end
local function unsupported(what) error("unsupported:" .. what, 0) end
M.damaged, M.unsupported = damaged, unsupported

local function be32(p, pos)
    return ((p[pos] * 256 + p[pos + 1]) * 256 + p[pos + 2]) * 256 + p[pos + 3]
end

-- A length that counts bytes or items, and the position behind it.
local function length(p, pos, lim)
    if pos >= lim then short() end
    local first = p[pos]
    if first < 0x40 then return first, pos + 1 end
    if first < 0x80 then
        if pos + 2 > lim then short() end
        return (first - 0x40) * 256 + p[pos + 1], pos + 2
    end
    if first == 0x80 then
        if pos + 5 > lim then short() end
        return be32(p, pos + 1), pos + 5
    end
    if first ~= 0x81 then damaged(string.format("byte 0x%02x is not a length", first)) end
    if pos + 9 > lim then short() end
    local value = be32(p, pos + 1) * 4294967296 + be32(p, pos + 5)
    if value > MAX_LENGTH then damaged("a length is beyond reason") end
    return value, pos + 9
end

-- The same for numbers of 64 bits that count nothing here, such as ids.
local function number(p, pos, lim)
    if pos >= lim then short() end
    if p[pos] ~= 0x81 then
        local value, after = length(p, pos, lim)
        return ffi.cast("uint64_t", value), after
    end
    if pos + 9 > lim then short() end
    return ffi.cast("uint64_t", be32(p, pos + 1)) * 4294967296ULL + ffi.cast("uint64_t", be32(p, pos + 5)), pos + 9
end

local function skip_number(p, pos, lim)
    if pos >= lim then short() end
    local first = p[pos]
    if first < 0x40 then return pos + 1 end
    local _, after = number(p, pos, lim)
    return after
end

local function skip_bytes(pos, count, lim)
    if pos + count > lim then short() end
    return pos + count
end

local function skip_string(p, pos, lim)
    if pos >= lim then short() end
    local first = p[pos]
    local after
    if first < 0x40 then
        after = pos + 1 + first
    elseif first < 0xC0 then
        local size, at = length(p, pos, lim)
        after = at + size
    elseif first == 0xC0 then
        after = pos + 2
    elseif first == 0xC1 then
        after = pos + 3
    elseif first == 0xC2 then
        after = pos + 5
    elseif first == 0xC3 then
        local packed, at = length(p, pos + 1, lim)
        local _, from = length(p, at, lim)
        after = from + packed
    else
        damaged(string.format("string encoding 0x%02x is not known", first))
    end
    if after > lim then short() end
    return after
end

-- Room for one unpacked string, and for one number as text. Each is valid until the next of its kind.
local room, room_size = ffi.new("uint8_t[?]", 65536), 65536
local text = ffi.new("uint8_t[32]")
local int64 = ffi.typeof("int64_t")

-- A number as decimal text: where, and how many characters.
local function decimal(value)
    local at = 32
    if value == 0 then
        text[31] = 48
        return text + 31, 1
    end
    local negative = value < 0
    if type(value) == "cdata" then
        while value ~= 0 do
            local digit = tonumber(value % 10)
            if digit < 0 then digit = -digit end
            at = at - 1
            text[at] = 48 + digit
            value = value / 10
        end
    else
        if negative then value = -value end
        while value > 0 do
            local rest = math.floor(value / 10)
            at = at - 1
            text[at] = 48 + (value - rest * 10)
            value = rest
        end
    end
    if negative then
        at = at - 1
        text[at] = 45
    end
    return text + at, 32 - at
end
M.decimal = decimal

-- A little-endian signed integer of 1, 2, 3, 4 or 8 bytes: a Lua number, or an int64_t for 8.
local function integer(p, pos, width)
    if width == 8 then return ffi.cast("const int64_t *", p + pos)[0] end
    local value, scale = 0, 1
    for i = 0, width - 1 do
        value = value + p[pos + i] * scale
        scale = scale * 256
    end
    if value >= scale / 2 then value = value - scale end
    return value
end
M.integer = integer

local function unpack_lzf(p, pos, packed, size)
    if size > packed * LZF_BEST then damaged("a compressed string is longer than it can be") end
    if size > room_size then
        room_size = size
        room = ffi.new("uint8_t[?]", size)
    end
    local out, o, stop = room, 0, pos + packed
    while pos < stop do
        local control = p[pos]
        pos = pos + 1
        if control < 32 then
            local run = control + 1
            if pos + run > stop or o + run > size then damaged("a compressed string ends early") end
            ffi.copy(out + o, p + pos, run)
            pos, o = pos + run, o + run
        else
            local run = rshift(control, 5) + 2
            if run == 9 then
                if pos >= stop then damaged("a compressed string ends early") end
                run = run + p[pos]
                pos = pos + 1
            end
            if pos >= stop then damaged("a compressed string ends early") end
            local from = o - band(control, 31) * 256 - p[pos] - 1
            pos = pos + 1
            if from < 0 or o + run > size then damaged("a compressed string refers to outside of itself") end
            if from + run <= o then
                ffi.copy(out + o, out + from, run)
            else
                for i = 0, run - 1 do out[o + i] = out[from + i] end
            end
            o = o + run
        end
    end
    if o ~= size then damaged("a compressed string is not as long as it says") end
    return out
end

-- A decoded string: where, how many bytes, and the position behind it.
local function read_string(p, pos, lim)
    local after = skip_string(p, pos, lim)
    local first = p[pos]
    if first < 0x40 then return p + pos + 1, first, after end
    if first < 0xC0 then
        local size, at = length(p, pos, lim)
        return p + at, size, after
    end
    if first == 0xC3 then
        local packed, at = length(p, pos + 1, lim)
        local size, from = length(p, at, lim)
        return unpack_lzf(p, from, packed, size), size, after
    end
    local where, size = decimal(integer(p, pos + 1, after - pos - 1))
    return where, size, after
end

local function strings(per_item)
    return function(p, pos, lim)
        local count, at = length(p, pos, lim)
        for _ = 1, count * per_item do at = skip_string(p, at, lim) end
        return at
    end
end

local function scored(p, pos, lim)
    local count, at = length(p, pos, lim)
    for _ = 1, count do at = skip_bytes(skip_string(p, at, lim), 8, lim) end
    return at
end

local function containers(p, pos, lim)
    local count, at = length(p, pos, lim)
    for _ = 1, count do at = skip_string(p, skip_number(p, at, lim), lim) end
    return at
end

local function expiring_fields(p, pos, lim)
    local count, at = length(p, skip_bytes(pos, 8, lim), lim)
    for _ = 1, count do at = skip_string(p, skip_string(p, skip_number(p, at, lim), lim), lim) end
    return at
end

local function expiring_pack(p, pos, lim) return skip_string(p, skip_bytes(pos, 8, lim), lim) end

local function skip_numbers(p, pos, lim, count)
    for _ = 1, count do pos = skip_number(p, pos, lim) end
    return pos
end

-- Streams: since generation 2 with the first id, the greatest deleted id, entries ever added and read; since 3 with
-- the time at which a consumer was last active.
local function stream(generation)
    return function(p, pos, lim)
        local packs, at = length(p, pos, lim)
        for _ = 1, packs do at = skip_string(p, skip_string(p, at, lim), lim) end
        at = skip_numbers(p, at, lim, generation == 1 and 3 or 8)
        local groups
        groups, at = length(p, at, lim)
        for _ = 1, groups do
            at = skip_numbers(p, skip_string(p, at, lim), lim, generation == 1 and 2 or 3)
            local pending, consumers, owned
            pending, at = length(p, at, lim)
            for _ = 1, pending do at = skip_number(p, skip_bytes(at, 24, lim), lim) end
            consumers, at = length(p, at, lim)
            for _ = 1, consumers do
                at = skip_bytes(skip_string(p, at, lim), generation == 3 and 16 or 8, lim)
                owned, at = length(p, at, lim)
                at = skip_bytes(at, owned * 16, lim)
            end
        end
        return at
    end
end

-- The position behind a module's auxiliary field: its id, when, and values up to their end mark.
local function skip_module_aux(p, pos, lim)
    pos = skip_numbers(p, pos, lim, 3)
    while true do
        local opcode
        opcode, pos = length(p, pos, lim)
        if opcode == 0 then return pos end
        if opcode <= 2 then
            pos = skip_number(p, pos, lim)
        elseif opcode <= 4 then
            pos = skip_bytes(pos, opcode == 3 and 4 or 8, lim)
        elseif opcode == 5 then
            pos = skip_string(p, pos, lim)
        else
            damaged("a module's auxiliary value is not known")
        end
    end
end

M.length, M.number, M.read_string = length, number, read_string
M.skip_string, M.skip_numbers, M.skip_module_aux = skip_string, skip_numbers, skip_module_aux
M.int64 = int64
-- By value type: the position behind a value.
M.skip = {
    [0] = skip_string, [1] = strings(1), [2] = strings(1), [4] = strings(2), [5] = scored,
    [10] = skip_string, [11] = skip_string, [12] = skip_string, [13] = skip_string, [14] = strings(1), [15] = stream(1),
    [16] = skip_string, [17] = skip_string, [18] = containers, [19] = stream(2), [20] = skip_string, [21] = stream(3),
    [24] = expiring_fields, [25] = expiring_pack,
}

return M
