import { hexAddress } from "../../bytes/text.ts";
import { FixedramError } from "../../errors.ts";
import type { Inside } from "./open.ts";
import { type InsideOptions, type MapUsed, mapUsed, withInside } from "./with.ts";

export interface ReadOptions extends InsideOptions {
  /** Offset in the block, physical or virtual address, bytes. */
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
  /** `block` reads by offset in that block, `virtual` by the CPU's page tables. Default: physical. */
  readonly space?: "physical" | "virtual" | { readonly block: string };
  /** Whose page tables; default 0. */
  readonly cpu?: number;
  /** Takes the bytes in order, in pieces of up to 1 MiB, valid until it returns. */
  readonly onBytes: (bytes: Uint8Array, address: bigint) => void | Promise<void>;
}

export interface ReadResult {
  readonly path: string;
  readonly space: "physical" | "virtual" | "block";
  /** Hexadecimal, `0x...`. */
  readonly address: string;
  readonly length: number;
  /** Name, bytes as latin1; null unless it was read by block. */
  readonly block: string | null;
  readonly cpu: number | null;
  readonly map: MapUsed | null;
}

const pieceBytes = 2 ** 20;

/**
 * Reads guest memory. Nothing is given when the first byte can't be read; what lies before one that can't be is given, then it throws.
 *
 * @throws `usage.no-memory`, `usage.not-mapped`, `usage.no-such-block`, `usage.past-the-block`, `usage.no-such-cpu`, those of
 * {@link openSnapshot} and of the memory map
 */
export async function read(options: ReadOptions): Promise<ReadResult> {
  const { address, length, onBytes, signal, file } = options;
  if (!Number.isSafeInteger(length) || length < 0) throw new RangeError(`${length} is no length`);
  return await withInside(options, async (inside) => {
    const plan = planOf(inside, options);
    const buffer = new Uint8Array(Math.min(length, pieceBytes));
    for (let done = 0; done < length; ) {
      signal?.throwIfAborted();
      // Pieces end at multiples of their size, and so at page borders.
      const at = address + BigInt(done);
      const room = pieceBytes - Number(at % BigInt(pieceBytes));
      const piece = buffer.subarray(0, Math.min(room, length - done));
      try {
        await plan.read(at, piece);
      } catch (error) {
        signal?.throwIfAborted();
        const count = error instanceof FixedramError ? await readBefore(plan, at, piece) : 0;
        if (count > 0) await onBytes(piece.subarray(0, count), at);
        throw error;
      }
      await onBytes(piece, at);
      done += piece.length;
    }
    return { path: file, address: `0x${address.toString(16)}`, length, ...plan.said() };
  });
}

/** Reads what lies before the first byte that can't be read, in ever smaller steps; how many bytes. */
async function readBefore(plan: Plan, at: bigint, piece: Uint8Array): Promise<number> {
  let done = 0;
  for (let step = pieceBytes / 4; step >= 1; step /= 4) {
    try {
      for (; done + step <= piece.length; done += step) {
        await plan.read(at + BigInt(done), piece.subarray(done, done + step));
      }
    } catch (error) {
      if (!(error instanceof FixedramError)) throw error;
    }
  }
  return done;
}

interface Plan {
  read(at: bigint, target: Uint8Array): Promise<void>;
  said(): Pick<ReadResult, "space" | "block" | "cpu" | "map">;
}

function planOf(inside: Inside, { space = "physical", cpu = 0, signal }: ReadOptions): Plan {
  if (space === "virtual") {
    inside.cpu(cpu);
    return {
      read: (at, target) => inside.readVirtual(at, target, cpu, signal),
      said: () => ({ space, block: null, cpu, map: mapUsed(inside.memoryMap) }),
    };
  }
  if (space === "physical") {
    return {
      read: (at, target) => inside.readPhysical(placeOf(at), target, signal),
      said: () => ({ space, block: null, cpu: null, map: mapUsed(inside.memoryMap) }),
    };
  }
  const block = inside.block(space.block);
  return {
    read: (at, target) => inside.readBlock(block, placeOf(at), target, signal),
    said: () => ({ space: "block", block: block.name, cpu: null, map: null }),
  };
}

/** Physical addresses and offsets have 52 bits at most. */
function placeOf(at: bigint): number {
  if (at < 2n ** 52n) return Number(at);
  throw new FixedramError("usage.no-memory", "no memory of the guest lies at that address", {
    found: hexAddress(at),
    hint: "Addresses this high are virtual ones: --virtual.",
  });
}
