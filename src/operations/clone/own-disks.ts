import { FixedramError } from "../../errors.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { mentions } from "../../qemu/disk-arguments.ts";
import type { Disk } from "../../qemu/disks.ts";

/**
 * Looks at the disks that a clone's QEMU has opened, before its guest runs: what it will write to must be its own. Two guests that
 * write to one image destroy it, and one that writes to the recorded image destroys the snapshot with it.
 *
 * @param others command lines of the other clones
 * @throws FixedramError `guest.disk-shared`
 */
export function requireOwnDisks(
  disks: readonly Disk[],
  meta: SnapshotMeta | null,
  others: readonly (readonly string[])[],
) {
  const recorded = (meta?.disks ?? []).flatMap((disk) => [disk, ...(disk.backing ?? [])]);
  for (const { device, path, file, filename, readOnly, temporary } of disks) {
    if (readOnly || temporary) continue;
    const name = path ?? filename;
    const original = recorded.some((image) => image.path === name || sameFile(image.inode, image.size, file));
    if (!original && !others.some((argv) => argv.some((word) => mentions(word, name)))) continue;
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
