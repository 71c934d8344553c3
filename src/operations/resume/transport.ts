import { printable } from "../../bytes/text.ts";
import { isMainRam } from "../../fixedram/layout.ts";
import type { RamBlock } from "../../pages/block.ts";
import type { GuestFacts, MemoryBackend } from "../../qemu/inspect.ts";

/** How a destination gets its pages, and why. */
export interface TransportChoice {
  readonly transport: "mapped-ram" | "multifd" | "stream";
  /** One sentence. */
  readonly reason: string;
  /** With multifd: what ends a round (docs/format.md, "multifd channels"). */
  readonly flush?: boolean;
}

/** What the choice depends on. */
export interface TransportFacts {
  readonly version: { readonly major: number; readonly minor: number; readonly text: string };
  /** As in the snapshot. */
  readonly machine: string;
  /** Threads of ours can read the file's pages, and write to QEMU's sockets. */
  readonly channels: boolean;
  readonly capabilities: Readonly<Record<string, boolean>>;
  readonly backends: readonly MemoryBackend[];
  /** The file's stream says that shared memory was left out: QEMU itself cannot load such a file. */
  readonly ignoreShared: boolean;
  /** The order of the file's bitmaps, where QEMU does not expect it here; null: it does. */
  readonly otherOrder: "little" | "big" | null;
  /** The file is mapped-ram; a legacy stream is not. */
  readonly loadable: boolean;
  /** QEMU's user may read the file. */
  readonly readable: boolean;
  /** Name of a RAM block that has another length in the destination; null: there is none. */
  readonly otherLength: string | null;
}

/**
 * A QEMU that knows mapped-ram reads the file by itself, on several threads. Every other destination gets its pages from us,
 * and so does one whose RAM may not start as zeros: mapped-ram leaves pages with a clear bit alone. On several multifd channels
 * where that is known to work, else in one stream.
 */
export function chooseTransport(facts: TransportFacts): TransportChoice {
  const flush = roundsEndWithFlush(facts);
  const fixed = facts.loadable && facts.otherLength === null;
  const several = fixed && facts.channels && flush !== null && facts.capabilities["multifd"] !== undefined;
  const stream = (reason: string): TransportChoice =>
    several ? { transport: "multifd", reason, flush } : { transport: "stream", reason };
  if (facts.capabilities["mapped-ram"] === undefined)
    return stream(`QEMU ${facts.version.text} does not know mapped-ram`);
  if (facts.otherOrder !== null) return stream(`the file's bitmaps are of a ${facts.otherOrder}-endian host`);
  if (!facts.loadable) return stream("the pages have no fixed place in the file");
  if (facts.ignoreShared) return stream("QEMU cannot load a file from which shared memory was left out");
  const backend = facts.backends.find(mayHoldData);
  if (backend !== undefined) return stream(`memory backend ${backend.id ?? "?"} may not start as zeros`);
  // QEMU 10 loads a file into more memory than it was saved from without a word; in a stream it adapts the block, or says why not.
  if (facts.otherLength !== null)
    return stream(
      `RAM block ${printable(facts.otherLength)} has another length here, which QEMU sees in a stream only`,
    );
  if (!facts.readable) return stream("QEMU's user may not read the file");
  return { transport: "mapped-ram", reason: `QEMU ${facts.version.text} reads the file itself` };
}

/** What the destination takes for the end of a round: machine types up to 8.0 know no FLUSH. Null: not known. */
function roundsEndWithFlush({ version, machine }: TransportFacts): boolean | null {
  if (version.major < 8 || (version.major === 8 && version.minor === 0)) return false;
  const [, major, minor] = /-(\d+)\.(\d+)$/.exec(machine) ?? [];
  if (major === undefined || minor === undefined) return null;
  return Number(major) > 8 || (Number(major) === 8 && Number(minor) > 0);
}

/** The first block of a snapshot that the destination has with another length; one that it has not is QEMU's to name. */
export function otherLength(
  blocks: readonly { readonly block: RamBlock }[],
  there: readonly { readonly name: string; readonly used: number }[],
): string | null {
  const lengths = new Map(there.map(({ name, used }) => [name, used]));
  const found = blocks.find(({ block }) => (lengths.get(block.name) ?? block.length) !== block.length);
  return found?.block.name ?? null;
}

/** RAM that a file or another process holds can have bytes in it before anything is loaded. */
export function mayHoldData(backend: MemoryBackend): boolean {
  return backend.path !== null || backend.shared || backend.type === "memory-backend-file";
}

/** Which blocks need their zero pages sent: all but main RAM that starts as zeros (docs/format.md, "Zero pages"). */
export function zeroPagesWanted(facts: GuestFacts): (block: RamBlock) => boolean {
  const main = new Set(facts.memory.mainBlocks);
  const dirty = facts.memory.backends.some(mayHoldData);
  return (block) => dirty || !(main.has(block.name) || (main.size === 0 && isMainRam(block)));
}
