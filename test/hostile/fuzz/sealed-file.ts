/** A small sealed file, and which of its bytes its seal covers: 2 for what is no part of the seal itself, 1 for the seal. */
import { decodeDigests } from "../../../src/fixedram/digest-sections.ts";
import { sealed } from "../seals.ts";
import { mapped } from "../sound.ts";

const file = await sealed(
  mapped({
    pageBits: 10,
    pageSize: 1024,
    devices: [{ name: "timer", id: 7, payload: Uint8Array.of(1, 2, 3, 4) }],
    blocks: [
      { name: "ram", pages: 9, present: { 0: 1, 1: 2, 8: 3 } },
      { name: "rom", pages: 2, present: { 1: 4 } },
    ],
  }),
);

export const sealedFile: Uint8Array = file.bytes;
export const covered = new Uint8Array(sealedFile.length);

const payload = (type: string): Uint8Array => {
  const { offset, size } = file.field(`${type}.payload`);
  return sealedFile.subarray(offset, offset + size);
};
const { blocks, regions } = decodeDigests(payload("BLKS"), payload("RGNS"), payload("NODS"), sealedFile.length);
const streamEnd = file.at("vmdesc.json") + file.field("vmdesc.json").size;
covered.fill(1, streamEnd);
for (const { offset, length } of regions) covered.fill(2, offset, offset + length);
for (const { pages, pageSize, bitmapOffset, pagesOffset, tableOffset } of blocks) {
  covered.fill(0, tableOffset, tableOffset + pages * 8);
  for (let page = 0; page < pages; page++) {
    const set = ((sealedFile[bitmapOffset + Math.floor(page / 8)] ?? 0) & (1 << (page % 8))) !== 0;
    if (!set) continue;
    covered.fill(2, pagesOffset + page * pageSize, pagesOffset + (page + 1) * pageSize);
    covered.fill(1, tableOffset + page * 8, tableOffset + page * 8 + 8);
  }
}
