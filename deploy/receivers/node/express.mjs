// A receiver on Express, verifying with the Standard Webhooks library:
// npm install express standardwebhooks
// WEBHOOK_SECRET=whsec_… PORT=8000 node express.mjs
import express from "express";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET); // five minutes of tolerance, several signatures

const seen = new Map(); // in production a table with a unique key, kept for three days and more

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

const app = express();

// Raw, on this path: express.json() before it would leave nothing but a parsed object.
app.post("/webhooks", express.raw({ type: "*/*", limit: "8mb" }), (request, response) => {
  const body = Buffer.isBuffer(request.body) ? request.body.toString() : "";
  let event;
  try {
    event = webhook.verify(body, request.headers);
  } catch (error) {
    return response.status(401).type("text").send(error.message);
  }
  if (isNew(request.headers)) setImmediate(() => handle(event)); // in production: into a queue
  response.status(204).end(); // before the work is done: the sender waits 15 s at most
});

app.listen(Number(process.env.PORT ?? 8000), "127.0.0.1");
