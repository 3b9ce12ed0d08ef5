// Predicts with the client that openapi-typescript generated: node predict.js URL ROWS.json, the rows by model.

import assert from "node:assert/strict";
import fs from "node:fs";

import createClient from "openapi-fetch";

import type { components, paths } from "./api.js";

type Schemas = components["schemas"];

const [url, rowsFile] = process.argv.slice(2) as [string, string];
const client = createClient<paths>({ baseUrl: url });
const rows = JSON.parse(fs.readFileSync(rowsFile, "utf8")) as { churn: Schemas["ChurnRow"]; odd: Schemas["OddRow"] };

function single(answer: Schemas["ChurnAnswer"] | undefined): Schemas["ChurnPrediction"] {
  assert(answer && "probability" in answer, JSON.stringify(answer));
  return answer;
}

const row: Schemas["ChurnRow"] = { ...rows.churn, Contract: "Two year", SeniorCitizen: 1 };
const one = single((await client.POST("/predict", { body: row })).data);
for (const body of [[row, row], { instances: [row, row] }]) {
  const { data } = await client.POST("/models/churn/predict", { body });
  assert(data && "predictions" in data, JSON.stringify(data));
  assert.deepEqual(data.predictions.map((score) => score.probability), [one.probability, one.probability]);
}
const version = await client.POST("/models/churn/versions/{version}/predict", { params: { path: { version: 1 } }, body: row });
assert.equal(single(version.data).probability, one.probability);

const refused = await client.POST("/predict", { body: { ...row, tenure: -1 } });
assert.equal(refused.response.status, 422);
assert.equal(refused.error?.errors?.[0]?.pointer, "/tenure");

const listed = await client.GET("/models");
assert(listed.data?.models.some((model) => model.name === "churn"));
const details = await client.GET("/models/{name}", { params: { path: { name: "churn" } } });
assert.equal(details.data?.serving?.version, 1);

// Names that are no identifiers.
const odd = await client.POST("/models/odd/predict", { body: { ...rows.odd, größe: 0.5, "a/b": 0.5 } });
assert(odd.data && "probability" in odd.data, JSON.stringify(odd.error));
const markup: Schemas["MarkupRow"] = { "a/b": 1, ["__proto__"]: 2, '"><img src=x>': 3 };
const marked = await client.POST("/models/markup/predict", { body: markup });
assert(marked.data && "probability" in marked.data, JSON.stringify(marked.error));
const cases = await client.POST("/models/case/predict", { body: { plan: 1, Plan: 2, PLAN: 3 } });
assert(cases.data && "probability" in cases.data, JSON.stringify(cases.error));
console.log("The client for TypeScript predicts with four models.");
