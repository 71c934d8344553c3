import * as v from "valibot";
import { FixedramError } from "../errors.ts";
import type { ExecuteOptions, QmpClient } from "./client.ts";

/** A count or size; u64 values past 2^53 are rounded, which only counters that mean "no limit" reach. */
export const Count = v.pipe(v.union([v.number(), v.bigint()]), v.transform(Number));

/**
 * Runs a command and checks its answer.
 *
 * Errors: those of QmpClient.execute, and `qmp.unexpected-answer` when the answer has another form than documented.
 */
export async function ask<const S extends v.GenericSchema>(
  client: QmpClient,
  schema: S,
  command: string,
  args?: Readonly<Record<string, unknown>>,
  options: ExecuteOptions = {},
): Promise<v.InferOutput<S>> {
  const answer = await client.execute(command, args, options);
  const result = v.safeParse(schema, answer);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new FixedramError("qmp.unexpected-answer", `the answer to ${command} has another form than documented`, {
    path: client.name,
    expected: `${v.getDotPath(issue) ?? "answer"}: ${issue.message}`,
    found: String(JSON.stringify(answer, (_k, x) => (typeof x === "bigint" ? String(x) : x))).slice(0, 200),
  });
}
