import { printable } from "../../bytes/text.ts";
import { FixedramError } from "../../errors.ts";
import { connectQmp } from "../../qemu/connect.ts";
import { makeMeetingFolder } from "../../qemu/meeting-folder.ts";
import { queryRamblocks } from "../../qemu/memory-map.ts";
import { makePrivateFolder, type PrivateFolder } from "../../qemu/private-folder.ts";
import { findQemu, type QemuProcess } from "../../qemu/process.ts";
import { parseQmpAddress } from "../../qmp/address.ts";
import type { QmpClient } from "../../qmp/client.ts";
import { queryMigrate, queryStatus, toVersion } from "../../qmp/commands.ts";
import { restoreSettings } from "../../qmp/migration-settings.ts";
import type { RecoverOptions, RecoverResult } from "../recover.ts";
import { Reporter } from "../reporter.ts";
import type { Destination } from "../resume/destination.ts";
import { type LazyFile, openLazyFile } from "./file.ts";
import { abortable, afterwards, leftAlone, usualAround } from "./guest.ts";
import { hostPageSize } from "./host-pages.ts";
import { LazyLoad } from "./load.ts";
import { type LazyNote, readNote, removeNote } from "./note.ts";
import { largePages } from "./preflight.ts";
import type { ServeJob, ServeStatus } from "./protocol.ts";
import { usualReadAhead } from "./protocol.ts";

/** Milliseconds that QEMU gets to answer; its main thread may be waiting for a page. */
const ANSWER_TIME = 2000;

/** See recover.ts. */
export async function recoverGuest(options: RecoverOptions): Promise<RecoverResult> {
  const { signal } = options;
  let status: ServeStatus | null = null;
  const reporter = new Reporter(options, () => ({ bytes: status?.bytes ?? 0, total: status?.total ?? 0, round: 0 }));
  reporter.enter("preflight");
  const folder = makePrivateFolder(options.socketDir);
  let file: LazyFile | null = null;
  let sockets: PrivateFolder | null = null;
  let load: LazyLoad | null = null;
  const address = parseQmpAddress(options.qmp);
  const client = await connectQmp(address, { outOfBand: true, ...(signal === undefined ? {} : { signal }) });
  try {
    await requirePaused(client, options.qmp);
    file = await openLazyFile({ ...options, prefetch: "none" }, folder, { guests: 1 });
    const qemu = findQemu(address);
    const note = requireSame(options, file, qemu);
    const job = await jobOf(options, attached(client, qemu), file, note);
    reporter.enter("load");
    sockets = makeMeetingFolder(qemu, options.socketDir).folder;
    load = new LazyLoad(attached(client, qemu), file.keeper, job, sockets, {
      onStatus: (now) => {
        status = now;
        reporter.report();
      },
      onNotice: reporter.notice,
    });
    await abortable(load.recover(), signal);
    const end = await abortable(load.complete(), signal);
    reporter.enter("finish");
    if (note !== null && qemu !== null) {
      await restoreSettings(client, note.settings);
      removeNote(qemu);
    }
    return {
      path: options.file,
      snapshot: file.key,
      qemuVersion: toVersion(client.greeting.version).text,
      runState: (await queryStatus(client)).status,
      times: { total: reporter.elapsed },
      missing: load.missing,
      bytes: end.total,
      faults: { served: end.faults, ignored: end.ignored, latency: end.latency },
      recoveries: end.recoveries,
      notices: reporter.notices,
    };
  } catch (error) {
    if (load !== null && file !== null) await leftAlone(load, file, signal, reporter);
    throw error;
  } finally {
    await file?.close();
    client.close();
    folder.remove();
    sockets?.remove();
  }
}

function attached(client: QmpClient, qemu: QemuProcess | null): Destination {
  return {
    client,
    process: qemu,
    started: null,
    paused: false,
    words: () => "",
    letGo: () => {},
    giveUp: async () => {},
  };
}

async function requirePaused(client: QmpClient, qmp: string): Promise<void> {
  const status = await statusOf(client);
  // One whose main thread waits for a page says nothing: whether it can be recovered is seen when it is tried.
  if (status === "postcopy-paused" || status === null) return;
  throw new FixedramError(
    "qemu.not-paused",
    "there is nothing to recover: this QEMU does not wait for the rest of a guest's memory",
    {
      path: qmp,
      expected: "migration status postcopy-paused",
      found: status,
      hint:
        status === "postcopy-active"
          ? "A page server is at work for it, or it has not yet noticed that one died: try again in a moment."
          : "Only a guest that was resumed with --lazy, and lost its page server, can be recovered.",
    },
  );
}

async function statusOf(client: QmpClient): Promise<string | null> {
  try {
    return (await queryMigrate(client, { timeout: ANSWER_TIME })).status;
  } catch (error) {
    if (error instanceof FixedramError && error.code === "qmp.timeout") return null;
    throw error;
  }
}

/** Pages of another snapshot would destroy the guest. @returns the note of who resumed it, if there is one */
export function requireSame(
  options: Pick<RecoverOptions, "file" | "force">,
  { key }: Pick<LazyFile, "key">,
  qemu: Pick<QemuProcess, "pid" | "startTime"> | null,
): LazyNote | null {
  const note = qemu === null ? null : readNote(qemu);
  if (note !== null && note.snapshot !== key) {
    throw new FixedramError("guest.other-snapshot", "the guest was resumed from another snapshot", {
      path: options.file,
      expected: `${note.snapshot} (${printable(note.path)})`,
      found: key,
      hint: "Give the file that it was resumed from, or a copy of it.",
    });
  }
  if (note === null && options.force !== true) {
    throw new FixedramError("guest.unknown-snapshot", "nothing tells from which snapshot this guest was resumed", {
      path: options.file,
      found: qemu === null ? "QEMU's process cannot be seen" : "no note of a lazy resume by this user",
      hint: "Pages of another snapshot would destroy the guest. If you are sure that this is the one, use --force.",
    });
  }
  return note;
}

async function jobOf(
  options: RecoverOptions,
  destination: Destination,
  { snapshot }: LazyFile,
  note: LazyNote | null,
): Promise<Omit<ServeJob, "mode" | "socket">> {
  const size = hostPageSize();
  return {
    guest: 0,
    readAhead: usualReadAhead,
    hostPageSize: size,
    hostPageSizes: note?.hostPageSizes ?? largePages(snapshot, await queryRamblocks(destination.client), size),
    around: options.around ?? usualAround,
    pushRate: options.pushRate ?? null,
    prefetch: null,
    record: null,
    watch: false,
    shared: false,
    held: false,
    after: note === null ? null : afterwards(destination, note.settings),
  };
}
