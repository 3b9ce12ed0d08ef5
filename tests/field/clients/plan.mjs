// What the clients for Node.js share: the plan's requests, and the lines that they print.

import fs from "node:fs";
import { Readable } from "node:stream";

const CHUNK_BYTES = 16 * 1024;

export const options = process.argv.slice(2).filter((word) => word.startsWith("--"));
export const [url, plan, workers] = process.argv.slice(2).filter((word) => !word.startsWith("--"));

const bodies = new Map();

function content(path) {
  if (!bodies.has(path)) bodies.set(path, fs.readFileSync(path));
  return bodies.get(path);
}

function* requestsOf(text) {
  for (const line of text.split("\n").filter(Boolean)) {
    const [number, method, path, framing, body, ...headers] = line.split("\t");
    const pairs = headers.map((header) => [header.slice(0, header.indexOf(": ")), header.slice(header.indexOf(": ") + 2)]);
    yield { number, method, url: url + path, body: content(body), chunked: framing === "chunked", headers: Object.fromEntries(pairs) };
  }
}

// Streams a body, so that its length is not known beforehand.
export function inChunks(body) {
  const starts = Array.from({ length: Math.ceil(body.length / CHUNK_BYTES) }, (_, place) => place * CHUNK_BYTES);
  return Readable.from(starts.map((start) => body.subarray(start, start + CHUNK_BYTES)));
}

// Has so many workers send the requests by `send`, which returns a status, and prints what was seen of each.
export async function run(send, retries) {
  const requests = requestsOf(fs.readFileSync(plan, "utf8"));
  const work = async () => {
    for (const request of requests) {
      try {
        process.stdout.write(`${request.number}\t${await send(request)}\n`);
      } catch (error) {
        const cause = error.cause ?? error;
        process.stdout.write(`${request.number}\t-\t${`${cause.code ?? ""} ${cause.message}`.replace(/\s+/g, " ").slice(0, 300)}\n`);
      }
    }
  };
  await Promise.all(Array.from({ length: Number(workers) }, work));
  process.stdout.write(`retries\t${retries()}\n`);
}
