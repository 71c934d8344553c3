import { createHash } from "node:crypto";
import type { Store } from "../pages/store.ts";
import type { Region, RegionKind } from "./digest-sections.ts";
import type { FixedRamFile } from "./reader.ts";

const readBytes = 128 * 1024;

/** What a person calls a region. */
export function nameOfRegion({ kind, block }: Pick<Region, "kind" | "block">): string {
  switch (kind) {
    case "HEAD":
      return "the stream's header (machine, capabilities, first RAM block)";
    case "ENTR":
      return `the entry of RAM block number ${block}`;
    case "BMAP":
      return `the bitmap of RAM block number ${block}`;
    case "TAIL":
      return "the device state (with the stream's end and vmdesc)";
  }
}

/** SHA-256 of bytes [offset, offset + length) of a file; what is behind its end counts as missing. */
export async function digestOfRegion(
  store: Store,
  offset: number,
  length: number,
  signal?: AbortSignal | undefined,
): Promise<Uint8Array> {
  const buffer = new Uint8Array(Math.min(length, readBytes));
  const hash = createHash("sha256");
  for (let done = 0; done < length; ) {
    const count = await store.read(buffer.subarray(0, Math.min(buffer.length, length - done)), offset + done, signal);
    if (count === 0) break;
    hash.update(buffer.subarray(0, count));
    done += count;
  }
  return hash.digest();
}

/** Every byte of a file's stream that is no page, and its bitmaps, with their digests as they are now. */
export async function regionsOf(file: FixedRamFile, signal?: AbortSignal | undefined): Promise<Region[]> {
  const regions: Region[] = [];
  const add = async (kind: RegionKind, block: number, offset: number, length: number) => {
    const sha256 = await digestOfRegion(file.store, offset, length, signal);
    regions.push({ kind, block, offset, length, sha256 });
  };
  const last = file.runs.length - 1;
  for (const [i, { start, end }] of file.runs.entries()) {
    const kind = i === 0 ? "HEAD" : i === last ? "TAIL" : "ENTR";
    await add(kind, kind === "ENTR" ? Math.min(i, file.blocks.length - 1) : 0, start, end - start);
  }
  for (const { block, bitmapOffset, bitmapLength } of file.blocks) {
    await add("BMAP", block.index, bitmapOffset, bitmapLength);
  }
  return regions;
}
