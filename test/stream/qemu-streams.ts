import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { StreamReader } from "../../src/stream/reader.ts";
import { shutMessage } from "../../src/stream/return-path.ts";

/** Makes real streams: a 16 MiB guest that never ran, migrated to a file by QEMU's own means. */

export const QEMU = process.env.FIXEDRAM_TEST_QEMU ?? "qemu-system-x86_64";
/** Where script/setup puts a QEMU with mapped-ram. */
export const QEMU_10 = fileURLToPath(new URL("../../.cache/qemu-10/qemu-system-x86_64", import.meta.url));

/** QEMU's version line, or null when there is none. */
export function qemuVersion(qemu = QEMU): string | null {
  const result = spawnSync(qemu, ["--version"], { encoding: "utf8" });
  return result.status === 0 ? (result.stdout.split("\n", 1)[0] ?? "") : null;
}

export interface StreamWish {
  readonly qemu?: string;
  readonly machine: string;
  readonly arguments?: readonly string[];
  /** Migration capabilities to switch on. */
  readonly capabilities?: readonly string[];
  /** Over a unix socket, where QEMU waits for an answer on the return path after the stream's last byte. */
  readonly socket?: boolean;
  /** Let the guest (its firmware) run: QEMU 7.2 aborts on a background snapshot of a guest that never ran. */
  readonly running?: boolean;
}

interface Answer {
  readonly return?: { readonly status?: string };
  readonly error?: { readonly desc?: string };
  readonly event?: string;
  readonly data?: { readonly status?: string };
}

export async function makeStream(wish: StreamWish): Promise<Uint8Array> {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-stream-"));
  const file = join(folder, "stream");
  const command = ["-machine", wish.machine, "-m", "16", "-display", "none", "-serial", "none", "-S", "-qmp", "stdio"];
  const qemu = spawn(wish.qemu ?? QEMU, [...command, ...(wish.arguments ?? [])], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const send = (execute: string, args: unknown = {}) =>
    qemu.stdin.write(`${JSON.stringify({ execute, arguments: args })}\n`);
  const exited = new Promise<void>((resolve) => qemu.once("close", () => resolve()));
  // A QEMU that ends early is noticed by what it did not say.
  qemu.stdin.on("error", () => {});
  let completed = false;
  try {
    send("qmp_capabilities");
    const capabilities = ["events", ...(wish.capabilities ?? [])];
    send("migrate-set-capabilities", { capabilities: capabilities.map((capability) => ({ capability, state: true })) });
    if (wish.running === true) send("cont");
    const mapped = wish.capabilities?.includes("mapped-ram") === true;
    const received = wish.socket === true ? await receive(file) : null;
    send("migrate", { uri: received !== null ? `unix:${file}` : mapped ? `file:${file}` : `exec:cat > ${file}` });
    for await (const line of createInterface(qemu.stdout)) {
      const answer = JSON.parse(line) as Answer;
      if (answer.error !== undefined) throw new Error(`QEMU: ${answer.error.desc}`);
      if (answer.event !== "MIGRATION") continue;
      completed = answer.data?.status === "completed";
      if (completed) break;
      if (answer.data?.status === "failed") throw new Error("QEMU: migration failed");
    }
    if (!completed) throw new Error("QEMU ended before the migration");
    send("quit");
    await exited;
    return received === null ? new Uint8Array(readFileSync(file)) : new Uint8Array(Buffer.concat(received));
  } finally {
    qemu.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Listens at `path`; takes one stream, and answers SHUT when the reader says that it is complete. */
async function receive(path: string): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  const reader = new StreamReader({ record() {}, pages() {}, zeroPages() {}, encoded() {} });
  const server = createServer((socket) => {
    server.close();
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      reader.push(chunk);
      if (reader.complete) socket.end(shutMessage(true));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return chunks;
}

/** Whether a new QEMU of the same machine takes the stream: its last word on the migration. */
export async function loadStream(wish: StreamWish, stream: Uint8Array): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-stream-"));
  const file = join(folder, "stream");
  writeFileSync(file, stream);
  const command = ["-machine", wish.machine, "-m", "16", "-display", "none", "-serial", "none", "-S", "-qmp", "stdio"];
  const all = [...command, "-incoming", "defer", ...(wish.arguments ?? [])];
  const qemu = spawn(wish.qemu ?? QEMU, all, { stdio: ["pipe", "pipe", "ignore"] });
  qemu.stdin.on("error", () => {});
  const send = (execute: string, args: unknown = {}) =>
    qemu.stdin.write(`${JSON.stringify({ execute, arguments: args })}\n`);
  try {
    send("qmp_capabilities");
    send("migrate-set-capabilities", { capabilities: [{ capability: "events", state: true }] });
    send("migrate-incoming", { uri: `exec:cat ${file}` });
    for await (const line of createInterface(qemu.stdout)) {
      const answer = JSON.parse(line) as Answer;
      if (answer.error !== undefined) return answer.error.desc ?? "error";
      const status = answer.event === "MIGRATION" ? answer.data?.status : undefined;
      if (status === "completed" || status === "failed") return status;
    }
    return "ended";
  } finally {
    qemu.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}
