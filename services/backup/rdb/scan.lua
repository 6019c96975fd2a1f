-- Going through records: sorting a stream by prefix, and counting and hashing what a frame holds.

local format, siphash, digest = ...
local ffi = require("ffi")
local read_string, skip_string, skip = format.read_string, format.skip_string, format.skip
local length, unsupported, damaged = format.length, format.unsupported, format.damaged
local int64 = format.int64

local OP_SLOT_INFO, OP_FUNCTION, OP_MODULE_AUX, OP_IDLE, OP_FREQ = 0xF4, 0xF5, 0xF7, 0xF8, 0xF9
local OP_AUX, OP_RESIZE_DB, OP_EXPIRE_MS, OP_EXPIRE_S, OP_SELECT_DB, OP_EOF = 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF
local LOWEST_OPCODE = 0xF3
local NEVER = -9223372036854775807LL - 1

-- As services/backup/rdb/engine.py has it.
ffi.cdef([[
    typedef struct {
        uint64_t keys, bytes, expiring;
        int64_t first_expiry, last_expiry;
        uint64_t digest[2];
        uint64_t types[256];
    } harness_tally;
]])
local tally_pointer = ffi.typeof("harness_tally *")
local bytes_pointer = ffi.typeof("const uint8_t *")

local function starts_with(q, size, prefix, prefix_size)
    if size < prefix_size then return false end
    for i = 0, prefix_size - 1 do
        if q[i] ~= prefix[i] then return false end
    end
    return true
end

-- Count a record of `size` bytes, whose value is in [pos, lim). `expiry` is NEVER if there is none.
local function count(tally, key, key_size, kind, expiry, size, p, pos, lim)
    tally.keys = tally.keys + 1
    tally.bytes = tally.bytes + size
    tally.types[kind] = tally.types[kind] + 1
    if expiry ~= NEVER then
        if tally.expiring == 0 or expiry < tally.first_expiry then tally.first_expiry = expiry end
        if tally.expiring == 0 or expiry > tally.last_expiry then tally.last_expiry = expiry end
        tally.expiring = tally.expiring + 1
    end
    digest.record(key, key_size, expiry == NEVER and -1LL or expiry, kind, p, pos, lim)
    siphash.add(tally.digest)
end

local function skipper(kind)
    return skip[kind] or unsupported(string.format("value type %d is not known (a module's, or a newer server's)", kind))
end

-- What a failed call says: "short", "damaged" or "unsupported", and the rest in words.
local function outcome(problem)
    if type(problem) ~= "string" then error(problem, 0) end
    local kind, words = string.match(problem, "^(%l+):(.*)$")
    if kind == "damaged" or kind == "unsupported" then return kind, words end
    if problem == "short" then return "short", "" end
    error(problem, 0)
end

-- Sorting a stream

