-- Redis' packed lists of elements: listpacks, and the ziplists before them.
--
-- `first` gives the position of the first element. `next` gives where an element is, how long it is (as text if it is an
-- integer), the position of the next one, and its value if it is an integer; or nil at the end mark.

local format = ...
local damaged, decimal, integer = format.damaged, format.decimal, format.integer

local function take(pos, count, lim)
    if pos + count > lim then damaged("a packed list ends early") end
end

local function listpack_first(_, size)
    if size < 7 then damaged("a listpack is too short") end
    return 6
end

local function listpack_next(q, pos, lim)
    take(pos, 1, lim)
    local first = q[pos]
    local head, size, value = 1, 0, nil
    if first < 0x80 then
        value = first
    elseif first < 0xC0 then
        size = first - 0x80
    elseif first < 0xE0 then
        take(pos, 2, lim)
        head, value = 2, (first - 0xC0) * 256 + q[pos + 1]
        if value >= 4096 then value = value - 8192 end
    elseif first < 0xF0 then
        take(pos, 2, lim)
        head, size = 2, (first - 0xE0) * 256 + q[pos + 1]
    elseif first == 0xF0 then
        take(pos, 5, lim)
        head, size = 5, integer(q, pos + 1, 4)
        if size < 0 then size = size + 4294967296 end
    elseif first <= 0xF4 then
        local width = first == 0xF4 and 8 or first - 0xEF
        take(pos, 1 + width, lim)
        head, value = 1 + width, integer(q, pos + 1, width)
    elseif first == 0xFF then
        if pos + 1 ~= lim then damaged("a listpack ends early") end
        return nil
    else
        damaged("a listpack's element is not known")
    end
    local used = head + size
    local back = used <= 127 and 1 or used < 16383 and 2 or used < 2097151 and 3 or used < 268435455 and 4 or 5
    take(pos, used + back, lim)
    if value == nil then return q + pos + head, size, pos + used + back, nil end
    local where, digits = decimal(value)
    return where, digits, pos + used + back, value
end

local function ziplist_first(_, size)
    if size < 11 then damaged("a ziplist is too short") end
    return 10
end

local function ziplist_next(q, pos, lim)
    take(pos, 1, lim)
    if q[pos] == 0xFF then
        if pos + 1 ~= lim then damaged("a ziplist ends early") end
        return nil
    end
    pos = pos + (q[pos] == 0xFE and 5 or 1)
    take(pos, 1, lim)
    local first = q[pos]
    local head, size, value = 1, 0, nil
    if first < 0x40 then
        size = first
    elseif first < 0x80 then
        take(pos, 2, lim)
        head, size = 2, (first - 0x40) * 256 + q[pos + 1]
    elseif first < 0xC0 then
        take(pos, 5, lim)
        head, size = 5, ((q[pos + 1] * 256 + q[pos + 2]) * 256 + q[pos + 3]) * 256 + q[pos + 4]
    elseif first >= 0xF1 and first <= 0xFD then
        value = first - 0xF1
    else
        local width = first == 0xC0 and 2 or first == 0xD0 and 4 or first == 0xE0 and 8 or first == 0xF0 and 3
            or first == 0xFE and 1 or damaged("a ziplist's element is not known")
        take(pos, 1 + width, lim)
        head, value = 1 + width, integer(q, pos + 1, width)
    end
    take(pos, head + size, lim)
    if value == nil then return q + pos + head, size, pos + head + size, nil end
    local where, digits = decimal(value)
    return where, digits, pos + head, value
end

return {
    listpack = { first = listpack_first, next = listpack_next },
    ziplist = { first = ziplist_first, next = ziplist_next },
}
