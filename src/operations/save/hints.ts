import { FixedramError } from "../../errors.ts";
import type { QmpClient } from "../../qmp/client.ts";
import type { Journal } from "./journal.ts";

/** What became of the guest, where QEMU still answers: its state and its settings were put back just now. */
export function asBefore(client: QmpClient, { runState }: Pick<Journal, "runState">): string[] {
  if (client.closed) return [];
  return [runState === "running" ? "The guest runs on as before." : "The guest is as it was before."];
}

/** The same error with more that the user can do, or should know. */
export function withHint(error: FixedramError, more: readonly string[]): FixedramError {
  if (more.length === 0) return error;
  const hint = [error.details.hint, ...more].filter((text) => text !== undefined).join(" ");
  return new FixedramError(error.code, error.message, { ...error.details, hint }, { cause: error });
}
