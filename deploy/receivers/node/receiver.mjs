// A receiver without dependencies, Node.js 18 or newer:
// WEBHOOK_SECRET=whsec_… (or the public key whpk_…) PORT=8000 node receiver.mjs
import { createHmac, createPublicKey, timingSafeEqual, verify } from "node:crypto";
import { createServer } from "node:http";

const [prefix, text] = process.env.WEBHOOK_SECRET.split("_");
const key = Buffer.from(text, "base64");
const version = { whsec: "v1", whpk: "v1a" }[prefix];
const TOLERANCE = 300; // seconds
const MAX_BODY = 8 << 20;

const seen = new Map(); // in production a table with a unique key, kept for three days and more

/** Says why a request is not to be believed; undefined if it is. `body`: the bytes as they came. */
function refusal(headers, body, now) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures } = headers;
  if (!id || !timestamp || !signatures) return "header missing";
  if (!/^[0-9]{1,15}$/.test(timestamp)) return "timestamp is not a number";
  if (Number(timestamp) < now - TOLERANCE) return "timestamp too old";
  if (Number(timestamp) > now + TOLERANCE) return "timestamp ahead";
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  // Several, separated by spaces, while a secret is rotated: one that fits is enough.
  const ours = signatures.split(" ").filter((one) => one.startsWith(`${version},`));
  const found = ours.map((one) => fits(content, Buffer.from(one.slice(version.length + 1), "base64")));
  return found.includes(true) ? undefined : "no signature fits";
}

function fits(content, signature) {
  if (version === "v1a") {
    const jwk = { kty: "OKP", crv: "Ed25519", x: key.toString("base64url") };
    return verify(null, content, createPublicKey({ key: jwk, format: "jwk" }), signature);
  }
  const expected = createHmac("sha256", key).update(content).digest();
  return signature.length === expected.length && timingSafeEqual(signature, expected);
}

/** Two webhooks with one URL get the same ids; a replay was asked for, so it counts anew. */
function isNew(headers) {
  const pair = JSON.stringify([headers["webhook-id"], headers["planner-webhook-id"], headers["planner-replay"]]);
  if (seen.has(pair)) return false;
  seen.set(pair, Date.now());
  if (seen.size > 100_000) seen.delete(seen.keys().next().value);
  return true;
}

function handle(event) {
  console.log(event.type, event.id); // here goes what you do with it
}

createServer((request, response) => {
  const chunks = [];
  let size = 0;
  request.on("data", (chunk) => {
    size += chunk.length;
    if (size <= MAX_BODY) chunks.push(chunk);
  });
  request.on("end", () => {
    if (size > MAX_BODY) return response.writeHead(413).end("body too large");
    const body = Buffer.concat(chunks); // bytes: parsing and stringifying gives others
    const why = refusal(request.headers, body, Date.now() / 1000);
    if (why) return response.writeHead(401).end(why);
    if (isNew(request.headers)) setImmediate(() => handle(JSON.parse(body))); // in production: into a queue
    response.writeHead(204).end(); // before the work is done: the sender waits 15 s at most
  });
}).listen(Number(process.env.PORT ?? 8000), "127.0.0.1");
