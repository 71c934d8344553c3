import { ByteBuilder } from "../../src/bytes/cursor.ts";
import { fromLatin1 } from "../../src/bytes/text.ts";
import type { SnapshotMeta } from "../../src/fixedram/meta.ts";
import type { WritableFile } from "../../src/fixedram/writer.ts";
import type { RamBlock } from "../../src/pages/block.ts";
import type { PageBatch } from "../../src/pages/sink.ts";
import type { Store } from "../../src/pages/store.ts";
import type { ConfigurationRecord, RamStartRecord } from "../../src/stream/records.ts";

export const pageSize = 4096;
const piece = 65536;

/** A sparse file in memory: both what a writer wants and what a reader wants. */
export class MemoryFile implements WritableFile, Store {
  readonly name = "memory";
  size = 0;
  committed = false;
  aborted = false;
  /** Bytes that were written, pieces of 64 KiB. */
  readonly pieces = new Map<number, Uint8Array>();
  writes = 0;

  write(bytes: Uint8Array, position: number): void {
    this.writes++;
    let done = 0;
    while (done < bytes.length) {
      const at = position + done;
      const index = Math.floor(at / piece);
      const held = this.pieces.get(index) ?? new Uint8Array(piece);
      this.pieces.set(index, held);
      const count = Math.min(bytes.length - done, piece - (at - index * piece));
      held.set(bytes.subarray(done, done + count), at - index * piece);
      done += count;
    }
    this.size = Math.max(this.size, position + bytes.length);
  }

  writev(views: readonly Uint8Array[], position: number): void {
    this.write(Buffer.concat(views), position);
  }

  readSync = (target: Uint8Array, position: number): number => {
    const count = Math.max(0, Math.min(target.length, this.size - position));
    let done = 0;
    while (done < count) {
      const at = position + done;
      const index = Math.floor(at / piece);
      const from = at - index * piece;
      const length = Math.min(count - done, piece - from);
      const held = this.pieces.get(index);
      if (held === undefined) target.fill(0, done, done + length);
      else target.set(held.subarray(from, from + length), done);
      done += length;
    }
    return count;
  };

  readBack(target: Uint8Array, position: number): number {
    return this.readSync(target, position);
  }

  async read(target: Uint8Array, position: number, signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted();
    return this.readSync(target, position);
  }

  truncate(size: number): void {
    this.size = size;
  }

  async commit(): Promise<void> {
    this.committed = true;
  }

  async abort(): Promise<void> {
    this.aborted = true;
  }

  async close(): Promise<void> {}

  /** All bytes, for small files. */
  bytes(): Uint8Array {
    const all = new Uint8Array(this.size);
    this.readSync(all, 0);
    return all;
  }

  patch(position: number, bytes: readonly number[]): this {
    this.write(Uint8Array.from(bytes), position);
    return this;
  }
}

export function configuration(...capabilities: string[]): ConfigurationRecord {
  const payload = new ByteBuilder().u32(capabilities.length);
  for (const name of capabilities) payload.u8(name.length).bytes(fromLatin1(name));
  const subsections = [{ name: "configuration/capabilities", version: 1, payload: payload.finish() }];
  return { kind: "configuration", machine: "pc-i440fx-7.2", subsections: capabilities.length === 0 ? [] : subsections };
}

export function ramStart(...list: (readonly [name: string, pages: number])[]): RamStartRecord {
  const blocks = list.map(([name, pages], index) => ({
    block: { index, name, length: pages * pageSize, pageSize, pages },
    hostPageSize: null,
    guestAddress: null,
    mapped: null,
  }));
  const total = list.reduce((sum, [, pages]) => sum + pages * pageSize, 0);
  return { kind: "ram-start", sectionId: 2, instance: 0, version: 4, total, blocks };
}

/** The stream behind the last block: END of the RAM section, one device of 4 bytes, EOF, vmdesc. */
export function tail(withVmdesc = true): Uint8Array {
  const out = new ByteBuilder();
  out.u64(0x10).u8(0x7e).u32(2);
  out.u8(0x03).u32(2).u64(0x10).u8(0x7e).u32(2);
  if (withVmdesc) {
    out.u8(0x04).u32(7).u8(5).bytes(fromLatin1("timer")).u32(0).u32(2).u32(0xdeadbeef).u8(0x7e).u32(7);
  }
  out.u8(0);
  if (!withVmdesc) return out.finish();
  const device = {
    name: "timer",
    instance_id: 0,
    vmsd_name: "timer",
    version: 2,
    fields: [{ name: "a", type: "uint32", size: 4 }],
  };
  const json = new TextEncoder().encode(JSON.stringify({ configuration: {}, page_size: pageSize, devices: [device] }));
  return out.u8(6).u32(json.length).bytes(json).finish();
}

export const meta: SnapshotMeta = {
  schema: 1,
  uuid: "0a1b2c3d-0000-4000-8000-00000000feed",
  created: "2026-05-04T10:20:30.123Z",
  tool: { name: "fixedram", version: "0.1.0" },
  qemuVersion: "7.2.22",
  accelerator: "tcg",
  machine: "pc-i440fx-7.2",
  guestName: null,
  cpu: { model: "qemu64", flags: ["sse2"] },
  runState: "running",
  argv: { arguments: ["qemu-system-x86_64", "-m", "1G"], redacted: false, fileDescriptors: [] },
  disks: [
    {
      device: "virtio0",
      path: "/disk.qcow2",
      format: "qcow2",
      size: 196608,
      mtime: "2026-05-04T10:00:00Z",
      inode: "12",
      readOnly: false,
    },
  ],
  memoryMap: [{ start: 0, length: 640 * 1024, block: "pc.r\xe4m", offset: 0 }],
};

/** Pages with their content, `gap` bytes apart in the chunk, as a legacy stream has them. */
export function batch(block: RamBlock, list: readonly (readonly [page: number, fill: number])[], gap = 8): PageBatch {
  const chunk = new Uint8Array(list.length * (pageSize + gap));
  const offsets = new Uint32Array(list.length);
  list.forEach(([, fill], i) => {
    offsets[i] = i * (pageSize + gap) + gap;
    chunk.fill(fill, offsets[i], (offsets[i] ?? 0) + pageSize);
  });
  return { block, count: list.length, pages: Float64Array.from(list, ([page]) => page), offsets, chunk };
}
