import { join } from "node:path";
import { type Guest, type GuestOptions, type Qemu, type Status, startGuest, testFolder } from "../harness/index.ts";
import { save } from "./steps.ts";

/** A guest whose QEMU has ended, and the file it is in. */
export interface Saved {
  readonly guest: Guest;
  readonly file: string;
  /** What it said of itself before. */
  readonly before: Status;
}

/** A boot guest, saved and ended. */
export async function saved(one: Qemu, more: Partial<GuestOptions> = {}): Promise<Saved> {
  const guest = await startGuest({ qemu: one, kind: "boot", ...more });
  const before = await guest.ready();
  const file = join(testFolder(), "guest.fram");
  await save(guest, file, "--then", "quit");
  await guest.exited;
  return { guest, file, before };
}
