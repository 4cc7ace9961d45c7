-- One request after another, the users in turn. USERS: a file with one id a line.
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
local bodies, n = {}, 0
for user in io.lines(os.getenv("USERS")) do
  bodies[#bodies + 1] = '{"instances": [{"user_id": "' .. user .. '", "k": 10}]}'
end
request = function()
  n = n % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[n])
end
-- The counts in one line that a program can read; latencies in microseconds.
done = function(summary, latency)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('RESULT {"requests": %d, "seconds": %f, "errors": %d, "p50": %f, "p99": %f}\n', summary.requests,
    summary.duration / 1e6, bad, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
