/** Who else has a guest's memory in the same file: what one QEMU loads there, the other's guest finds in its memory. */
import { readdirSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import type { MemoryBackend } from "./inspect.ts";
import { describeProcess, looksLikeQemu, parentOf, type QemuProcess } from "./process.ts";
import { processIds } from "./sockets.ts";

/** A file that two QEMUs have as memory. */
export interface SharedMemoryFile {
  readonly backend: string;
  /** As the backend names it. */
  readonly path: string;
  /** The other QEMU. */
  readonly pid: number;
}

/**
 * Finds the first file behind a shared `memory-backend-file` that another QEMU has open too. Only QEMUs count: vhost-user servers and
 * the like share a guest's memory for its sake. Other users' are seen only by root.
 *
 * @param qemu the QEMU with these backends; null: not known, then nothing can be said
 */
export function otherUserOfMemory(
  backends: readonly MemoryBackend[],
  qemu: Pick<QemuProcess, "pid" | "cwd"> | null,
): SharedMemoryFile | null {
  if (qemu === null) return null;
  for (const { id, path, shared } of backends) {
    if (!shared || path === null || path === "") continue;
    const file = identityOfFile(join(`/proc/${qemu.pid}/root`, isAbsolute(path) ? path : join(qemu.cwd ?? "/", path)));
    // In a folder each QEMU makes a file of its own.
    if (file === null) continue;
    const pid = processIds().find((each) => hasOpen(each, file) && isQemu(each) && !isBelow(each, qemu.pid));
    if (pid !== undefined) return { backend: id ?? "?", path, pid };
  }
  return null;
}

/** QEMU keeps the descriptor of a memory file for as long as it runs. */
function hasOpen(pid: number, file: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => identityOfFile(`/proc/${pid}/fd/${fd}`) === file);
  } catch {
    return false;
  }
}

function isQemu(pid: number): boolean {
  const process = describeProcess(pid);
  return process !== null && looksLikeQemu(process);
}

/** The process itself, or one that it started: behind `sudo` QEMU is another process than the one we know. */
function isBelow(pid: number, ancestor: number): boolean {
  for (let at: number | null = pid; at !== null && at > 1; at = parentOf(at)) if (at === ancestor) return true;
  return false;
}

/** Null: it is no file, or cannot be looked at. */
function identityOfFile(path: string): string | null {
  try {
    const stat = statSync(path, { bigint: true });
    return stat.isFile() ? `${stat.dev}:${stat.ino}` : null;
  } catch {
    return null;
  }
}
