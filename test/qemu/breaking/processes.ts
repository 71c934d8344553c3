/** Which processes of ours are about: the savers and guards that belong to one folder of runtime files. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface Ours {
  readonly pid: number;
  readonly kind: "saver" | "guard";
}

/** Savers and guards with `folder` on their command line (their note or target lies in it). Ended ones that nobody has waited for do not count. */
export function processesOf(folder: string): readonly Ours[] {
  const found: Ours[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const words = commandLine(pid);
    if (!words.some((word) => word.includes(folder))) continue;
    if (words.some((word) => /\/guard\.[jt]s$/.test(word))) found.push({ pid, kind: "guard" });
    else if (words.some((word) => word.endsWith("/bin/fixedram"))) found.push({ pid, kind: "saver" });
  }
  return found;
}

/** Empty for a process that has ended, a zombie included. */
function commandLine(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}

/** Looks every few milliseconds until `look` says that nothing is wrong any more. @returns what is still wrong after `timeout` ms */
export async function settles(
  look: () => string | null | Promise<string | null>,
  timeout: number,
): Promise<string | null> {
  const deadline = performance.now() + timeout;
  for (;;) {
    const wrong = await look();
    if (wrong === null || performance.now() > deadline) return wrong;
    await sleep(10);
  }
}
