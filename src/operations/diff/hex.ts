import type { BlockPair } from "../../diff/plan.ts";
import type { RamBlock } from "../../pages/block.ts";
import { ExtentKind, ExtentList } from "../../pages/extents.ts";
import type { PageMap } from "../../pages/map.ts";
import type { PageDifference } from "./pages.ts";

/** Bytes in a row. */
export const rowBytes = 16;

/** One page that differs, with the rows of 16 bytes that are not the same. */
export interface HexPage {
  readonly block: string;
  readonly kind: PageDifference["kind"];
  /** Page index, and its first byte's offset in the block. */
  readonly page: number;
  readonly offset: number;
  /** Bytes that differ. */
  readonly bytes: number;
  readonly rows: readonly HexRow[];
}

export interface HexRow {
  /** In the page, bytes. */
  readonly offset: number;
  /** 16 bytes each, hexadecimal. */
  readonly a: string;
  readonly b: string;
}

/** Reads both sides of one page of a pair and compares them row by row. What a map does not have reads as zeros. */
export async function hexPage(
  a: PageMap,
  b: PageMap,
  pair: BlockPair,
  { block, kind }: PageDifference,
  page: number,
  signal?: AbortSignal,
): Promise<HexPage> {
  const pageSize = (pair.a ?? pair.b)?.pageSize ?? 0;
  const [left, right] = [
    await readPage(a, pair.a, page, pageSize, signal),
    await readPage(b, pair.b, page, pageSize, signal),
  ];
  const rows: HexRow[] = [];
  let bytes = 0;
  for (let offset = 0; offset < pageSize; offset += rowBytes) {
    let different = 0;
    for (let i = offset; i < offset + rowBytes; i++) if (left[i] !== right[i]) different++;
    bytes += different;
    const row = (side: Buffer) => side.toString("hex", offset, offset + rowBytes);
    if (different > 0) rows.push({ offset, a: row(left), b: row(right) });
  }
  return { block, kind, page, offset: page * pageSize, bytes, rows };
}

async function readPage(
  map: PageMap,
  block: RamBlock | null,
  page: number,
  pageSize: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const bytes = Buffer.alloc(pageSize);
  if (block === null || page >= block.pages) return bytes;
  const list = new ExtentList(1);
  map.extents(block.index, page, 1, list);
  const store = map.stores[list.store[0] ?? 0];
  if (list.kind[0] === ExtentKind.data && store !== undefined) await store.read(bytes, list.offset[0] ?? 0, signal);
  return bytes;
}
