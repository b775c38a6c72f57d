-- GET requests that rotate through the Authorization values in a file, one per line; a path of its
-- own may follow a value, after a tab.
--
-- wrk ... URL -- FILE OFFSET [CONNECTION]
--
-- CONNECTION is the value of the Connection header; without it, requests have no such header.
-- The requests are built once, so that each costs the client only a lookup. Responses are counted
-- by status. done() prints one line of JSON with a prefix after wrk's own report.

local threads = {}

function setup(thread)
  thread:set("thread_number", #threads)
  table.insert(threads, thread)
end

function init(arguments)
  requests = {}
  for line in io.lines(arguments[1]) do
    local value, path = line:match("^([^\t]*)\t?(.*)$")
    local headers = { ["Authorization"] = value, ["Connection"] = arguments[3] }
    requests[#requests + 1] = wrk.format("GET", path ~= "" and path or nil, headers)
  end
  -- Threads, and the runs of one measurement, start at different positions.
  position = tonumber(arguments[2]) + thread_number * 7919
  statuses = {}
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
end

local function counted()
  local total = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do
      total[status] = (total[status] or 0) + count
    end
  end
  local parts = {}
  for status, count in pairs(total) do
    parts[#parts + 1] = string.format('"%d": %d', status, count)
  end
  return table.concat(parts, ", ")
end

function done(summary, latency)
  local errors = summary.errors
  io.write("RESULT ", string.format(
    '{"requests": %d, "microseconds": %d, "p50": %d, "p90": %d, "p99": %d, "p99_9": %d, ' ..
    '"max": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d, "statuses": {%s}}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency:percentile(99.9), latency.max,
    errors.connect, errors.read, errors.write, errors.timeout, counted()), "\n")
end
