import { FixedramError } from "../../errors.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { mentions } from "../../qemu/disk-arguments.ts";
import type { Disk } from "../../qemu/disks.ts";
import { sharedDisk, sharedMemory } from "../../qemu/shared-arguments.ts";

/**
 * Looks at the command before anything is started: what each clone writes to must be its own, wherever it lies. Several that write to one
 * image, or load their memory into one file, destroy each other.
 *
 * @param argv with `{n}` in it
 * @param numbered that with the number of one clone, `replaced` with its overlays as well
 * @throws FixedramError `guest.disk-shared`, `guest.memory-shared`
 */
export function requireOwnCommand(
  argv: readonly string[],
  numbered: readonly string[],
  replaced: readonly string[],
  cwd: string,
): void {
  const disk = sharedDisk(argv, numbered, replaced, cwd);
  if (disk !== null) {
    throw new FixedramError("guest.disk-shared", "the clones would all write to one disk", {
      expected: "an overlay in its place (for a local file that the snapshot recorded), or a disk of its own for each",
      found: disk,
      hint: "Give each clone its own with {n} in the image's name, or say readonly=on (read-only=on in -blockdev), or snapshot=on.",
    });
  }
  const memory = sharedMemory(argv, cwd);
  if (memory === null) return;
  throw new FixedramError("guest.memory-shared", "the clones would all have their memory in one file", {
    expected: "mem-path with {n} in it, or a folder",
    found: memory,
    hint: "Put {n} into mem-path, name a folder, or use memory-backend-memfd.",
  });
}

/** Which disks are whose: no two clones may have opened one. */
export class DiskOwners {
  readonly #owners = new Map<string, number>();

  /** @returns whether nobody else has claimed it */
  claim({ file, filename, protocol }: Pick<Disk, "file" | "filename" | "protocol">, clone: number): boolean {
    if (protocol === "null-co" || protocol === "null-aio") return true;
    const key = file === null ? filename : `${file.device}:${file.inode}`;
    const owner = this.#owners.get(key) ?? clone;
    this.#owners.set(key, owner);
    return owner === clone;
  }
}

/**
 * Looks at the disks that a clone's QEMU has opened, before its guest runs: what it will write to must be its own. Two guests that
 * write to one image destroy it, and one that writes to the recorded image destroys the snapshot with it.
 *
 * @param others command lines of the other clones
 * @param claim of a disk for this clone; false: another one has it
 * @throws FixedramError `guest.disk-shared`
 */
export function requireOwnDisks(
  disks: readonly Disk[],
  meta: SnapshotMeta | null,
  others: readonly (readonly string[])[],
  claim: (disk: Disk) => boolean,
): void {
  const recorded = (meta?.disks ?? []).flatMap((disk) => [disk, ...(disk.backing ?? [])]);
  for (const disk of disks) {
    const { device, path, file, filename, readOnly, temporary } = disk;
    if (readOnly || temporary) continue;
    const name = path ?? filename;
    const original = recorded.some((image) => image.path === name || sameFile(image.inode, image.size, file));
    const another = !claim(disk) || others.some((argv) => argv.some((word) => mentions(word, name)));
    if (!original && !another) continue;
    throw new FixedramError("guest.disk-shared", "a clone would write to a disk that is not its own", {
      path: name,
      found: original
        ? `disk ${device} is the one that the snapshot belongs to`
        : `disk ${device} is that of another clone too`,
      hint: "Name it in the command as the snapshot recorded it (fixedram info), so that it is replaced by an overlay; or give each clone its own with {n}.",
    });
  }
}

function sameFile(inode: string | null, size: number | null, file: Disk["file"]): boolean {
  return file !== null && inode === file.inode && size === file.size;
}
