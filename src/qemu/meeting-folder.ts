import { FixedramError } from "../errors.ts";
import { makePrivateFolder, type PrivateFolder } from "./private-folder.ts";
import type { QemuProcess } from "./process.ts";
import { canReach } from "./reach.ts";

/** Where we and a QEMU meet: a private folder for a socket, given to QEMU's user where we may. */
export interface MeetingFolder {
  readonly folder: PrivateFolder;
  /** Who else may use what lies in it; undefined: nobody, or nobody else has to. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

/**
 * Makes one. Only root can give a folder to another user; anybody else can meet the QEMUs of their own user.
 *
 * @param process QEMU; null: not known, then nothing is checked
 * @param parent where; default as for {@link makePrivateFolder}
 * @param announce hears the path before there is anything at it
 * @throws FixedramError `qemu.cannot-reach`, those of makePrivateFolder; nothing is left behind then
 */
export function makeMeetingFolder(
  process: QemuProcess | null,
  parent: string | undefined,
  announce: (path: string) => void = () => {},
): MeetingFolder {
  const own = globalThis.process.getuid?.();
  const other = process !== null && process.uid !== own ? process : undefined;
  const owner = own === 0 ? other : undefined;
  const folder = makePrivateFolder(parent, owner, announce);
  if (process === null) return { folder, owner };
  const reach = canReach(process, folder.path, owner);
  if (reach.answer !== "no") return { folder, owner };
  folder.remove();
  const ofOther = other !== undefined && own !== 0;
  throw new FixedramError("qemu.cannot-reach", "QEMU cannot reach our migration socket", {
    path: folder.path,
    found: reach.why,
    hint: ofOther
      ? `Run this as the user of QEMU (uid ${other.uid}), or as root.`
      : "Name a folder that both can use with --socket-dir.",
  });
}
