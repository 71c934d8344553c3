import { statSync } from "node:fs";
import { FixedramError } from "../../errors.ts";
import type { RecordedDisk, SnapshotMeta } from "../../fixedram/meta.ts";
import type { Disk, DiskImage } from "../../qemu/disks.ts";
import type { Notice } from "../progress.ts";

/** One disk that is not as it was. */
export interface DiskChange {
  readonly device: string;
  readonly path: string;
  readonly what: string;
}

export interface DiskCheck {
  readonly changed: readonly DiskChange[];
  readonly notices: readonly Notice[];
}

type RecordedImage = Pick<RecordedDisk, "path" | "size" | "mtimeNs">;

/**
 * Compares the disks a destination has opened with those recorded at the save. A guest's file system lives half in its memory
 * and half on its disk: with a disk that went on since, resuming destroys it.
 *
 * A recorded image counts as unchanged when its size and modification time are the same, wherever it stands in the
 * destination's chain: itself, below `-snapshot`, below an overlay, and by whatever name it is called there (a link, a bind mount). A
 * disk that is another file altogether cannot be judged
 * and gives a warning: it may be the copy that was made at the time of the save.
 */
export function checkDisks(meta: SnapshotMeta, disks: readonly Disk[]): DiskCheck {
  const changed: DiskChange[] = [];
  const notices: Notice[] = [];
  for (const recorded of meta.disks) {
    const disk =
      disks.find((each) => each.device === recorded.device) ??
      disks.find((each) => chainOf(each).some((image) => isImage(image, recorded)));
    if (disk === undefined) {
      notices.push(
        warning(`the snapshot's disk ${recorded.device} (${recorded.path}) is not there; QEMU may refuse to load`),
      );
      continue;
    }
    const images: readonly RecordedImage[] = [recorded, ...(recorded.backing ?? [])];
    if (recorded.temporary === true) {
      notices.push(
        warning(`disk ${recorded.device} was on -snapshot: what the guest wrote to it ended with that QEMU`),
      );
    }
    let known = 0;
    for (const image of images) {
      const now = chainOf(disk).find((each) => isImage(each, image));
      if (now === undefined) continue;
      known++;
      if (image.size === null || image.mtimeNs === null || image.mtimeNs === undefined) {
        notices.push(
          warning(
            `of ${image.path} (disk ${recorded.device}) the save could record no size and time; whether it changed was not checked`,
          ),
        );
        continue;
      }
      const what = difference(image, now);
      if (what !== null) changed.push({ device: recorded.device, path: image.path, what });
    }
    if (known === 0) {
      notices.push(
        warning(
          `disk ${recorded.device} is ${disk.path ?? disk.filename}, not ${recorded.path} as recorded; whether it is as of the save was not checked`,
        ),
      );
    }
  }
  return { changed, notices };
}

/** @throws FixedramError `guest.disk-changed` */
export function refuseChanged(changed: readonly DiskChange[], snapshot: string): void {
  const [first] = changed;
  if (first === undefined) return;
  throw new FixedramError(
    "guest.disk-changed",
    "a disk has changed since the snapshot was taken: resuming would destroy the guest's file system",
    {
      path: first.path,
      found: changed.map((each) => `${each.device}: ${each.what}`).join("; "),
      expected: `the disks as ${snapshot} recorded them`,
      hint: "Go back to a copy of the disks from the time of the save (a copy, or the qcow2 file under an overlay made then). To look without writing to them, add -snapshot to QEMU's command and use --force.",
    },
  );
}

function chainOf(disk: Disk): readonly DiskImage[] {
  return [disk, ...disk.backing];
}

/** By its name, or because the recorded name leads to the same file now. */
function isImage({ path, file }: DiskImage, recorded: RecordedImage): boolean {
  if (path === recorded.path) return true;
  if (file === null) return false;
  try {
    const there = statSync(recorded.path, { bigint: true });
    return there.isFile() && String(there.ino) === file.inode && String(there.dev) === file.device;
  } catch {
    return false;
  }
}

function difference(then: RecordedImage, now: DiskImage): string | null {
  if (then.size === null || then.mtimeNs === null || then.mtimeNs === undefined) return null;
  if (now.file === null) return "it cannot be looked at";
  if (now.file.size !== then.size) return `${then.size} bytes then, ${now.file.size} now`;
  if (now.file.mtime === then.mtimeNs) return null;
  return `written to at ${isoTime(now.file.mtime)}, last at ${isoTime(then.mtimeNs)} as of the save`;
}

function isoTime(nanoseconds: string): string {
  return new Date(Number(BigInt(nanoseconds) / 1_000_000n)).toISOString();
}

function warning(message: string): Notice {
  return { level: "warning", code: "disk", message };
}
