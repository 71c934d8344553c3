/**
 * The order of the 64-bit words of a file's bitmaps: that of the host that wrote them (docs/format.md, "Bitmap"). Nothing in a
 * mapped-ram file tells it; a seal does, with a section BORD (docs/format.md, "BORD").
 */
import { FixedramError } from "../errors.ts";

export const orderType = "BORD";
/** What BORD holds, a u32: the words stand big-endian. A file whose words stand little-endian has no such section. */
const big: readonly number[] = [0, 0, 0, 1];

/** Whether a QEMU of this host writes bitmaps, and expects them, big-endian. What we write stands little-endian on every host. */
export const hostIsBigEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 0;

/** The section that says that a file's bitmaps stand big-endian. A reader that does not know it would take other pages for present. */
export function encodeOrder(): { type: string; critical: boolean; payload: Uint8Array } {
  return { type: orderType, critical: true, payload: Uint8Array.from(big) };
}

/**
 * Takes the payload of BORD, whose digest has been checked.
 *
 * @param offset of the section, bytes, for the error
 * @throws `seal.unknown-critical`: it says something else than that the words stand big-endian
 */
export function requireBigOrder(payload: Uint8Array, offset: number): void {
  if (payload.length === big.length && big.every((byte, i) => payload[i] === byte)) return;
  throw new FixedramError(
    "seal.unknown-critical",
    "the seal tells of an order of bits in the bitmaps that is not known",
    {
      offset,
      expected: "section BORD of 4 bytes, 1 (big-endian)",
      found: `${payload.length} bytes, ${payload.subarray(0, 4).join(" ")}`,
      hint: "Use the fixedram that made it, or a newer one.",
    },
  );
}

/** The byte of a bitmap, counted from its first, in which a page's bit stands. */
export function byteOfPage(page: number, bigEndian: boolean): number {
  const byte = Math.floor(page / 8);
  return bigEndian ? byte - (byte % 8) + 7 - (byte % 8) : byte;
}
