/** Which QEMUs are there, and what each can do. */
import { readdirSync, realpathSync } from "node:fs";
import { delimiter, join } from "node:path";
import { Duplex } from "node:stream";
import { FixedramError } from "../errors.ts";
import { QmpClient } from "../qmp/client.ts";
import { type QemuVersion, queryMigrateCapabilities, quit, toVersion } from "../qmp/commands.ts";
import { onPath, Running } from "./start.ts";

export interface QemuProgram {
  readonly path: string;
  /** From the program's name, `x86_64`; null when it says nothing (qemu-kvm). */
  readonly target: string | null;
  readonly version: QemuVersion | null;
  /** Migration capabilities it knows. */
  readonly capabilities: readonly string[];
  /** Why it could not be asked, in its own words where it said something; null when it answered. */
  readonly problem: string | null;
}

/** System emulators on PATH and qemu-kvm where distributions hide it, by path, each once. */
export function findQemuPrograms(given: readonly string[] = []): readonly string[] {
  const found = new Map<string, string>();
  const add = (path: string) => {
    try {
      const real = realpathSync(path);
      if (!found.has(real)) found.set(real, path);
    } catch {
      // A dangling link.
    }
  };
  for (const name of given) add(name.includes("/") ? name : (onPath(name) ?? name));
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of names(folder)) {
      if (/^(?:qemu-system-[a-z0-9_]+|qemu-kvm)$/.test(name)) add(join(folder, name));
    }
  }
  // Fedora's and its kin's place for it, off PATH.
  add("/usr/libexec/qemu-kvm");
  return [...found.values()];
}

/**
 * Starts the program without a machine, asks, and ends it: bounded by `timeout` ms, default 10 000. Never throws, not even when the
 * signal ended it.
 */
export async function probeQemu(
  path: string,
  { timeout = 10_000, signal }: { readonly timeout?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<QemuProgram> {
  const target = /qemu-system-([a-z0-9_]+)$/.exec(path)?.[1] ?? null;
  const argv = [path, ..."-machine none -S -display none -nodefaults -no-user-config -qmp stdio".split(" ")];
  const nothing = { path, target, version: null, capabilities: [] };
  let running: Running | null = null;
  const abort = () => running?.child.kill("SIGKILL");
  try {
    signal?.throwIfAborted();
    running = new Running(argv, { input: "pipe" });
    signal?.addEventListener("abort", abort);
    const { stdin, stdout } = running.child;
    if (stdin === null || stdout === null) return { ...nothing, problem: "no pipe to it" };
    const stream = Duplex.from({ readable: stdout, writable: stdin });
    const client = await QmpClient.attach(stream, path, { greetingTimeout: timeout });
    const capabilities = Object.keys(await queryMigrateCapabilities(client, { timeout }));
    const version = toVersion(client.greeting.version);
    await quit(client, { timeout });
    client.close();
    return { path, target, version, capabilities, problem: null };
  } catch (error) {
    const end = await running?.stop(1000);
    const said = running?.words() || running?.failure?.message;
    const how = end?.signal ? ` (${end.signal})` : "";
    return { ...nothing, problem: said || `${error instanceof FixedramError ? error.message : String(error)}${how}` };
  } finally {
    await running?.stop(1000);
    signal?.removeEventListener("abort", abort);
  }
}

function names(folder: string): readonly string[] {
  try {
    return readdirSync(folder || ".").sort();
  } catch {
    return [];
  }
}
