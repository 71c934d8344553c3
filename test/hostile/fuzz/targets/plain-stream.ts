/** The plain model of a stream: what its RAM holds, by docs/format.md and nothing of src. Slow and short. */
import { inflateSync } from "node:zlib";

export type PlainPages = Map<string, Uint8Array>;

/**
 * Reads the records of a stream whose pages are among them, up to its device state.
 *
 * @returns null where the model does not know: early device state, a page size per block
 */
export function plainStream(bytes: Uint8Array, defaultPageSize: number): PlainPages | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (at: number, length: number) => Buffer.from(bytes.subarray(at, at + length)).toString("latin1");
  let at = 8;
  let pageSize = defaultPageSize;
  at += 5 + view.getUint32(at + 1);
  while (view.getUint8(at) === 5) {
    const name = text(at + 2, view.getUint8(at + 1));
    at += 2 + name.length + 4;
    if (name === "configuration/uuid") at += 16;
    else if (name === "configuration/target-page-bits") {
      pageSize = 2 ** view.getUint32(at);
      at += 4;
    } else {
      const count = view.getUint32(at);
      at += 4;
      for (let i = 0; i < count; i++) {
        if (text(at + 1, view.getUint8(at)) === "x-ignore-shared") return null;
        at += 1 + view.getUint8(at);
      }
    }
  }
  const pages: PlainPages = new Map();
  const kinds = new Map<number, string>();
  let parted = false;
  let block = "";
  const ram = () => {
    for (;;) {
      const word = view.getBigUint64(at);
      at += 8;
      const flags = Number(word % BigInt(pageSize));
      if ((flags & 0x10) !== 0) return;
      if ((flags & 0x280) !== 0) continue;
      if ((flags & 0x20) === 0) {
        block = text(at + 1, view.getUint8(at));
        at += 1 + block.length;
      }
      const key = `${block}\0${word / BigInt(pageSize)}`;
      if ((flags & 0x02) !== 0) {
        pages.delete(key);
        at += 1;
      } else if ((flags & 0x08) !== 0) {
        pages.set(key, bytes.slice(at, at + pageSize));
        at += pageSize;
      } else if ((flags & 0x40) !== 0) {
        const length = view.getUint16(at + 1);
        const page = pages.get(key)?.slice() ?? new Uint8Array(pageSize);
        delta(page, bytes.subarray(at + 3, at + 3 + length));
        pages.set(key, page);
        at += 3 + length;
      } else {
        const length = view.getUint32(at);
        pages.set(key, new Uint8Array(inflateSync(bytes.subarray(at + 4, at + 4 + length))));
        at += 4 + length;
      }
    }
  };
  for (;;) {
    const type = view.getUint8(at);
    if (type === 0 || (type === 4 && (parted || kinds.size === 0))) return pages;
    if (type === 4) return null;
    if (type === 8) {
      const command = view.getUint16(at + 1);
      const length = view.getUint16(at + 3);
      if (command === 3 && length === 16 && view.getBigUint64(at + 5) >= 8192n) return null;
      at += 5 + length;
      if (command === 7) at += view.getUint32(at - 4);
      continue;
    }
    const id = view.getUint32(at + 1);
    if (type === 1) {
      const name = text(at + 6, view.getUint8(at + 5));
      at += 6 + name.length + 8;
      kinds.set(id, name);
      if (name === "ram") {
        let left = view.getBigUint64(at) - 4n;
        at += 8;
        while (left > 0n) {
          at += 1 + view.getUint8(at);
          left -= view.getBigUint64(at);
          at += 8;
        }
      }
    } else {
      at += 5;
      parted = true;
    }
    if (kinds.get(id) === "ram") ram();
    else at = dirtyBitmap(view, at);
    at += 5;
  }
}

function delta(page: Uint8Array, data: Uint8Array): void {
  let from = 0;
  let to = 0;
  const number = () => {
    const low = data[from++] ?? 0;
    return low < 128 ? low : low - 128 + 128 * (data[from++] ?? 0);
  };
  while (from < data.length) {
    to += number();
    const count = number();
    page.set(data.subarray(from, from + count), to);
    from += count;
    to += count;
  }
}

function dirtyBitmap(view: DataView, start: number): number {
  for (let at = start; ; ) {
    const flags = view.getUint8(at++);
    if ((flags & 8) !== 0) at += 1 + view.getUint8(at);
    if ((flags & 4) !== 0) at += 1 + view.getUint8(at);
    if ((flags & 0x10) !== 0) at += 5;
    if ((flags & 0x40) !== 0) {
      at += 12;
      if ((flags & 2) === 0) at += 8 + Number(view.getBigUint64(at));
    }
    if ((flags & 1) !== 0) return at;
  }
}