-- `prefixes` is a list of { prefix, staging }, places are counted from 1. `on_event` is called with what is found beside
-- records: ("aux", name, value), ("function", code, item), ("module_aux", "", ""), ("staged", key, "").
local function sorter(database, frame_bytes, prefixes, on_event)
    local self = { pos = 0, db = 0, expiry = NEVER, others = 0 }
    local places = {}
    for i, pair in ipairs(prefixes) do
        places[i] = {
            prefix = pair[1], staging = pair[2], prefix_at = ffi.cast(bytes_pointer, pair[1]), prefix_size = #pair[1],
            staging_at = ffi.cast(bytes_pointer, pair[2]), staging_size = #pair[2], used = 0, count = 0, room = 0,
        }
    end

    function self.give(place, address, room, tally)
        local to = places[place]
        to.out, to.room, to.used, to.count = ffi.cast("uint8_t *", address), room, 0, 0
        to.tally = ffi.cast(tally_pointer, tally)
    end

    function self.held(place) return places[place].used, places[place].count end

    local function record(p, start, kind, lim)
        local value_at = skip_string(p, start + 1, lim)
        local after = skipper(kind)(p, value_at, lim)
        local key, key_size = read_string(p, start + 1, lim)
        local to, number = nil, 0
        if self.db == database then
            for i = 1, #places do
                local place = places[i]
                if starts_with(key, key_size, place.prefix_at, place.prefix_size) then
                    to, number = place, i
                    break
                end
            end
        end
        if to == nil then
            self.others = self.others + 1
        elseif starts_with(key, key_size, to.staging_at, to.staging_size) then
            on_event("staged", ffi.string(key, key_size), "")
        else
            local expiry = self.expiry
            local head = expiry == NEVER and 0 or 9
            local size = head + after - start
            if to.used + size > to.room then
                if to.used > 0 then return nil, "flush", number, 0 end
                return nil, "grow", number, size
            end
            local out = to.out + to.used
            if head > 0 then
                out[0] = OP_EXPIRE_MS
                ffi.cast("int64_t *", out + 1)[0] = expiry
            end
            ffi.copy(out + head, p + start, after - start)
            count(to.tally, key, key_size, kind, expiry, size, p, value_at, after)
            to.used, to.count = to.used + size, to.count + 1
            if to.used >= frame_bytes then
                self.pos, self.expiry = after, NEVER
                return nil, "flush", number, 0
            end
        end
        self.expiry = NEVER
        return after
    end

    local function aux(p, pos, lim)
        local q, size, after = read_string(p, pos, lim)
        local field = ffi.string(q, size)
        q, size, after = read_string(p, after, lim)
        on_event("aux", field, ffi.string(q, size))
        return after
    end

    local function other(p, pos, opcode, lim)
        if opcode == OP_EXPIRE_MS then
            if pos + 9 > lim then error("short", 0) end
            self.expiry = ffi.cast("const int64_t *", p + pos + 1)[0]
            return pos + 9
        elseif opcode == OP_EXPIRE_S then
            if pos + 5 > lim then error("short", 0) end
            self.expiry = int64(ffi.cast("const int32_t *", p + pos + 1)[0]) * 1000
            return pos + 5
        elseif opcode == OP_SELECT_DB then
            local db, after = length(p, pos + 1, lim)
            self.db = db
            return after
        elseif opcode == OP_AUX then
            return aux(p, pos + 1, lim)
        elseif opcode == OP_FREQ then
            if pos + 2 > lim then error("short", 0) end
            return pos + 2
        elseif opcode == OP_IDLE then
            return format.skip_numbers(p, pos + 1, lim, 1)
        elseif opcode == OP_RESIZE_DB then
            return format.skip_numbers(p, pos + 1, lim, 2)
        elseif opcode == OP_SLOT_INFO then
            return format.skip_numbers(p, pos + 1, lim, 3)
        elseif opcode == OP_FUNCTION then
            local q, size, after = read_string(p, pos + 1, lim)
            on_event("function", ffi.string(q, size), ffi.string(p + pos, after - pos))
            return after
        elseif opcode == OP_MODULE_AUX then
            local after = format.skip_module_aux(p, pos + 1, lim)
            on_event("module_aux", "", "")
            return after
        end
        unsupported(string.format("opcode 0x%02x is not known (a newer server)", opcode))
    end

    local function run(p, lim)
        while true do
            local pos = self.pos
            if pos >= lim then return "short", 0, 0 end
            local kind = p[pos]
            if kind < LOWEST_OPCODE then
                local after, status, place, size = record(p, pos, kind, lim)
                if after == nil then return status, place, size end
                self.pos = after
            elseif kind == OP_EOF then
                self.pos = pos + 1
                return "end", 0, 0
            else
                self.pos = other(p, pos, kind, lim)
            end
        end
    end

    -- Go on in the `size` bytes at `address`. Returns what is needed next ("short": more input; "flush" and "grow": of
    -- a place; "end": behind the end mark; "damaged", "unsupported"), the place, a size or words, and how many bytes of
    -- the input are done with.
    function self.feed(address, size)
        self.pos = 0
        local whole, status, place, more = pcall(run, ffi.cast(bytes_pointer, address), size)
        if not whole then
            status, more = outcome(status)
            place = 0
        end
        return status, place, more, self.pos
    end

    function self.state() return self.others end

    return self
end

-- Frames

local function tally_frame(p, lim, prefix, prefix_size, shift, tally)
    local pos = 0
    while pos < lim do
        local start, expiry = pos, NEVER
        if p[pos] == OP_EXPIRE_MS then
            if pos + 10 > lim then error("short", 0) end
            local at = ffi.cast("int64_t *", p + pos + 1)
            if shift ~= 0 then at[0] = at[0] + shift end
            expiry = at[0]
            pos = pos + 9
        end
        local kind = p[pos]
        local value_at = skip_string(p, pos + 1, lim)
        local after = skipper(kind)(p, value_at, lim)
        local key, key_size = read_string(p, pos + 1, lim)
        if not starts_with(key, key_size, prefix, prefix_size) then damaged("there is a key of another prefix") end
        count(tally, key, key_size, kind, expiry, after - start, p, value_at, after)
        pos = after
    end
    return "end", ""
end

-- Count and hash the records in a frame, and move their expiries by `shift` milliseconds in place.
local function tally(address, size, prefix, shift, into)
    local whole, status, words = pcall(
        tally_frame, ffi.cast("uint8_t *", address), size, ffi.cast(bytes_pointer, prefix), #prefix, int64(shift),
        ffi.cast(tally_pointer, into))
    if not whole then return outcome(status) end
    return status, words
end

local function index_frame(p, pos, lim, rows, most)
    local n = 0
    while pos < lim and n < most do
        local row = rows + n * 4
        row[0] = pos
        if p[pos] == OP_EXPIRE_MS then
            if pos + 10 > lim then error("short", 0) end
            pos = pos + 9
        end
        row[1] = pos
        local value_at = skip_string(p, pos + 1, lim)
        row[2] = value_at
        pos = skipper(p[pos])(p, value_at, lim)
        row[3] = pos
        n = n + 1
    end
    return "end", "", n, pos
end

-- Where the records are from `pos` on, at most `most`: four numbers each (start, type byte, value, end).
local function index(address, pos, size, rows, most)
    local whole, status, words, n, after = pcall(
        index_frame, ffi.cast(bytes_pointer, address), pos, size, ffi.cast("int64_t *", rows), most)
    if not whole then
        status, words = outcome(status)
        return status, words, 0, pos
    end
    return status, words, n, after
end

return { sorter = sorter, tally = tally, index = index }
