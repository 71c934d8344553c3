/** Page maps made for tests of comparing, and the plain model: what each page holds. */
import fc from "fast-check";
import type { DifferenceKind } from "../../src/diff/differences.ts";
import type { RamBlock } from "../../src/pages/block.ts";
import { ExtentKind, type ExtentList } from "../../src/pages/extents.ts";
import type { PageMap } from "../../src/pages/map.ts";
import type { Store } from "../../src/pages/store.ts";
import { MemoryFile } from "../fixedram/sample.ts";

/** A byte that fills the page; 0: zero; null: not in the file. `stored` zeros stand in the store all the same. */
export interface Page {
  readonly fill: number | null;
  readonly stored: boolean;
}

export interface Block {
  readonly name: string;
  readonly pageSize: number;
  readonly pages: readonly Page[];
}

/**
 * Puts pages into two stores in a scattered order, with gaps, as an indexed stream has them (`scattered`), or side by side.
 * The page's index stands in its first bytes, so that pages mixed up differ.
 */
export function mapOf(
  list: readonly Block[],
  layout: "scattered" | "dense",
  capacity = 1e6,
): PageMap & { files: MemoryFile[] } {
  const files = [new MemoryFile(), new MemoryFile()];
  const blocks: RamBlock[] = [];
  const places: { store: number; offset: number }[][] = [];
  list.forEach(({ name, pageSize, pages }, index) => {
    blocks.push({ index, name, length: pages.length * pageSize, pageSize, pages: pages.length });
    const own: { store: number; offset: number }[] = [];
    const order = pages.map((_, i) => i);
    if (layout === "scattered") order.sort((a, b) => ((a * 7919) % 101) - ((b * 7919) % 101));
    for (const page of order) {
      const { fill, stored } = pages[page] ?? { fill: 0, stored: false };
      if (fill === null || (fill === 0 && !stored)) continue;
      const store = layout === "scattered" ? page % 2 : 0;
      const file = files[store] ?? new MemoryFile();
      const gap = layout === "scattered" ? 8 + (page % 3) * 20_000 : 0;
      const offset = file.size + gap;
      file.write(contentOf(fill, page, pageSize), offset);
      own[page] = { store, offset };
    }
    places.push(own);
  });
  const extents = (block: number, first: number, count: number, into: ExtentList): number => {
    const { pageSize, pages } = list[block] ?? { pageSize: 1, pages: [] };
    for (let page = first; page < first + count; page++) {
      const place = places[block]?.[page];
      if (into.length >= capacity) return page - first;
      if (place !== undefined) {
        const last = into.length - 1;
        const follows =
          last >= 0 &&
          into.kind[last] === ExtentKind.data &&
          into.store[last] === place.store &&
          (into.offset[last] ?? 0) + (into.pages[last] ?? 0) * pageSize === place.offset;
        if (follows) into.pages[last] = (into.pages[last] ?? 0) + 1;
        else if (!into.push(ExtentKind.data, page, 1, place.store, place.offset)) return page - first;
      } else {
        const kind = pages[page]?.fill === null ? ExtentKind.absent : ExtentKind.zero;
        if (!into.push(kind, page, 1)) return page - first;
      }
    }
    return count;
  };
  return { blocks, stores: files as readonly Store[], extents, files };
}

function contentOf(fill: number, page: number, pageSize: number): Uint8Array {
  const bytes = new Uint8Array(pageSize).fill(fill);
  // The last byte alone tells some pages apart.
  if (fill > 200) bytes.fill(7, 0, pageSize - 1);
  if (fill !== 0) new DataView(bytes.buffer).setUint32(0, page + 1);
  return bytes;
}

/** The plain model: each page on its own. */
export function modelOf(a: readonly Block[], b: readonly Block[]): Map<string, DifferenceKind> {
  const found = new Map<string, DifferenceKind>();
  const compare = (name: string, left: readonly Page[], right: readonly Page[]) => {
    for (let page = 0; page < Math.max(left.length, right.length); page++) {
      const one = page < left.length ? (left[page]?.fill ?? null) : 0;
      const other = page < right.length ? (right[page]?.fill ?? null) : 0;
      const kind: DifferenceKind | null =
        one === null || other === null
          ? "unknown"
          : one === other
            ? null
            : one === 0
              ? "added"
              : other === 0
                ? "gone"
                : "changed";
      if (kind !== null) found.set(`${name}:${page}`, kind);
    }
  };
  const matched = new Set<Block>();
  for (const left of a) {
    const right = b.find(({ name, pageSize }) => name === left.name && pageSize === left.pageSize);
    compare(left.name, left.pages, right?.pages ?? []);
    if (right !== undefined) matched.add(right);
  }
  for (const right of b) if (!matched.has(right)) compare(right.name, [], right.pages);
  return found;
}

const page = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Page>({ fill: 0, stored: false }) },
  { weight: 1, arbitrary: fc.constant<Page>({ fill: 0, stored: true }) },
  { weight: 4, arbitrary: fc.constantFrom(1, 2, 201, 202).map((fill): Page => ({ fill, stored: true })) },
  { weight: 1, arbitrary: fc.constant<Page>({ fill: null, stored: false }) },
);

const runs = fc
  .array(fc.tuple(page, fc.integer({ min: 1, max: 40 })), { minLength: 1, maxLength: 12 })
  .map((list) => list.flatMap(([each, count]) => new Array<Page>(count).fill(each)));

function block(name: string): fc.Arbitrary<Block> {
  return fc.record({ name: fc.constant(name), pageSize: fc.constant(4096), pages: runs });
}

/** Two sets of blocks that share much: B is A with stretches replaced, cut, or left out. */
export const pairOfMaps = fc
  .tuple(block("pc.ram"), block("vga.vram"), fc.array(fc.tuple(fc.nat(300), runs), { maxLength: 4 }), fc.nat(7))
  .map(([ram, vga, edits, shape]) => {
    const pages = [...ram.pages];
    for (const [at, replaced] of edits) pages.splice(at % pages.length, replaced.length, ...replaced);
    const b: Block[] = [{ ...ram, pages: shape === 1 ? pages.slice(0, Math.ceil(pages.length / 2)) : pages }];
    if (shape !== 2) b.push(vga);
    if (shape === 3) b.push({ ...vga, name: "new.rom" });
    if (shape === 4) b.reverse();
    return { a: [ram, vga], b };
  });
