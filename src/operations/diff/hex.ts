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

/** Reads both sides of one page and compares them row by row. What a map does not have reads as zeros. */
export async function hexPage(
  a: PageMap,
  b: PageMap,
  { block, kind }: PageDifference,
  page: number,
  signal?: AbortSignal,
): Promise<HexPage> {
  const pageSize = [...a.blocks, ...b.blocks].find(({ name }) => name === block)?.pageSize ?? 0;
  const [left, right] = [
    await readPage(a, block, page, pageSize, signal),
    await readPage(b, block, page, pageSize, signal),
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
  name: string,
  page: number,
  pageSize: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const bytes = Buffer.alloc(pageSize);
  const block = map.blocks.find((each) => each.name === name && each.pageSize === pageSize);
  if (block === undefined || page >= block.pages) return bytes;
  const list = new ExtentList(1);
  map.extents(block.index, page, 1, list);
  const store = map.stores[list.store[0] ?? 0];
  if (list.kind[0] === ExtentKind.data && store !== undefined) await store.read(bytes, list.offset[0] ?? 0, signal);
  return bytes;
}
