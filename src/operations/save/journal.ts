import { createHash } from "node:crypto";
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import * as v from "valibot";
import { systemError } from "../../errors.ts";
import { stateFolder } from "../../qemu/private-folder.ts";
import { startTimeOf } from "../../qemu/process.ts";
import { MigrationSettingsSchema } from "../../qmp/migration-settings.ts";

/**
 * What a save changes about a QEMU, noted before it changes anything, so that somebody else can put it back: the guard process
 * when the saver dies, the next save when both died. One file a QMP socket, removed when all is as it was.
 */
const Journal = v.object({
  version: v.literal(1),
  /** The saver: pid and start time (clock ticks since boot), so that a pid used again is not taken for it. */
  saver: v.object({ pid: v.number(), startTime: v.number() }),
  guardPid: v.nullable(v.number()),
  qmp: v.string(),
  /** QEMU's process, when /proc shows it: settings of another QEMU behind the same socket path are none of ours. */
  qemu: v.nullable(v.object({ pid: v.number(), startTime: v.number() })),
  /** Run state before the save. */
  runState: v.string(),
  settings: MigrationSettingsSchema,
  /** Ours to remove: the half-made file and the socket folder. */
  partial: v.nullable(v.string()),
  folder: v.nullable(v.string()),
  /** This QEMU freezes its guest when the migration is cancelled or its connection breaks (docs/decisions/0004). */
  breakFreezes: v.optional(v.boolean(), false),
  /** QEMU may be silent for longer than a minute, for it writes its file itself: as long as it lives, its guard goes on trying. */
  patient: v.optional(v.boolean(), false),
  /** This QEMU may crash when its migration is cancelled: it is brought to its end instead (docs/decisions/0011). */
  cancelCrashes: v.optional(v.boolean(), false),
  /** The saver lives, but has given up on putting things back. */
  abandoned: v.optional(v.boolean(), false),
});
export type Journal = v.InferOutput<typeof Journal>;
/** What a save begins its note with. */
export type JournalEntry = Omit<Journal, "guardPid" | "breakFreezes" | "patient" | "cancelCrashes" | "abandoned"> & {
  readonly breakFreezes?: boolean;
  readonly patient?: boolean;
  readonly cancelCrashes?: boolean;
};

/** Path of the note for a QMP socket: the same one from whatever folder the socket is named. */
export function journalPath(qmp: string): string {
  const name = qmp.startsWith("unix:") ? `unix:${resolve(qmp.slice("unix:".length))}` : qmp;
  const key = createHash("sha256").update(name).digest("hex").slice(0, 24);
  return join(stateFolder(), `save-${key}.json`);
}

/** Written beside and renamed: a reader sees a whole note or none. */
export function writeJournal(path: string, journal: Journal): void {
  const half = `${path}.${process.pid}`;
  try {
    writeFileSync(half, JSON.stringify(journal), { mode: 0o600 });
    renameSync(half, path);
  } catch (error) {
    rmSync(half, { force: true });
    throw systemError(error, path, "noting what the save will change");
  }
}

/** null: there is none, or it cannot be read (nothing can be put back from it then). */
export function readJournal(path: string): Journal | null {
  try {
    const parsed = v.safeParse(Journal, JSON.parse(readFileSync(path, "utf8")));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}

export function removeJournal(path: string): void {
  rmSync(path, { force: true });
}

/** Removes what a saver left that was killed while it wrote its note. */
export function removeHalfWritten(path: string): void {
  const halves = readdirSync(dirname(path)).filter((name) => name.startsWith(`${basename(path)}.`));
  for (const name of halves) rmSync(join(dirname(path), name), { force: true });
}

/** Whether that very process still runs. */
export function isAlive(process: { readonly pid: number; readonly startTime: number }): boolean {
  return startTimeOf(process.pid) === process.startTime;
}

/** Every note in the state folder, for `doctor`. */
export function journals(): readonly string[] {
  const folder = stateFolder();
  return readdirSync(folder)
    .filter((name) => /^save-[0-9a-f]{24}\.json$/.test(name))
    .map((name) => join(folder, name));
}
