/** Mapped-ram files as QEMU itself writes them. */
import { expect } from "vitest";
import type { Guest } from "../harness/index.ts";
import { untilState } from "./steps.ts";

export interface MappedWish {
  readonly capabilities?: readonly string[];
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** Bytes before the stream. */
  readonly offset?: number;
  /** Let the guest run until it has gone over its memory so many times. */
  readonly rounds?: number;
  readonly stop?: boolean;
}

/** Has QEMU save by itself, and ends it. */
export async function writeMapped(guest: Guest, file: string, wish: MappedWish = {}): Promise<void> {
  const { capabilities = [], parameters = {}, offset, rounds, stop = false } = wish;
  const qmp = await guest.qmp();
  const all = ["mapped-ram", "events", ...capabilities].map((capability) => ({ capability, state: true }));
  await qmp.execute("migrate-set-capabilities", { capabilities: all });
  const pace = rounds === undefined ? { "max-bandwidth": 2 ** 40 } : { "max-bandwidth": 2 ** 26, "downtime-limit": 20 };
  await qmp.execute("migrate-set-parameters", { ...pace, ...parameters });
  if (stop) await qmp.execute("stop");
  const since = qmp.sequence;
  await qmp.execute("migrate", { uri: `file:${file}${offset === undefined ? "" : `,offset=${offset}`}` });
  if (rounds !== undefined) {
    await qmp.waitForEvent(({ event, data }) => event === "MIGRATION_PASS" && data["pass"] === rounds, {
      since,
      timeout: 60_000,
    });
    await qmp.execute("migrate-set-parameters", { "downtime-limit": 100_000, "max-bandwidth": 2 ** 40 });
  }
  const ends = ["completed", "failed", "cancelled"];
  const last = await qmp.waitForEvent(
    ({ event, data }) => event === "MIGRATION" && ends.includes(String(data["status"])),
    { since, timeout: 60_000 },
  );
  expect(last.data["status"], guest.output()).toBe("completed");
  await untilState(qmp, (state) => state !== "finish-migrate");
  await guest.kill();
}
