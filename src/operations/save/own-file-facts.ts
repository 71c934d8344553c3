import { hostIsBigEndian } from "../../fixedram/byte-order.ts";
import { probeFolder } from "../../qemu/probe.ts";
import type { QemuProcess } from "../../qemu/process.ts";
import { canReach } from "../../qemu/reach.ts";
import type { PlanFacts } from "./plan.ts";

/**
 * Whether QEMU can write the file itself, and what that lies on. The folder is tried with a file of its own, unlinked at once.
 *
 * @param process QEMU; null: not known
 * @param folder the target's
 * @param bigEndianHost as for byte-order.ts's `hostIsBigEndian`
 */
export function ownFileFacts(
  process: QemuProcess | null,
  folder: string,
  bigEndianHost = hostIsBigEndian,
): Pick<PlanFacts, "fileObstacle" | "filesystem"> {
  const { fileSystem, direct } = probeFolder(folder);
  const order = "QEMU on a big-endian host writes bitmaps in an order that only such a host reads";
  return {
    fileObstacle: bigEndianHost ? order : obstacle(process, folder),
    filesystem: { name: fileSystem, directIo: direct.works },
  };
}

/** What a plan is made with where QEMU is not to write a file. */
export const noOwnFile: Pick<PlanFacts, "fileObstacle" | "filesystem"> = {
  fileObstacle: "it was not asked for",
  filesystem: { name: "unknown", directIo: false },
};

function obstacle(process: QemuProcess | null, folder: string): string | null {
  if (process === null)
    return "QEMU's process is not to be seen in /proc, and so not whether it can write to the target's folder";
  const own = globalThis.process.getuid?.();
  if (own !== 0 && process.uid !== own)
    return `QEMU runs as user ${process.uid}, and only root can give it a file to write; run this as that user, or as root`;
  const { answer, why } = canReach(process, folder);
  return answer === "yes" ? null : why;
}
