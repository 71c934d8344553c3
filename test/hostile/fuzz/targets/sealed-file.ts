/** Small sealed files, and which of their bytes their seal covers: 2 for what is no part of the seal itself, 1 for the seal. */
import { decodeDigests } from "../../../../src/fixedram/digest-sections.ts";
import type { Field, Sound } from "../../marked.ts";
import { saved, sealed } from "../../seals.ts";
import { mapped } from "../../sound.ts";
import { block, small } from "./shared.ts";

export interface SealedFile {
  readonly bytes: Uint8Array;
  readonly covered: Uint8Array;
  /** Fields of the seal and of the stream, by number. */
  readonly fields: readonly Field[];
}

function withCover(file: Sound, streamEnd: number, bigEndian = false): SealedFile {
  const { bytes } = file;
  const covered = new Uint8Array(bytes.length);
  const payload = (type: string): Uint8Array => {
    const { offset, size } = file.field(`${type}.payload`);
    return bytes.subarray(offset, offset + size);
  };
  const { blocks, regions } = decodeDigests(payload("BLKS"), payload("RGNS"), payload("NODS"), bytes.length);
  covered.fill(1, streamEnd);
  for (const { offset, length } of regions) covered.fill(2, offset, offset + length);
  for (const { pages, pageSize, bitmapOffset, pagesOffset, tableOffset } of blocks) {
    covered.fill(0, tableOffset, tableOffset + pages * 8);
    for (let page = 0; page < pages; page++) {
      const byte = Math.floor(page / 8);
      const place = bitmapOffset + (bigEndian ? byte - (byte % 8) + 7 - (byte % 8) : byte);
      const set = ((bytes[place] ?? 0) & (1 << (page % 8))) !== 0;
      if (!set) continue;
      covered.fill(2, pagesOffset + page * pageSize, pagesOffset + (page + 1) * pageSize);
      covered.fill(1, tableOffset + page * 8, tableOffset + page * 8 + 8);
    }
  }
  const fields = [...file.fields.values()].filter(({ size }) => size > 0 && size <= 64);
  return { bytes, covered, fields };
}

function placeAt(bytes: Uint8Array, fromEnd: number): number {
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(bytes.length - fromEnd));
}

export interface SealedFiles {
  /** Its tables behind the stream. */
  readonly inPlace: SealedFile;
  /** The same, its bitmaps those of a big-endian host. */
  readonly big: SealedFile;
  /** As a save leaves it, its tables in the gaps. */
  readonly saved: SealedFile;
}

export async function sealedFiles(): Promise<SealedFiles> {
  const inPlace = await sealed(mapped({ ...small, blocks: block }));
  const big = await sealed(mapped({ ...small, blocks: block, bigEndian: true }), { bigEndian: true });
  const own = await saved();
  // Bytes 40 to 47 of the trailer: the stream's end.
  const endOf = ({ bytes }: Sound): number => placeAt(bytes, 88);
  return {
    inPlace: withCover(inPlace, endOf(inPlace)),
    big: withCover(big, endOf(big), true),
    saved: withCover(own, endOf(own)),
  };
}
