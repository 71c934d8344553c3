import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { connectQmp } from "../../src/qemu/connect.ts";
import { onPath } from "../../src/qemu/start.ts";
import type { QmpClient } from "../../src/qmp/client.ts";

/** The QEMUs of this machine; tests of what is not there are skipped, saying so. */
export const qemus: readonly { readonly name: string; readonly path: string; readonly missing: boolean }[] = [
  { name: "QEMU on PATH", path: onPath("qemu-system-x86_64") ?? "" },
  { name: "QEMU 10", path: resolve(import.meta.dirname, "../../.cache/qemu-10/qemu-system-x86_64") },
].map((qemu) => {
  const missing = !existsSync(qemu.path);
  if (missing) console.warn(`skipped: no ${qemu.name} (script/setup gets it)`);
  return { ...qemu, missing };
});

export interface Machine {
  readonly client: QmpClient;
  readonly path: string;
  readonly folder: string;
  readonly pid: number;
  end(): Promise<void>;
}

/** A machine that does not run its guest, with a QMP socket at `path`. */
export async function machine(
  qemu: string,
  args: string,
  folder = mkdtempSync(join(tmpdir(), "fixedram-test-")),
): Promise<Machine> {
  const path = join(folder, "qmp.sock");
  const fixed = `-S -display none -nodefaults -qmp unix:${path},server=on,wait=off`;
  const child = spawn(qemu, [...args.split(" "), ...fixed.split(" ")], {
    stdio: ["ignore", "ignore", "pipe"],
    cwd: folder,
  });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += String(chunk);
  });
  const ended = new Promise((done) => child.once("close", done));
  for (;;) {
    if (child.exitCode !== null) throw new Error(said);
    try {
      const client = await connectQmp(path);
      const end = async () => {
        client.close();
        child.kill("SIGKILL");
        await ended;
        rmSync(folder, { recursive: true, force: true });
      };
      return { client, path, folder, pid: child.pid ?? -1, end };
    } catch (error) {
      if (!/no-socket|nobody-listening/.test((error as { code?: string }).code ?? "")) throw error;
      await new Promise((done) => setTimeout(done, 10));
    }
  }
}
