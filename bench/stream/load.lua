-- load.lua - requests for wrk: streaming completions or chats, each with a prompt nobody sent before.
-- Arguments after "--": endpoint (completions|chat), words of the prompt, max_tokens, model, shape (unique|half).
-- Every word is one token of the demo vocabulary. The first eight words are drawn for each request, so no two prompts
-- share a block; the rest is one of sixteen bodies made beforehand, since making it is not what is measured. Shape "half":
-- the first half is the same in all requests, the drawn words follow it.
local list = [[time year people way day man thing woman life child world school state family student group country problem
hand part place case week company system program question work government number night point home water room mother area
money story fact month lot right study book eye job word business issue side kind head house service friend father power
hour game line end member law car city community name president team minute idea body information back parent face level
office door health person art war history party result change morning reason research girl guy moment air teacher force
education foot boy age policy process music market sense nation plan college interest death experience effect use class
control field development role effort rate heart drug show leader light voice wife police mind price report decision son
view relationship town road arm difference value building action season society tax director position player record paper
space ground form event official matter center couple site project activity star table need court oil situation cost
industry figure street image phone data picture practice piece land product doctor wall patient worker news test movie
north love support technology step baby computer type attention film tree source hair look chance course heat rest model
summer energy fish king river stone bird blood ship snow sound spring sun wind winter wood metal glass garden forest
island mountain ocean animal horse dog cat plant flower leaf seed fruit bread milk sugar salt coffee]]
local words = {}
for word in list:gmatch("%a+") do words[#words + 1] = word end

local thread_count = 0
function setup(thread)
  thread_count = thread_count + 1
  thread:set("thread_seed", thread_count)
end

local UNIQUE = 8
local function draw(count)
  local out = {}
  for i = 1, count do out[i] = words[math.random(#words)] end
  return table.concat(out, " ")
end

local headers = {["Content-Type"] = "application/json"}
local path, open, close, heads, tails
function init(args)
  local endpoint, length, max_tokens, model, shape = args[1], tonumber(args[2]), args[3], args[4], args[5]
  math.randomseed(os.time() * 97 + thread_seed + math.floor(os.clock() * 1e6))
  local rest = math.max(length - UNIQUE, 0)
  local before = shape == "half" and math.floor(rest / 2) or 0
  local head = before > 0 and draw(before) .. " " or ""
  heads, tails = head, {}
  for i = 1, 16 do tails[i] = rest > before and " " .. draw(rest - before) or "" end
  local chat = endpoint == "chat"
  path = chat and "/v1/chat/completions" or "/v1/completions"
  open = chat and '"messages":[{"role":"user","content":"' or '"prompt":"'
  close = chat and '"}]}' or '"}'
  open = string.format('{"model":"%s","max_tokens":%s,"min_tokens":%s,"ignore_eos":true,"stream":true,"temperature":0,%s',
    model, max_tokens, max_tokens, open)
end

function request()
  local body = open .. heads .. draw(UNIQUE) .. tails[math.random(#tails)] .. close
  return wrk.format("POST", path, headers, body)
end

-- A status that is not 2xx counts as an error in the summary.

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\nRESULT {"requests":%d,"duration_us":%d,"bytes":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"errors":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
