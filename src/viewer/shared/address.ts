import { hexAddress } from "../../bytes/text.ts";
import type { ViewBlock, ViewRange } from "./protocol.ts";

/** A byte of a block. */
export interface Spot {
  readonly block: number;
  /** Bytes from the block's start. */
  readonly offset: number;
}

/** Guest-physical address of a byte; null where there is none, or nobody knows. */
export function physicalIn(ranges: readonly ViewRange[], { block, offset }: Spot): number | null {
  for (const range of ranges) {
    if (range.block === block && offset >= range.offset && offset < range.offset + range.length)
      return range.start + offset - range.offset;
  }
  return null;
}

/** The byte at a guest-physical address. */
export function spotIn(ranges: readonly ViewRange[], address: number): Spot | null {
  for (const { start, length, block, offset } of ranges)
    if (address >= start && address < start + length) return { block, offset: offset + address - start };
  return null;
}

export type Address = { readonly spot: Spot } | { readonly virtual: string } | { readonly problem: string };

/**
 * What was typed into "go to": `0x1f000` in the present block, `BLOCK:0x1f000`, `page 12`, `p:0x...` guest-physical, `v:0x...`
 * virtual, as are numbers too large for anything else. Numbers are hexadecimal after 0x, else decimal.
 */
export function parseAddress(
  text: string,
  present: ViewBlock | null,
  blocks: readonly ViewBlock[],
  ranges: readonly ViewRange[],
): Address {
  const typed = text.trim();
  const [, prefix = "", rest = ""] = /^(?:(.*):)?\s*([^:]*)$/s.exec(typed) ?? [];
  const digits = rest.replaceAll(/[_\s]/g, "");
  if (prefix.toLowerCase() === "v") return { virtual: digits };
  const paged = /^page\s+(.+)$/i.exec(rest);
  const value = parseNumber(paged?.[1] ?? rest);
  // Above 2^52 lie no offsets and no physical addresses.
  if (prefix === "" && paged === null && /^0x[1-9a-f][0-9a-f]{13,15}$/i.test(digits)) return { virtual: digits };
  if (value === null) return { problem: `${JSON.stringify(rest)} is no number: 4096, 0x1000, page 12` };
  if (prefix.toLowerCase() === "p") {
    const spot = spotIn(ranges, value);
    return spot === null ? { problem: "No RAM of the guest is known at this physical address." } : { spot };
  }
  const block =
    prefix === "" ? present : (blocks.find(({ label, name }) => label === prefix || name === prefix) ?? null);
  if (block === null) return { problem: prefix === "" ? "There is no block." : `No block is called ${prefix}.` };
  const offset = paged === null ? value : value * block.pageSize;
  if (offset >= block.length) return { problem: `The block ends at ${hexAddress(block.length)}.` };
  return { spot: { block: block.index, offset } };
}

export function parseNumber(text: string): number | null {
  const typed = text.trim().replaceAll(/[_ ]/g, "");
  const match = /^(0x[0-9a-f]+|[0-9]+)([kmgt]?)$/i.exec(typed);
  if (match === null) return null;
  const value = Number(match[1]) * 1024 ** " kmgt".indexOf((match[2] ?? "").toLowerCase() || " ");
  return Number.isSafeInteger(value) ? value : null;
}
