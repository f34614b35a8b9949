// Runs calls of the real client, installed in the working directory, and prints what each came to.
// Standard input: [{"options": …, "key": …, "call": "webhook.create", "args": […]}, …]; an argument
// or path may name an earlier result: "$0.id". "raw" calls go through the client's own axios.
"use strict";
const { createRequire } = require("node:module");
const from = createRequire(process.cwd() + "/");
const { createHighway } = from("highway-api");
const axios = createRequire(from.resolve("highway-api"))("axios");

const results = [];
const filled = (value) => {
  if (Array.isArray(value)) return value.map(filled);
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, filled(each)]));
  if (typeof value !== "string") return value;
  if (/^\$\d+$/.test(value)) return results[Number(value.slice(1))].value;
  return value.replace(/\$(\d+)\.(\w+)/g, (_, n, name) => results[Number(n)].value[name]);
};

async function run(step) {
  if (step.raw) return (await axios(filled(step.raw))).data;
  const client = createHighway(step.key, step.options);
  const names = step.call.split(".");
  const owner = names.slice(0, -1).reduce((found, name) => found[name], client);
  return owner[names[names.length - 1]](...filled(step.args));
}

async function main() {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  for (const step of JSON.parse(text)) {
    try {
      results.push({ value: await run(step) });
    } catch (error) {
      const { name, message, messageId, httpsStatus } = error;
      results.push({ error: { name, message, messageId, httpsStatus } });
    }
  }
  process.stdout.write(JSON.stringify(results));
}

main();
