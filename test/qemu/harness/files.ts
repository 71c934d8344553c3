/** Looking at files the tests made: digests, and the file system inside a guest's disk. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, rmSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { testFolder } from "./processes.ts";
import { onPath } from "./qemus.ts";

const run = promisify(execFile);

/** SHA-256 of a file, in hex. */
export async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  return hash.digest("hex");
}

export interface DiskCheck {
  readonly clean: boolean;
  readonly output: string;
}

/**
 * Checks the ext4 in a qcow2, on a copy. A guest that did not unmount leaves a journal: `replay` plays it first, as the next mount
 * would. Also checks the qcow2 itself.
 */
export async function fsck(disk: string, { replay = false } = {}): Promise<DiskCheck> {
  const raw = join(testFolder(), "disk.raw");
  const e2fsck = onPath("e2fsck") ?? "e2fsck";
  try {
    await run("qemu-img", ["check", "-q", "-U", disk]);
    await run("qemu-img", ["convert", "-U", "-O", "raw", disk, raw]);
    if (replay) await run(e2fsck, ["-y", "-E", "journal_only", raw]).catch(onlyCorrected);
    const { stdout, stderr } = await run(e2fsck, ["-f", "-n", raw]);
    return { clean: true, output: stdout + stderr };
  } catch (error) {
    const { stdout = "", stderr = "", message = String(error) } = error as Partial<Record<string, string>>;
    return { clean: false, output: [message, stdout, stderr].join("\n") };
  } finally {
    rmSync(raw, { force: true });
  }
}

/** e2fsck's exit status 1 says: corrected, all well now. */
function onlyCorrected(error: { code?: number }): void {
  if (error.code !== 1) throw error;
}
