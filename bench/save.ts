/** Saving: `fixedram save` against what people do today, QMP's `migrate` to `exec:cat > FILE` with the guest stopped. */
import { existsSync, watch } from "node:fs";
import { join } from "node:path";
import { cont, setMigrateCapabilities, setMigrateParameters, stop } from "../src/qmp/commands.ts";
import { fixedram, type Usage } from "./fixedram.ts";
import type { BenchGuest } from "./guest.ts";
import type { Sample } from "./measure.ts";

/** Where both sides write. */
export interface Place {
  readonly name: "tmpfs" | "disk";
  readonly folder: string;
}

interface SaveAnswer {
  readonly times: {
    readonly total: number;
    readonly ram: number;
    readonly sync: number;
    readonly guestPause: number | null;
  };
}

/** One save of ours, timed from before the process is made until it has ended. */
export async function save(
  guest: BenchGuest,
  out: string,
  folder: string,
  more: readonly string[] = [],
): Promise<{ readonly wall: number; readonly answer: SaveAnswer; readonly usage: readonly Usage[] }> {
  const began = performance.now();
  const command = fixedram(["save", out, "--qmp", guest.sockets.qmpPath, "--json", "--quiet", ...more], folder);
  const { code } = await command.child.exited;
  const wall = performance.now() - began;
  const text = await command.answer;
  if (code !== 0) throw new Error(`fixedram save ended with ${code}: ${text}`);
  return { wall, answer: JSON.parse(text), usage: command.usage() };
}

/** Once for a guest that the peer saves: no bandwidth limit, and events. */
export async function preparePeer(guest: BenchGuest): Promise<void> {
  await setMigrateCapabilities(guest.qmp, { events: true });
  await setMigrateParameters(guest.qmp, { "max-bandwidth": 0 });
}

/**
 * A stream of a guest that ran until QEMU stopped it: it says "running", so that a QEMU that loads it lets the guest run by
 * itself. After QMP's `stop` it would say "paused".
 */
export async function streamOfRunning(guest: BenchGuest, path: string): Promise<void> {
  await peerSave(guest, `cat > ${path}`, null, false);
}

/**
 * @param done a file that says that the shell has come to its end; null where QEMU's word is enough
 * @param stopped the guest is stopped first, as for a quick save
 */
export async function peerSave(guest: BenchGuest, shell: string, done: string | null, stopped = true): Promise<Sample> {
  const { qmp } = guest;
  const script = done === null ? shell : `${shell} && touch ${done}`;
  const began = performance.now();
  const since = qmp.sequence;
  const written = done === null ? Promise.resolve() : appears(done);
  if (stopped) await stop(qmp);
  await qmp.execute("migrate", { uri: `exec:${script}` });
  const last = await qmp.waitForEvent(
    ({ event, data }) => event === "MIGRATION" && (data.status === "completed" || data.status === "failed"),
    { since },
  );
  if (last.data.status !== "completed") throw new Error("the peer's migration failed");
  await written;
  // QEMU says "completed" a moment before it can go on.
  for (;;) {
    try {
      await cont(qmp);
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  return { wall: performance.now() - began };
}

function appears(path: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(join(path, ".."), () => {
      if (!existsSync(path)) return;
      watcher.close();
      resolve();
    });
  });
}
