import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

declare const process: { env: Record<string, string>; exitCode: number };

type Problem = components["schemas"]["Problem"];

const client = createClient<paths, "application/json" | "application/problem+json">({
  baseUrl: process.env["LEDGER_ADDRESS"],
  headers: { Authorization: `Bearer ${process.env["LEDGER_KEY"]}` },
});

function refused(problem: Problem): Error {
  return new Error(`${problem.status} ${problem.detail}`);
}

async function read(): Promise<string> {
  const { data, error } = await client.GET("/v1/claims/{id}", {
    params: { path: { id: "cherif-20210111--parler-offline-when" }, query: { include: "source" } },
  });
  if (error) throw refused(error);
  if (data.answer?.type !== "time") throw new Error("the answer is no time");
  return `${data.answer.edtf} is ${data.answer.bounds.start.earliest} at the earliest`;
}

async function follow(): Promise<number> {
  const { data, error } = await client.GET("/v1/events", { params: { query: { after: "700", limit: 100 } } });
  if (error) throw refused(error);
  const page = data;
  let told = 0;
  for (const item of page.items) {
    if ("state" in item && item.state && "statement" in item.state && item.state.statement) told += 1;
  }
  return told;
}

async function ask(): Promise<void> {
  const { data: bare } = await client.GET("/v1/events", { params: { query: { limit: 1, state: false } } });
  if (!bare || "state" in bare.items[0]!) throw new Error("the state was to be left out");
  const query = { id: ["cherif-20210111--parler-offline-when"], live: [true] };
  const { data: claims } = await client.GET("/v1/claims", { params: { query } });
  if (claims?.items.length !== 1) throw new Error("one live claim was expected");
}

async function record(): Promise<string> {
  const body = { id: "made-by-openapi-fetch", type: "other", name: "Made by a client" } as const;
  const tried = await client.POST("/v1/entities", { params: { query: { dry_run: true } }, body });
  if (tried.response.status !== 200) throw new Error(`200 was expected, not ${tried.response.status}`);
  const { data, error } = await client.POST("/v1/entities", { body });
  if (error) throw refused(error);
  return data.id;
}

async function reviseTooLate(id: string): Promise<Problem> {
  const { error, response } = await client.POST("/v1/entities/{id}/revisions", {
    params: { path: { id }, header: { "If-Match": '"1"' } },
    body: { action: "revise", reason: "A clearer name.", changes: { name: "Renamed" } },
  });
  if (!error || response.status !== 412) throw new Error(`412 was expected, not ${response.status}`);
  return error;
}

async function main(): Promise<void> {
  const found = await read();
  const told = await follow();
  await ask();
  const id = await record();
  const problem = await reviseTooLate(id);
  if (problem.current?.kind !== "entity") throw new Error("the problem does not show the entity");
  console.log(`read (${found}; ${told} of 100 events tell of claims), recorded ${id}, ${problem.status} ${problem.type} (now ${problem.current.type})`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
