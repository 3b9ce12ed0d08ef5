// Sends the plan's requests with undici over its own pool; with --fetch by `fetch`, as browsers have it.

import { Agent, fetch, request } from "undici";

import { inChunks, options, run } from "./plan.mjs";

const dispatcher = new Agent({ headersTimeout: 60_000, bodyTimeout: 60_000 });

const byRequest = async ({ method, url, body, chunked, headers }) => {
  const answer = await request(url, { method, body: chunked ? inChunks(body) : body, headers, dispatcher });
  await answer.body.dump();
  return answer.statusCode;
};

const byFetch = async ({ method, url, body, chunked, headers }) => {
  const sent = chunked ? { body: inChunks(body), duplex: "half" } : { body };
  const answer = await fetch(url, { method, headers, dispatcher, ...sent });
  await answer.arrayBuffer();
  return answer.status;
};

// undici sends a request again only with a RetryAgent.
await run(options.includes("--fetch") ? byFetch : byRequest, () => 0);
await dispatcher.close();
