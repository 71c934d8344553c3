import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { systemError } from "../../errors.ts";
import { stateFolder } from "../../qemu/private-folder.ts";
import { MigrationSettingsSchema } from "../../qmp/migration-settings.ts";

const Process = v.object({ pid: v.number(), startTime: v.number() });

/**
 * Which snapshot a QEMU is being loaded from. It is no state of the migration, which the destination alone knows: it keeps somebody who
 * recovers by hand from giving a guest the pages of another snapshot, and says what to put back. One file a QEMU, removed when all
 * RAM is in.
 */
const Note = v.object({
  version: v.literal(1),
  qemu: Process,
  /** See snapshotKey. */
  snapshot: v.string(),
  path: v.string(),
  settings: MigrationSettingsSchema,
  /** Bytes: of RAM blocks on huge pages. QEMU may not be able to tell when it waits. */
  hostPageSizes: v.array(v.tuple([v.string(), v.number()])),
  /** Whoever supervises it. */
  supervisor: Process,
});
export type LazyNote = v.InferOutput<typeof Note>;

export interface NotedProcess {
  readonly pid: number;
  readonly startTime: number;
}

function notePath({ pid, startTime }: NotedProcess): string {
  return join(stateFolder(), `lazy-${pid}-${startTime}.json`);
}

/** Written beside and renamed: a reader sees a whole note or none. */
export function writeNote(note: Omit<LazyNote, "version">): void {
  const path = notePath(note.qemu);
  const half = `${path}.${process.pid}`;
  try {
    writeFileSync(half, JSON.stringify({ version: 1, ...note }), { mode: 0o600 });
    renameSync(half, path);
  } catch (error) {
    rmSync(half, { force: true });
    throw systemError(error, path, "noting which snapshot the guest is loaded from");
  }
}

/** null: there is none, or it cannot be read. */
export function readNote(qemu: NotedProcess): LazyNote | null {
  try {
    const parsed = v.safeParse(Note, JSON.parse(readFileSync(notePath(qemu), "utf8")));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}

export function removeNote(qemu: NotedProcess): void {
  rmSync(notePath(qemu), { force: true });
}
