import { sameBytes } from "../bytes/numbers.ts";
import { fromLatin1, latin1 } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { Cpu } from "./cpu.ts";
import type { PhysicalReader } from "./physical.ts";
import { readVirtual } from "./virtual.ts";

/**
 * VMCOREINFO: what a Linux kernel says of itself for those who read its memory, lines of KEY=VALUE in an ELF note of its own
 * (Linux, Documentation/admin-guide/kdump/vmcoreinfo.rst). Symbols are where they are after KASLR.
 */
export interface Vmcoreinfo {
  /** The whole note, as it stands in the guest, padded to 4 bytes. */
  readonly note: Uint8Array;
  readonly values: ReadonlyMap<string, string>;
  /** OSRELEASE: what `uname -r` says. */
  readonly release: string;
}

/** The note's head and name, which is where it is found by. */
export const noteHeadBytes = 12;
export const noteName = fromLatin1("VMCOREINFO\0");
const nameBytes = 12;
/** Real ones have less than 4 KiB. */
const mostText = 64 * 1024;

/** Length in bytes of the note that begins with these bytes (at least 24); null when it is none. */
export function noteLength(head: Uint8Array): number | null {
  if (head.length < noteHeadBytes + nameBytes) return null;
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const [name, text, type] = [view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true)];
  if (name !== noteName.length || type !== 0 || text === 0 || text > mostText) return null;
  if (!sameBytes(head.subarray(noteHeadBytes, noteHeadBytes + noteName.length), noteName)) return null;
  return noteHeadBytes + nameBytes + Math.ceil(text / 4) * 4;
}

/** Reads a note; null when it is none, or does not tell a release. */
export function parseVmcoreinfo(note: Uint8Array): Vmcoreinfo | null {
  if (noteLength(note) !== note.length) return null;
  const values = new Map<string, string>();
  const length = new DataView(note.buffer, note.byteOffset, note.length).getUint32(4, true);
  for (const line of latin1(note, noteHeadBytes + nameBytes, noteHeadBytes + nameBytes + length).split("\n")) {
    const at = line.indexOf("=");
    if (at > 0 && !values.has(line.slice(0, at))) values.set(line.slice(0, at), line.slice(at + 1));
  }
  const release = values.get("OSRELEASE");
  return release === undefined || release === "" ? null : { note, values, release };
}

/** x86-64's __START_KERNEL_map. */
const kernelMap = 0xffff_ffff_8000_0000n;
/** Bytes of uts_namespace that are looked at: sysname, nodename and release come first. */
const utsBytes = 512;

/**
 * Is this the note of the kernel that runs now? A guest's memory may still hold that of an earlier boot, whose addresses lead
 * astray. The release must stand where the note says that init_uts_ns is.
 */
export async function isCurrent(
  vmcoreinfo: Vmcoreinfo,
  memory: PhysicalReader,
  cpus: readonly Cpu[],
  signal?: AbortSignal,
): Promise<boolean> {
  const symbol = symbolAddress(vmcoreinfo, "init_uts_ns");
  if (symbol === null) return false;
  const bytes = new Uint8Array(utsBytes);
  const right = () => latin1(bytes).includes(`\0${vmcoreinfo.release}\0`);
  const physical = symbolPhysical(vmcoreinfo, "init_uts_ns");
  if (physical !== null && (await readable(() => memory.read(physical, bytes, signal)))) return right();
  for (const cpu of cpus) {
    if (await readable(() => readVirtual(cpu, memory, symbol, bytes, signal))) return right();
  }
  return false;
}

/** A symbol's virtual address; null when the note does not tell. */
export function symbolAddress({ values }: Vmcoreinfo, name: string): bigint | null {
  return parseNumber(values.get(`SYMBOL(${name})`), 16);
}

/** How far the kernel was moved from where it was linked (KASLR), bytes; null when the note does not tell. */
export function kernelOffset({ values }: Vmcoreinfo): bigint | null {
  return parseNumber(values.get("KERNELOFFSET"), 16);
}

/** Guest-physical address of a symbol of the kernel's image; null when the note does not tell. */
export function symbolPhysical(vmcoreinfo: Vmcoreinfo, name: string): number | null {
  const symbol = symbolAddress(vmcoreinfo, name);
  const base = parseNumber(vmcoreinfo.values.get("NUMBER(phys_base)"), 10);
  const offset = parseNumber(vmcoreinfo.values.get("NUMBER(kimage_voffset)"), 16);
  if (symbol === null || (base === null && offset === null)) return null;
  const address = base !== null ? symbol - kernelMap + base : BigInt.asUintN(64, symbol - (offset ?? 0n));
  return address >= 0n && address < 2n ** 52n ? Number(address) : null;
}

function parseNumber(text: string | undefined, radix: 10 | 16): bigint | null {
  if (text === undefined) return null;
  if (radix === 10) return /^-?[0-9]+$/.test(text) ? BigInt(text) : null;
  const digits = text.replace(/^0x/, "");
  return /^[0-9a-f]{1,16}$/i.test(digits) ? BigInt(`0x${digits}`) : null;
}

async function readable(read: () => Promise<void>): Promise<boolean> {
  try {
    await read();
    return true;
  } catch (error) {
    if (error instanceof FixedramError && error.code.startsWith("usage.")) return false;
    throw error;
  }
}
