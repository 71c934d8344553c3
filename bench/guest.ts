/** The guest that is saved and resumed: small, always busy, with as much random data in its memory as asked for. */
import { randomFillSync } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FixedramError } from "../src/errors.ts";
import { QmpClient } from "../src/qmp/client.ts";
import { type GuestOptions, guestArgv, type Sockets, settle, socketsIn } from "../test/qemu/harness/argv.ts";
import type { Qemu } from "../test/qemu/harness/qemus.ts";
import { Serial } from "../test/qemu/harness/serial.ts";
import { type Child, start } from "./processes.ts";

const MIB = 1024 * 1024;
/** Above the guest's own pages, which end at 36 MiB. */
const DATA_AT = 64 * MIB;

/** Writes `mib` MiB of random bytes, which neither compress nor are zero. */
export function writeRandom(path: string, mib: number): void {
  const piece = Buffer.allocUnsafe(16 * MIB);
  const fd = openSync(path, "wx", 0o600);
  try {
    for (let done = 0; done < mib; done += 16) writeSync(fd, randomFillSync(piece), 0, Math.min(16, mib - done) * MIB);
  } finally {
    closeSync(fd);
  }
}

/** A guest with `mib` MiB of data from `writeRandom`: QEMU's loader device puts it into memory when the machine starts. */
export function randomGuest(qemu: Qemu, mib: number): GuestOptions {
  // A destination is given no loader: its memory comes from the snapshot.
  return { qemu, kind: "boot", memory: memoryFor(mib), dirtyRate: 4 };
}

/** MiB of a guest of whose memory about 65 % is this data. */
export function memoryFor(mib: number): number {
  return Math.max(512, Math.ceil((mib * 1.5385) / 128) * 128);
}

export function loader(path: string): string[] {
  return ["-device", `loader,file=${path},addr=0x${DATA_AT.toString(16)},force-raw=on`];
}

export class BenchGuest {
  readonly sockets: Sockets;
  readonly child: Child;
  readonly qmp: QmpClient;
  readonly serial: Serial;

  private constructor(sockets: Sockets, child: Child, qmp: QmpClient, serial: Serial) {
    this.sockets = sockets;
    this.child = child;
    this.qmp = qmp;
    this.serial = serial;
  }

  static async start(options: GuestOptions, folder: string, name: string): Promise<BenchGuest> {
    const { argv, sockets, log } = commandOf(options, folder, name);
    const output = openSync(log, "a");
    const child = start(argv, { stdio: ["ignore", output, output] });
    closeSync(output);
    const qmp = await observe(sockets.testQmpPath, child, log);
    const serial = await Serial.connect(sockets.serialPath);
    await serial.waitFor(/^(?:ready|ok|alive|BAD) /, 120_000);
    return new BenchGuest(sockets, child, qmp, serial);
  }

  async end(): Promise<void> {
    this.qmp.close();
    this.serial.close();
    await this.child.kill();
  }
}

/** The command line of a guest (or of its destination), with sockets in a folder of its own. */
export function commandOf(
  options: GuestOptions,
  folder: string,
  name: string,
): { readonly argv: readonly string[]; readonly sockets: Sockets; readonly log: string } {
  const own = join(folder, name);
  mkdirSync(own, { mode: 0o700 });
  const sockets = socketsIn(own);
  return { argv: guestArgv(settle(options, own), sockets), sockets, log: join(own, "qemu.log") };
}

/** Connects to a QMP socket as soon as QEMU has made it. */
export async function observe(path: string, child: Child, log: string): Promise<QmpClient> {
  let ended = false;
  child.exited.then(
    () => {
      ended = true;
    },
    () => {
      ended = true;
    },
  );
  for (;;) {
    try {
      return await QmpClient.connect(path, { greetingTimeout: 120_000 });
    } catch (error) {
      const code = error instanceof FixedramError ? error.code : "";
      if (!["qmp.no-socket", "qmp.nobody-listening", "qmp.closed"].includes(code)) throw error;
      if (ended) throw new Error(`QEMU ended: ${readFileSync(log, "utf8")}`);
      await sleep(3);
    }
  }
}
