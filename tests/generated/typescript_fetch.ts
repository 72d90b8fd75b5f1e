import { ClaimsApi, Configuration, EntitiesApi, EventsApi, ProblemFromJSON, ResponseError, type Problem } from "./generator";

declare const process: { env: Record<string, string>; exitCode: number };

const configuration = new Configuration({
  basePath: process.env["LEDGER_ADDRESS"],
  accessToken: process.env["LEDGER_KEY"],
});

async function read(): Promise<string> {
  const claim = await new ClaimsApi(configuration).getClaim({
    id: "cherif-20210111--parler-offline-when",
    include: "source",
  });
  if (claim.answer?.type !== "time") throw new Error("the answer is no time");
  return `${claim.answer.edtf} is ${claim.answer.bounds.start.earliest} at the earliest`;
}

async function follow(): Promise<number> {
  const page = await new EventsApi(configuration).listEvents({ after: "700", limit: 100 });
  let told = 0;
  for (const item of page.items) {
    if ("state" in item && item.state && "statement" in item.state && item.state.statement) told += 1;
  }
  return told;
}

async function ask(): Promise<void> {
  const bare = await new EventsApi(configuration).listEvents({ limit: 1, state: false });
  const first = bare.items[0];
  if (!first || ("state" in first && first.state)) throw new Error("the state was to be left out");
  const wanted = { id: ["cherif-20210111--parler-offline-when"], live: [true] };
  const claims = await new ClaimsApi(configuration).listClaims(wanted);
  if (claims.items.length !== 1) throw new Error("one live claim was expected");
}

async function record(): Promise<string> {
  const newEntity = { id: "made-by-typescript-fetch", type: "other", name: "Made by a client" } as const;
  const tried = await new EntitiesApi(configuration).recordEntityRaw({ newEntity, dryRun: true });
  if (tried.raw.status !== 200) throw new Error(`200 was expected, not ${tried.raw.status}`);
  const entity = await new EntitiesApi(configuration).recordEntity({ newEntity });
  return entity.id;
}

async function reviseTooLate(id: string): Promise<Problem> {
  try {
    await new EntitiesApi(configuration).reviseEntity({
      id,
      ifMatch: '"1"',
      entityAction: { action: "revise", reason: "A clearer name.", changes: { name: "Renamed" } },
    });
  } catch (error: unknown) {
    if (error instanceof ResponseError && error.response.status === 412) {
      return ProblemFromJSON(await error.response.json());
    }
    throw error;
  }
  throw new Error("412 was expected");
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
