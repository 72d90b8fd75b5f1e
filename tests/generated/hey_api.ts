import { getClaim, listClaims, listEvents, recordEntity, reviseEntity, type Problem } from "./hey";
import { client } from "./hey/client.gen";

declare const process: { env: Record<string, string>; exitCode: number };

client.setConfig({ baseUrl: process.env["LEDGER_ADDRESS"], auth: process.env["LEDGER_KEY"] });

async function read(): Promise<string> {
  const { data } = await getClaim({
    path: { id: "cherif-20210111--parler-offline-when" },
    query: { include: "source" },
    throwOnError: true,
  });
  if (data.answer?.type !== "time") throw new Error("the answer is no time");
  return `${data.answer.edtf} is ${data.answer.bounds.start.earliest} at the earliest`;
}

async function follow(): Promise<number> {
  const { data: page } = await listEvents({ query: { after: "700", limit: 100 }, throwOnError: true });
  let told = 0;
  for (const item of page.items) {
    if ("state" in item && item.state && "statement" in item.state && item.state.statement) told += 1;
  }
  return told;
}

async function ask(): Promise<void> {
  const { data: bare } = await listEvents({ query: { limit: 1, state: false }, throwOnError: true });
  if ("state" in bare.items[0]!) throw new Error("the state was to be left out");
  const query = { id: ["cherif-20210111--parler-offline-when"], live: [true] };
  const { data: claims } = await listClaims({ query, throwOnError: true });
  if (claims.items.length !== 1) throw new Error("one live claim was expected");
}

async function record(): Promise<string> {
  const body = { id: "made-by-hey-api", type: "other", name: "Made by a client" } as const;
  const tried = await recordEntity({ body, query: { dry_run: true }, throwOnError: true });
  if (tried.response.status !== 200) throw new Error(`200 was expected, not ${tried.response.status}`);
  const { data } = await recordEntity({ body, throwOnError: true });
  return data.id;
}

async function reviseTooLate(id: string): Promise<Problem> {
  const { error, response } = await reviseEntity({
    path: { id },
    headers: { "If-Match": '"1"' },
    body: { action: "revise", reason: "A clearer name.", changes: { name: "Renamed" } },
  });
  if (!error || response?.status !== 412) throw new Error("412 was expected");
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
