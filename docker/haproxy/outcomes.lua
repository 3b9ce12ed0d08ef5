-- POST /outcomes goes to every engine, since each stores only its own predictions; their answers become one.
--
-- For each outcome the best answer counts: it is `unknown` only if it is to all. While an engine does not answer, what is
-- unknown to the others may be its own: then the whole is refused with 503, to be sent again. What has been joined by then is
-- answered as a duplicate, so nothing is lost and nothing counts twice.

local BACKEND = "engines"
local TIMEOUT_MS = 30000
local PASSED_ON = {
    "authorization", "x-api-key", "content-type", "content-encoding", "x-request-id", "x-request-timeout-ms", "traceparent", "tracestate",
}
local RESULTS = { "joined", "corrected", "duplicate", "contradicting", "late", "unknown" }
local RANK = { joined = 1, corrected = 2, contradicting = 3, duplicate = 4, late = 5, unknown = 6 }
local PROBLEM = '{"type":"urn:onnward:problem:engine-missing","title":"Service Unavailable","status":503,'
    .. '"detail":"An engine does not answer to which some of these outcomes may belong; send them again soon.'
    .. ' What has been joined is then answered as a duplicate."}'

local function reply(applet, status, content_type, body)
    applet:set_status(status)
    applet:add_header("content-type", content_type)
    applet:add_header("content-length", tostring(#body))
    if status == 503 then
        applet:add_header("retry-after", "1")
    end
    applet:start_response()
    applet:send(body)
end

local function headers_to_pass_on(applet)
    local headers = {}
    for _, name in ipairs(PASSED_ON) do
        local values = applet.headers[name]
        if values then
            headers[name] = { values[0] }
        end
    end
    return headers
end

-- The answers of the engines that gave one, and whether one is missing.
local function ask_all(headers, body)
    local answers, missing = {}, false
    for _, server in pairs(core.backends[BACKEND].servers) do
        local answer
        if server:get_stats()["status"]:match("^UP") then
            local url = "http://" .. server:get_addr() .. "/outcomes"
            answer = core.httpclient():post({ url = url, headers = headers, body = body, timeout = TIMEOUT_MS })
        end
        if answer and answer.status >= 200 and answer.status < 500 and answer.status ~= 429 then
            table.insert(answers, answer)
        else
            missing = true
        end
    end
    return answers, missing
end

-- The result objects of the outcomes. An engine's response has no other objects, and their values have no braces.
local function results_of(body)
    local list = body:match('"results":(%b[])') or body
    local results = {}
    for result in list:gmatch("%b{}") do
        table.insert(results, result)
    end
    return results
end

local function kind(result)
    return result:match('"result":"(%a+)"')
end

local function better(one, other)
    return RANK[kind(one)] < RANK[kind(other)] and one or other
end

local function merged(answers)
    local best = results_of(answers[1].body)
    for i = 2, #answers do
        for j, result in ipairs(results_of(answers[i].body)) do
            best[j] = best[j] and better(best[j], result) or result
        end
    end
    return best
end

local function counts_of(results)
    local counts = {}
    for _, name in ipairs(RESULTS) do
        counts[name] = 0
    end
    for _, result in ipairs(results) do
        counts[kind(result)] = counts[kind(result)] + 1
    end
    return counts
end

local function written(results, counts)
    local parts = {}
    for _, name in ipairs(RESULTS) do
        table.insert(parts, string.format('"%s":%d', name, counts[name]))
    end
    return "{" .. table.concat(parts, ",") .. ',"results":[' .. table.concat(results, ",") .. "]}"
end

local function outcomes(applet)
    local answers, missing = ask_all(headers_to_pass_on(applet), applet:receive())
    for _, answer in ipairs(answers) do
        if answer.status ~= 200 then
            local content_type = answer.headers["content-type"]
            return reply(applet, answer.status, content_type and content_type[0] or "text/plain", answer.body)
        end
    end
    if #answers == 0 then
        return reply(applet, 503, "application/problem+json", PROBLEM)
    end
    local results = merged(answers)
    local counts = counts_of(results)
    if missing and counts.unknown > 0 then
        return reply(applet, 503, "application/problem+json", PROBLEM)
    end
    local several = answers[1].body:find('"results":', 1, true)
    reply(applet, 200, "application/json", several and written(results, counts) or results[1])
end

core.register_service("outcomes", "http", outcomes)
