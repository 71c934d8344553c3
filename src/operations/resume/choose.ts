/** What every resume, eager or lazy, decides before it loads anything: what was recorded, into which QEMU, and whether its disks fit. */
import { printable } from "../../bytes/text.ts";
import type { Snapshot } from "../../containers/snapshot.ts";
import { FixedramError } from "../../errors.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { optionsOf } from "../../qemu/arguments.ts";
import { queryDisks } from "../../qemu/disks.ts";
import type { MemoryBackend } from "../../qemu/inspect.ts";
import { otherUserOfMemory } from "../../qemu/memory-users.ts";
import type { Notice } from "../progress.ts";
import type { ResumeOptions } from "../resume.ts";
import { checkDisks, refuseChanged } from "./check-disks.ts";
import { attach, type Destination, type DestinationOptions, start } from "./destination.ts";

/** What was recorded with a snapshot; null, and a warning, when its seal does not tell. */
export function recordOf({ seal }: Pick<Snapshot, "seal">, notice: (notice: Notice) => void): SnapshotMeta | null {
  if (seal.state === "sealed") return seal.seal.meta;
  const why = seal.reason === null ? "the file has no seal" : `the seal cannot be used: ${seal.reason.message}`;
  notice({
    level: "warning",
    code: "no-record",
    message: `${why}. Whether the disks are as of the save is not known.`,
  });
  return null;
}

/** @throws FixedramError of attach and start; `usage.no-command`, `usage.recorded-incomplete`, `usage.not-confirmed` */
export async function chooseDestination(
  options: DestinationOptions,
  meta: SnapshotMeta | null,
  notice: (notice: Notice) => void,
): Promise<Destination> {
  const { qmp, command } = options;
  if (qmp !== undefined) return attach(options, qmp);
  if (command !== undefined) return start(options, command, null, notice);
  const recorded = await recordedCommand(options, meta);
  return start(options, recorded.argv, recorded.cwd, notice);
}

/** The recorded command line, when somebody says that it may be run: the file may come from elsewhere. */
export async function recordedCommand(
  options: Pick<ResumeOptions, "runRecorded" | "confirm">,
  meta: SnapshotMeta | null,
): Promise<{ readonly argv: readonly string[]; readonly cwd: string | null }> {
  const recorded = meta?.argv ?? null;
  if (recorded === null) {
    throw new FixedramError(
      "usage.no-command",
      "there is no QEMU to resume in, and the snapshot records no command line",
      {
        hint: "Give QEMU's command line behind --, or --qmp for a QEMU that waits in -incoming defer.",
      },
    );
  }
  const cwd = typeof recorded.cwd === "string" ? recorded.cwd : null;
  if (recorded.redacted || recorded.fileDescriptors.length > 0 || recorded.exact === false) {
    throw new FixedramError("usage.recorded-incomplete", "the recorded command line cannot be run as it stands", {
      found: recorded.redacted
        ? "secrets were left out of it"
        : recorded.exact === false
          ? "an argument is not text"
          : "it names file descriptors of the process that is gone",
      hint: "See it with fixedram info, complete it, and give it behind --.",
    });
  }
  const argv = withoutHold(recorded.arguments);
  const allowed = options.runRecorded === true || (await options.confirm?.(argv)) === true;
  if (!allowed) {
    throw new FixedramError("usage.not-confirmed", "the recorded command line was not run", {
      hint: "Say yes when asked on a terminal, or give --run-recorded, or a command line of your own behind --.",
    });
  }
  return { argv, cwd };
}

/** `-S` held the guest's first start, and whoever gave it let it run then; now it goes on as it was saved. */
function withoutHold([program = "", ...words]: readonly string[]): readonly string[] {
  return [program, ...optionsOf(words).flatMap(({ option, words }) => (option === "S" ? [] : words))];
}

/** @throws FixedramError `usage.conflict` */
export function requireOneWay({ qmp, runRecorded, command }: ResumeOptions): void {
  const ways = [
    ...(qmp === undefined ? [] : ["--qmp"]),
    ...(runRecorded === true ? ["--run-recorded"] : []),
    ...(command === undefined ? [] : ["a QEMU command after --"]),
  ];
  if (ways.length < 2) return;
  throw new FixedramError("usage.conflict", "the guest can go into one QEMU only", {
    found: ways.join(" and "),
    expected: "one of --qmp, --run-recorded and a QEMU command after --",
  });
}

/** Compares a destination's disks with those recorded. @throws FixedramError `guest.disk-changed`, unless `force` */
export async function requireDisks(
  options: Pick<ResumeOptions, "file" | "force">,
  meta: SnapshotMeta,
  { client, process }: Pick<Destination, "client" | "process">,
  notice: (notice: Notice) => void,
): Promise<void> {
  const { changed, notices } = checkDisks(meta, await queryDisks(client, process));
  for (const each of notices) notice(each);
  if (options.force !== true) refuseChanged(changed, options.file);
  for (const { device, path, what } of changed) {
    notice({
      level: "warning",
      code: "disk-changed",
      message: `disk ${device} (${printable(path)}) has changed: ${what}`,
    });
  }
}

/**
 * Looks whether the memory that will be loaded into is another running guest's as well: a file behind `memory-backend-file,share=on`.
 *
 * @throws FixedramError `guest.memory-in-use`, unless `force`
 */
export function requireOwnMemory(
  { force }: Pick<ResumeOptions, "force">,
  backends: readonly MemoryBackend[],
  { process }: Pick<Destination, "process">,
  notice: (notice: Notice) => void,
): void {
  const other = otherUserOfMemory(backends, process);
  if (other === null) return;
  const { backend, path, pid } = other;
  const what = `memory backend ${printable(backend)} lies in a file that QEMU ${pid} has as memory too`;
  if (force === true) {
    notice({ level: "warning", code: "memory-in-use", message: `${what}: ${printable(path)}` });
    return;
  }
  throw new FixedramError("guest.memory-in-use", "another QEMU has its guest's memory in the same file", {
    path,
    found: what,
    expected: "a file of its own, or share=off",
    hint: "Loading would overwrite that guest's memory while it runs: end that QEMU first, or give this one another mem-path. If it is meant to be so, use --force.",
  });
}
