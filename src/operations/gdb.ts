import { createServer, type Server, type Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { FixedramError, systemError } from "../errors.ts";
import { serveGdb } from "../gdb/connection.ts";
import { registersOf } from "../gdb/registers.ts";
import type { GdbTarget } from "../gdb/session.ts";
import type { Cpu } from "../machine/cpu.ts";
import { Inside } from "./inside/open.ts";
import { type LookOptions, openOptions } from "./inspect.ts";
import { openSnapshot } from "./open.ts";
import type { Notice } from "./progress.ts";
import { Reporter } from "./reporter.ts";

export interface GdbOptions extends LookOptions {
  /** Path of the snapshot. */
  readonly file: string;
  /** TCP port on 127.0.0.1; 0: any that is free. Default 1234. Not with `stdio`. */
  readonly port?: number;
  /** One gdb on these streams, in place of a port. */
  readonly stdio?: { readonly input: Readable; readonly output: Writable };
  /** End when the first gdb has left. */
  readonly once?: boolean;
  /** The guest's physical memory map, in place of what was recorded or what QEMU's rules say. */
  readonly map?: string;
  /** Told when gdb can connect: the port. */
  readonly onListening?: (port: number) => void;
}

export interface GdbResult {
  readonly path: string;
  readonly machine: string;
  /** Null on standard input and output. */
  readonly address: string | null;
  readonly cpus: number;
  /** gdbs that were served, and packets answered. */
  readonly sessions: number;
  readonly packets: number;
  /** Milliseconds. */
  readonly time: number;
  readonly notices: readonly Notice[];
}

const loopback = "127.0.0.1";
export const defaultGdbPort = 1234;

/**
 * Serves a saved guest to gdb by its remote protocol, read-only: registers, memory through the page tables, a thread a CPU. One
 * gdb at a time; on a port it goes on until the signal, unless `once`.
 *
 * @throws FixedramError `file.*`, `stream.*`, `seal.*` for the snapshot; `system.port-in-use`, `system.*`; the signal's reason
 */
export async function gdb(options: GdbOptions): Promise<GdbResult> {
  const { file, map } = options;
  const totals = { sessions: 0, packets: 0 };
  const reporter = new Reporter(options, () => ({ bytes: 0, total: 0, round: 0 }));
  reporter.enter("preflight");
  const snapshot = await openSnapshot(file, openOptions(options));
  try {
    const inside = new Inside(snapshot, map);
    const target = targetOf(inside);
    if (inside.memoryMap.from === "rules") reporter.note("note", "memory-map", inside.memoryMap.note);
    const address = await serve(target, options, totals, reporter);
    return {
      path: file,
      machine: snapshot.configuration.machine,
      address,
      cpus: target.cpus.length,
      ...totals,
      time: reporter.elapsed,
      notices: reporter.notices,
    };
  } finally {
    await snapshot.close();
  }
}

type Totals = { sessions: number; packets: number };

async function serve(
  target: GdbTarget,
  options: GdbOptions,
  totals: Totals,
  reporter: Reporter,
): Promise<string | null> {
  const { stdio, signal } = options;
  if (stdio === undefined) return await servePort(target, options, totals, reporter);
  const stop = () => stdio.input.destroy();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    totals.sessions++;
    totals.packets += await serveGdb({ input: stdio.input, write: writerOf(stdio.output) }, target).catch(unlessGone);
  } finally {
    signal?.removeEventListener("abort", stop);
  }
  signal?.throwIfAborted();
  return null;
}

/** Waits for gdbs, one after the other. */
async function servePort(target: GdbTarget, options: GdbOptions, totals: Totals, reporter: Reporter): Promise<string> {
  const { signal, once = false, port = defaultGdbPort } = options;
  const server = createServer({ noDelay: true });
  const { port: bound } = await listen(server, port);
  const address = `${loopback}:${bound}`;
  let current: Socket | null = null;
  try {
    await new Promise<void>((resolve, reject) => {
      const stop = () => reject(signal?.reason);
      signal?.addEventListener("abort", stop, { once: true });
      server.on("error", (error) => reject(systemError(error, address, "waiting for gdb")));
      server.on("connection", (socket) => {
        if (current !== null) return void socket.destroy();
        current = socket;
        totals.sessions++;
        serveGdb({ input: socket, write: writerOf(socket) }, target)
          .catch(unlessGone)
          .then((packets) => {
            totals.packets += packets;
            socket.destroySoon();
            current = null;
            if (once) resolve();
          }, reject);
      });
      options.onListening?.(bound);
      const text = `gdb can connect: target remote :${bound}${once ? "" : " (Ctrl-C ends)"}`;
      reporter.note("note", "listening", text);
      if (signal?.aborted) stop();
    });
  } finally {
    (current as Socket | null)?.destroy();
    server.close();
  }
  return address;
}

function listen(server: Server, port: number): Promise<{ readonly port: number }> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "EADDRINUSE" ? inUse(port) : systemError(error, `${loopback}:${port}`, "opening the port")),
    );
    server.listen(port, loopback, () => {
      const address = server.address();
      resolve({ port: typeof address === "object" && address !== null ? address.port : port });
    });
  });
}

function inUse(port: number): FixedramError {
  return new FixedramError("system.port-in-use", "another program listens on that port", {
    path: `${loopback}:${port}`,
    hint: "Choose another: --port N; 0 takes one that is free and says which.",
  });
}

/** A gdb that went away has just left. */
function unlessGone(error: unknown): number {
  const { code } = error as NodeJS.ErrnoException;
  if (["ECONNRESET", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_DESTROYED"].includes(code ?? "")) return 0;
  throw error;
}

function writerOf(output: Writable): (bytes: Uint8Array) => Promise<void> {
  return (bytes) =>
    new Promise((resolve, reject) => {
      output.write(bytes, (error) => (error === null || error === undefined ? resolve() : reject(error)));
    });
}

/** The guest as gdb sees it. @throws `stream.no-cpu`, `stream.unknown-cpu`, `stream.*` */
function targetOf(inside: Inside): GdbTarget {
  const sets = registersOf(inside.cpus);
  const cpus = inside.cpus.map((cpu, i) => ({ name: nameOf(cpu), ...(sets[i] ?? { description: "", registers: [] }) }));
  return {
    cpus,
    async read(place, address, length, physical) {
      const bytes = new Uint8Array(length);
      const cpu = inside.cpus[place]?.index ?? 0;
      let done = 0;
      while (done < length) {
        // Smallest page: what begins in it can be read, or nothing of it can.
        const at = BigInt.asUintN(64, address + BigInt(done));
        const count = Math.min(length - done, 4096 - Number(at % 4096n));
        const part = bytes.subarray(done, done + count);
        try {
          if (!physical) await inside.readVirtual(at, part, cpu);
          else if (at < 2n ** 52n) await inside.readPhysical(Number(at), part);
          else break;
        } catch (error) {
          // Not mapped, or no memory there.
          if (error instanceof FixedramError && error.code.startsWith("usage.")) break;
          throw error;
        }
        done += count;
      }
      return bytes.subarray(0, done);
    },
  };
}

function nameOf(cpu: Cpu): string {
  const level = cpu.arch === "x86" ? `${cpu.mode}, ring ${cpu.cpl}` : `EL${cpu.el}`;
  return `CPU ${cpu.index}, ${level}${cpu.halted === true ? ", halted" : ""}`;
}
