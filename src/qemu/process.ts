/** What /proc tells about the QEMU behind a QMP socket. Linux only; all of it is best effort and none of it needs QEMU's help. */
import { readFileSync, readlinkSync } from "node:fs";
import type { QmpAddress } from "../qmp/address.ts";
import { pidsHolding, socketInodes } from "./sockets.ts";

export interface QemuProcess {
  readonly pid: number;
  /** Clock ticks since boot: pid and this together name one process for ever. */
  readonly startTime: number;
  /** Program and arguments; empty when they cannot be read. */
  readonly argv: readonly string[];
  /** False when an argument is not UTF-8: then `argv` cannot be run again as it stands. */
  readonly argvExact: boolean;
  /** Path of the program as /proc names it, null when unreadable. */
  readonly executable: string | null;
  readonly cwd: string | null;
  /** The ids that count for files (fsuid, fsgid) and the supplementary groups. */
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** CAP_DAC_OVERRIDE or CAP_DAC_READ_SEARCH: folder modes do not stop it. */
  readonly ignoresModes: boolean;
  /** Whether it lives in our mount and network namespace; null when that cannot be read. */
  readonly sameMounts: boolean | null;
  readonly sameNetwork: boolean | null;
}

/**
 * Finds the process that listens at a QMP address: the socket's inode from /proc/net, then who holds that inode.
 *
 * Returns null when nobody is found, which for another user's QEMU is the rule unless we are root.
 */
export function findQemu(address: QmpAddress): QemuProcess | null {
  const inodes = socketInodes(address, "listening");
  const found = pidsHolding(inodes)
    .map((pid) => describeProcess(pid))
    .filter((process) => process !== null)
    .sort((a, b) => b.startTime - a.startTime);
  // A listening socket can be held by more than one (whoever made it and passed it on), and an older QEMU whose path a newer
  // one took over still shows it: the newest QEMU is the one that answers.
  // Anything else (socat, ssh -L) is no QEMU: its death says nothing, and its command line is nobody's to run.
  return found.find((process) => looksLikeQemu(process)) ?? null;
}

/** Reads one process from /proc; null when it is gone. */
export function describeProcess(pid: number): QemuProcess | null {
  const startTime = startTimeOf(pid);
  const status = readText(`/proc/${pid}/status`);
  if (startTime === null || status === null) return null;
  const { argv, exact } = readArgv(pid);
  const capabilities = /^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "";
  const lastDigit = Number.parseInt(capabilities.slice(-1) || "0", 16);
  return {
    pid,
    startTime,
    argv,
    argvExact: exact,
    executable: readLink(`/proc/${pid}/exe`),
    cwd: readLink(`/proc/${pid}/cwd`),
    uid: numbersOf(status, "Uid")[3] ?? -1,
    gid: numbersOf(status, "Gid")[3] ?? -1,
    groups: numbersOf(status, "Groups"),
    // Bits 1 and 2: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
    ignoresModes: (lastDigit & 6) !== 0,
    sameMounts: sameNamespace(pid, "mnt"),
    sameNetwork: sameNamespace(pid, "net"),
  };
}

/**
 * Bytes of a process's memory that are there, in pages of any size and on swap: what its guest has touched, and what it uses itself.
 * Null when that cannot be read.
 */
export function presentBytes(pid: number): number | null {
  const status = readText(`/proc/${pid}/status`);
  if (status === null || !/^VmRSS:/m.test(status)) return null;
  // VmRSS has no huge pages of hugetlbfs in it.
  const kib = ["VmRSS", "VmSwap", "HugetlbPages"].map((name) => numbersOf(status, name)[0] ?? 0);
  return kib.reduce((sum, each) => sum + each, 0) * 1024;
}

/** Clock ticks since boot at which the process started (proc_pid_stat(5), field 22); null when there is none, or a zombie. */
export function startTimeOf(pid: number): number | null {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // The name in parentheses may hold anything, parentheses and newlines too.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return null;
  const ticks = Number(fields[19]);
  return Number.isSafeInteger(ticks) ? ticks : null;
}

/** The process that started it, or took it over; null when there is none, or it is gone. */
export function parentOf(pid: number): number | null {
  const [parent = 0] = numbersOf(readText(`/proc/${pid}/status`) ?? "", "PPid");
  return parent > 0 ? parent : null;
}

/** By the name of its program: `qemu-system-x86_64`, `qemu-kvm`, `kvm`. */
export function looksLikeQemu(process: Pick<QemuProcess, "executable" | "argv">): boolean {
  return /qemu|kvm/.test(process.executable ?? process.argv[0] ?? "");
}

function readArgv(pid: number): { readonly argv: readonly string[]; readonly exact: boolean } {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(`/proc/${pid}/cmdline`);
  } catch {
    return { argv: [], exact: false };
  }
  return parseCmdline(bytes);
}

/** Cuts /proc/PID/cmdline: arguments end with NUL, and may be empty or hold anything else. */
export function parseCmdline(bytes: Uint8Array): { readonly argv: readonly string[]; readonly exact: boolean } {
  if (bytes.length === 0) return { argv: [], exact: false };
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const argv = (text.endsWith("\0") ? text.slice(0, -1) : text).split("\0");
  const again = new TextEncoder().encode(text);
  const exact = again.length === bytes.length && again.every((byte, i) => byte === bytes[i]);
  return { argv, exact };
}

function numbersOf(status: string, field: string): number[] {
  const line = new RegExp(`^${field}:(.*)$`, "m").exec(status)?.[1] ?? "";
  return line
    .split(/\s+/)
    .filter((word) => word !== "")
    .map(Number);
}

function sameNamespace(pid: number, kind: "mnt" | "net"): boolean | null {
  const theirs = readLink(`/proc/${pid}/ns/${kind}`);
  return theirs === null ? null : theirs === readLink(`/proc/self/ns/${kind}`);
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

function readLink(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}
