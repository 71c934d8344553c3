/** Snapshots made without a guest: one RAM block of random data, as fixed-ram writes it, sealed. */
import { randomFillSync } from "node:crypto";
import { FixedRamWriter } from "../src/fixedram/writer.ts";
import { TargetFile } from "../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../test/fixedram/sample.ts";

const chunkPages = 4096;
let chunk: Uint8Array | null = null;

/**
 * Writes `mib` MiB of random data, the same 16 MiB again and again, in every file of this process alike but for the first byte of
 * one page in a thousand.
 *
 * @param mark that byte
 */
export async function writeMade(path: string, mib: number, mark: number): Promise<void> {
  chunk ??= randomFillSync(new Uint8Array(chunkPages * 4096));
  const pages = mib * 256;
  const writer = new FixedRamWriter(TargetFile.create(path), configuration(), ramStart(["pc.ram", pages]));
  const [ram] = writer.blocks;
  if (ram === undefined) throw new Error("no block");
  const { pages: indices, offsets } = batch(
    ram,
    Array.from({ length: chunkPages }, (_, i): [number, number] => [i, 1]),
  );
  for (let first = 0; first < pages; first += chunkPages) {
    const count = Math.min(chunkPages, pages - first);
    for (let i = 0; i < count; i++) {
      indices[i] = first + i;
      offsets[i] = i * 4096;
    }
    for (let i = 0; i < count; i += 1000) chunk[i * 4096] = mark;
    writer.writePages({ block: ram, count, pages: indices, offsets, chunk });
  }
  writer.tail(tail());
  await writer.finish(meta);
}
