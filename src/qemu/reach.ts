import { readdirSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { QemuProcess } from "./process.ts";

export interface Reach {
  /** `unknown`: /proc does not let us look (QEMU of another user, and we are not root). */
  readonly answer: "yes" | "no" | "unknown";
  /** One sentence: what stands in the way, or what could not be seen; empty for a plain yes. */
  readonly why: string;
}

/**
 * Whether a QEMU process can come to a socket in a folder of ours: the folder must be there in its root and mount namespace,
 * and each folder on the way must let its user through. Modes and owners are looked at; access control lists, SELinux and
 * AppArmor are not.
 *
 * @param process QEMU
 * @param folder an existing folder
 * @param owner who will own the folder and the socket in it when that is not who owns the folder now (0700 given away)
 */
export function canReach(
  process: Pick<QemuProcess, "pid" | "uid" | "gid" | "groups" | "ignoresModes">,
  folder: string,
  owner?: { readonly uid: number },
): Reach {
  let path: string;
  try {
    path = realpathSync(folder);
  } catch {
    return { answer: "no", why: `${folder} does not exist` };
  }
  const there = seenBy(process.pid, path);
  if (there !== null) return there;
  for (let at = path; ; at = dirname(at)) {
    const stat = statSync(at);
    const given = at === path && owner?.uid === process.uid;
    if (!given && !maySearch(process, stat)) {
      return {
        answer: "no",
        why: `QEMU runs as user ${process.uid} and may not enter ${at} (owner ${stat.uid}, mode ${modeText(stat.mode)})`,
      };
    }
    if (at === "/") return { answer: "yes", why: "" };
  }
}

/** Null when the process sees the same folder under the same path. */
function seenBy(pid: number, path: string): Reach | null {
  try {
    readdirSync(`/proc/${pid}/root`);
  } catch {
    return { answer: "unknown", why: `the root folder of process ${pid} may not be looked at` };
  }
  const here = statSync(path, { bigint: true });
  try {
    const there = statSync(join(`/proc/${pid}/root`, path), { bigint: true });
    if (there.dev === here.dev && there.ino === here.ino) return null;
  } catch {
    // Said below.
  }
  return { answer: "no", why: `QEMU has another root folder or mount namespace, and its ${path} is not this one` };
}

function maySearch(
  process: Pick<QemuProcess, "uid" | "gid" | "groups" | "ignoresModes">,
  stat: { readonly uid: number; readonly gid: number; readonly mode: number },
): boolean {
  if (process.ignoresModes) return true;
  const mine = stat.uid === process.uid;
  const group = stat.gid === process.gid || process.groups.includes(stat.gid);
  const bit = mine ? 0o100 : group ? 0o010 : 0o001;
  return (stat.mode & bit) !== 0;
}

function modeText(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
