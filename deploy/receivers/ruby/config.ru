# A receiver on Rack, without other dependencies: gem install rack puma
# WEBHOOK_SECRET=whsec_… (or the public key whpk_…) rackup --port 8000
require "base64"
require "json"
require "openssl"
require "set"

PREFIX, TEXT = ENV.fetch("WEBHOOK_SECRET").split("_", 2)
KEY = Base64.strict_decode64(TEXT)
VERSION = { "whsec" => "v1", "whpk" => "v1a" }.fetch(PREFIX)
TOLERANCE = 300 # seconds
MAX_BODY = 8 << 20
DER = ["302a300506032b6570032100"].pack("H*") # what OpenSSL wants before an ed25519 public key

SEEN = Set.new # in production a table with a unique key, kept for three days and more
LOCK = Mutex.new
WORK = Queue.new # in production a queue or a table that outlives the process

# Says why a request is not to be believed; nil if it is. `body`: the bytes as they came.
def refusal(env, body, now)
  id, timestamp, signatures = %w[ID TIMESTAMP SIGNATURE].map { |name| env["HTTP_WEBHOOK_#{name}"].to_s }
  return "header missing" if [id, timestamp, signatures].any?(&:empty?)
  return "timestamp is not a number" unless timestamp.match?(/\A[0-9]{1,15}\z/)
  return "timestamp too old" if timestamp.to_i < now - TOLERANCE
  return "timestamp ahead" if timestamp.to_i > now + TOLERANCE

  content = "#{id}.#{timestamp}.".b + body.b
  # Several, separated by spaces, while a secret is rotated: one that fits is enough.
  ours = signatures.split.map { |one| one.split(",", 2) }.select { |version, _| version == VERSION }
  ours.map { |_, signature| fits?(content, signature.to_s) }.any? ? nil : "no signature fits"
end

def fits?(content, signature)
  if VERSION == "v1"
    expected = Base64.strict_encode64(OpenSSL::HMAC.digest("SHA256", KEY, content))
    return OpenSSL.secure_compare(expected, signature)
  end
  OpenSSL::PKey.read(DER + KEY).verify(nil, Base64.strict_decode64(signature), content)
rescue ArgumentError, OpenSSL::PKey::PKeyError
  false
end

# Two webhooks with one URL get the same ids; a replay was asked for, so it counts anew.
def new?(env)
  pair = %w[HTTP_WEBHOOK_ID HTTP_PLANNER_WEBHOOK_ID HTTP_PLANNER_REPLAY].map { |name| env[name] }
  LOCK.synchronize do
    SEEN.delete(SEEN.first) if SEEN.size > 100_000
    !SEEN.add?(pair).nil?
  end
end

Thread.new do
  loop do
    event = JSON.parse(WORK.pop)
    puts "#{event["type"]} #{event["id"]}" # here goes what you do with it
    $stdout.flush
  end
end

run(lambda do |env|
  plain = { "content-type" => "text/plain" }
  body = env["rack.input"].read(MAX_BODY + 1).to_s # raw, before any middleware that parses
  return [413, plain, ["body too large"]] if body.bytesize > MAX_BODY

  why = refusal(env, body, Time.now.to_i)
  return [401, plain, [why]] if why

  WORK << body if new?(env)
  [204, {}, []] # before the work is done: the sender waits 15 s at most
end)
