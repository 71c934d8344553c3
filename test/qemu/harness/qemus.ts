/**
 * The QEMUs the real tests run on: an old one (before 9.0, without mapped-ram) and a new one. `script/setup --tests` brings both on
 * Debian 12; where the system's QEMU is 9 or newer it is the new one, and there is no old one.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout's folder. */
export const ROOT = fileURLToPath(new URL("../../..", import.meta.url)).replace(/\/$/, "");
export const CACHE = join(ROOT, ".cache");

export interface Qemu {
  readonly label: "old" | "new";
  /** Executable. */
  readonly path: string;
  /** As it says itself, such as `7.2.22`. */
  readonly version: string;
  readonly major: number;
}

/** With FIXEDRAM_REQUIRE_ALL (`script/test` sets it) nothing may be missing. */
export const requireAll = (process.env.FIXEDRAM_REQUIRE_ALL ?? "") !== "";

let found: readonly Qemu[] | undefined;

/** The QEMUs there are, old before new. Throws where one is required and missing; else says on stderr which is missing. */
export function qemus(): readonly Qemu[] {
  found ??= findQemus();
  return found;
}

/** The old or the new QEMU; throws when there is none (ask `qemus()` first where that is no failure). */
export function qemu(label: "old" | "new"): Qemu {
  const one = qemus().find((candidate) => candidate.label === label);
  if (one === undefined) throw new Error(`no ${label} QEMU here: run script/setup --tests`);
  return one;
}

/** Is there a QEMU of this label? For `test.skipIf(!hasQemu("old"))`. */
export function hasQemu(label: "old" | "new"): boolean {
  return qemus().some((candidate) => candidate.label === label);
}

export type OtherQemu = "debian-11" | "sid" | "arm-old" | "arm-new";

/** A QEMU of another Debian release, or for aarch64 (script/lib/other-qemus.sh); undefined when it was not fetched. */
export function otherQemu(name: OtherQemu): Qemu | undefined {
  const program = name.startsWith("arm") ? "qemu-system-aarch64" : "qemu-system-x86_64";
  const path = join(CACHE, "qemus", name, program);
  const one = existsSync(join(CACHE, "qemus", name, "complete")) ? look(path) : undefined;
  if (one === undefined && requireAll) throw new Error(`no QEMU in .cache/qemus/${name}: run script/setup --tests`);
  return one;
}

function findQemus(): readonly Qemu[] {
  const system = look(process.env.FIXEDRAM_QEMU_OLD ?? onPath("qemu-system-x86_64"));
  const fetched = look(process.env.FIXEDRAM_QEMU_NEW ?? join(CACHE, "qemu-10", "qemu-system-x86_64"));
  const all = [system, fetched].filter((one) => one !== undefined);
  const older = all.find((one) => one.label === "old");
  const newer = all.findLast((one) => one.label === "new");
  const missing: string[] = [];
  if (newer === undefined) missing.push("a QEMU >= 9");
  // Only a system whose own QEMU is new already may go without an old one.
  if (older === undefined && system?.label !== "new") missing.push("a QEMU < 9");
  if (missing.length > 0) {
    const message = `missing for the tests on a real QEMU: ${missing.join(", ")}; run script/setup --tests`;
    if (requireAll) throw new Error(message);
    console.warn(message);
  }
  return [older, newer].filter((one) => one !== undefined);
}

function look(path: string | undefined): Qemu | undefined {
  if (path === undefined || !existsSync(path)) return undefined;
  const version = /version (\d+)\.([\d.]+)/.exec(execFileSync(path, ["--version"], { encoding: "utf8" }));
  if (version === null) return undefined;
  const major = Number(version[1]);
  return { label: major >= 9 ? "new" : "old", path, version: `${version[1]}.${version[2]}`, major };
}

/** First executable of this name on PATH. */
export function onPath(program: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}
