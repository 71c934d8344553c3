/** Writes to a file what another thread puts into a queue, in that order, until there is no more. */
import { nodeCalls } from "../../storage/system-calls.ts";
import { type WriteTarget, writeFully, writevFully } from "../../storage/write-fully.ts";
import type { SharedFile } from "../page-reader.ts";
import { packError } from "../protocol.ts";
import { type QueuedWrite, type QueueMemory, QueueReader } from "../write-queue.ts";

export interface WriteBehindJob {
  readonly file: SharedFile;
  /** What the entries' offsets count in. */
  readonly memory: SharedArrayBuffer;
  readonly queue: QueueMemory;
}

/** Lists of views that are kept: pieces come again and again at the same places, and a list takes longer to make than to look up. */
const mostLists = 64;

/** @throws `system.disk-full`, `system.io`; whoever puts hears of it too */
export function run({ file, memory, queue }: WriteBehindJob): void {
  const reader = new QueueReader(queue);
  reader.begin();
  const bytes = new Uint8Array(memory);
  const views = new Views(bytes);
  const target: WriteTarget = { calls: nodeCalls, fd: file.fd, path: file.name };
  try {
    for (let entry = reader.next(); entry !== null; entry = reader.next()) {
      const { offset, stride, size, count, position } = entry;
      if (count === 1 || stride === size) writeFully(target, bytes.subarray(offset, offset + count * size), position);
      else writevFully(target, views.of(entry), position);
      reader.done();
    }
  } catch (error) {
    reader.fail(packError(error));
    throw error;
  }
}

class Views {
  readonly #bytes: Uint8Array;
  readonly #lists = new Map<string, readonly Uint8Array[]>();

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  of({ offset, stride, size, count }: QueuedWrite): readonly Uint8Array[] {
    const key = `${offset} ${stride} ${size} ${count}`;
    const known = this.#lists.get(key);
    if (known !== undefined) return known;
    if (this.#lists.size >= mostLists) this.#lists.clear();
    const list: Uint8Array[] = [];
    for (let i = 0; i < count; i++) list.push(this.#bytes.subarray(offset + i * stride, offset + i * stride + size));
    this.#lists.set(key, list);
    return list;
  }
}
