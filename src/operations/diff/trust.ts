import { PageBitmap } from "../../bytes/bitmap.ts";
import { setU64, viewOf } from "../../bytes/cursor.ts";
import { sameBytes } from "../../bytes/numbers.ts";
import { digestBytes } from "../../bytes/page-digest.ts";
import type { Snapshot } from "../../containers/snapshot.ts";
import type { BlockPair, Trust } from "../../diff/plan.ts";
import type { SealedBlock } from "../../fixedram/digest-sections.ts";
import { nodesOf } from "../../fixedram/digest-sections.ts";
import { nodeBytes, nodePages, tableBytes } from "../../fixedram/digest-table.ts";
import { NodeHasher, nodeEntryBytes } from "../../fixedram/nodes.ts";
import { readDigests } from "../../fixedram/seal.ts";
import { ExtentKind, ExtentList } from "../../pages/extents.ts";
import type { PageMap } from "../../pages/map.ts";
import type { Store } from "../../pages/store.ts";

type Sealed = Pick<Snapshot, "map" | "seal">;

/**
 * What the seals of two snapshots let us take for equal: pages whose digests agree, in nodes whose bitmap and digests are as
 * they were sealed. Null when one of them has no seal with digests, or cannot be read without leaving the thread.
 *
 * @throws `seal.*`, `system.*`
 */
export async function trustSeals(a: Sealed, b: Sealed): Promise<((pair: BlockPair) => Trust | null) | null> {
  const [ofA, ofB] = [await sealedTables(a), await sealedTables(b)];
  if (ofA === null || ofB === null) return null;
  return (pair) => {
    if (pair.a === null || pair.b === null) return null;
    const [tableA, tableB] = [ofA(pair.a.index), ofB(pair.b.index)];
    return tableA === null || tableB === null ? null : new SealTrust(tableA, tableB);
  };
}

async function sealedTables({ map, seal }: Sealed): Promise<((block: number) => SealedTable | null) | null> {
  const [store] = map.stores;
  if (seal.seal === null || store?.readSync === undefined) return null;
  const digests = await readDigests(store, seal.seal);
  if (digests === null) return null;
  return (block) => {
    const sealed = digests.blocks[block];
    const pages = map.blocks[block]?.pages;
    if (sealed === undefined || sealed.pages !== pages) return null;
    return new SealedTable(store, map, block, sealed, nodesOf(digests, block));
  };
}

/** The digests of one block, node by node, each checked against the seal before it is used. */
class SealedTable {
  /** Of the node that was asked for last. */
  readonly bytes = new Uint8Array(nodeBytes);
  readonly #store: Store;
  readonly #map: PageMap;
  readonly #block: number;
  readonly #sealed: SealedBlock;
  readonly #entries: Uint8Array;
  readonly #list = new ExtentList(nodePages);
  readonly #hasher = new NodeHasher();
  readonly #index = new Uint8Array(8);
  #at = 0;
  #node = -1;
  #sound = false;

  constructor(store: Store, map: PageMap, block: number, sealed: SealedBlock, entries: Uint8Array) {
    this.#store = store;
    this.#map = map;
    this.#block = block;
    this.#sealed = sealed;
    this.#entries = entries;
  }

  /** Brings a node's digests to `bytes`; false when they are not as they were sealed. Nodes are asked for in order. */
  load(node: number): boolean {
    if (node === this.#node) return this.#sound;
    this.#node = node;
    this.#sound = false;
    const expected = this.#entry(node);
    if (expected === null) return false;
    const { tableOffset, pages } = this.#sealed;
    const length = Math.min(nodeBytes, tableBytes(pages) - node * nodeBytes);
    const target = this.bytes.subarray(0, length);
    if (this.#store.readSync?.(target, tableOffset + node * nodeBytes) !== length) return false;
    this.#sound = sameBytes(this.#hasher.hash(this.#bits(node), 0, this.bytes), expected);
    return this.#sound;
  }

  /** SHA-256 of a node as NODS has it; null when it lists none. Entries are in order. */
  #entry(node: number): Uint8Array | null {
    setU64(viewOf(this.#index), 0, node);
    for (; this.#at < this.#entries.length; this.#at += nodeEntryBytes) {
      const entry = this.#entries.subarray(this.#at, this.#at + nodeEntryBytes);
      const order = Buffer.compare(entry.subarray(0, 8), this.#index);
      if (order === 0) return entry.subarray(8);
      if (order > 0) return null;
    }
    return null;
  }

  #bits(node: number): PageBitmap {
    const first = node * nodePages;
    const pages = Math.min(nodePages, this.#sealed.pages - first);
    const bits = new PageBitmap(pages);
    const list = this.#list;
    list.clear();
    this.#map.extents(this.#block, first, pages, list);
    for (let i = 0; i < list.length; i++) {
      if (list.kind[i] === ExtentKind.data) bits.setRange((list.first[i] ?? 0) - first, list.pages[i] ?? 0);
    }
    return bits;
  }
}

class SealTrust implements Trust {
  readonly #a: SealedTable;
  readonly #b: SealedTable;

  constructor(a: SealedTable, b: SealedTable) {
    this.#a = a;
    this.#b = b;
  }

  agree(first: number, pages: number): number {
    const node = Math.floor(first / nodePages);
    const slot = first - node * nodePages;
    const end = Math.min(nodePages, slot + pages);
    // Both are loaded: which of them is unsound does not matter.
    const sound = [this.#a.load(node), this.#b.load(node)];
    if (sound.includes(false)) return slot - end;
    const alike = this.#alike(slot);
    let next = slot + 1;
    while (next < end && this.#alike(next) === alike) next++;
    return alike ? next - slot : slot - next;
  }

  #alike(slot: number): boolean {
    const [a, b] = [this.#a.bytes, this.#b.bytes];
    for (let at = slot * digestBytes; at < (slot + 1) * digestBytes; at++) if (a[at] !== b[at]) return false;
    return true;
  }
}
