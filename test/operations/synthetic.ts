/** Migration streams made for tests, and the model of what they hold. */
import { createHash } from "node:crypto";
import { isZero } from "../../src/bytes/zero.ts";
import { FixedramError } from "../../src/errors.ts";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import type { RamBlock } from "../../src/pages/block.ts";
import { ExtentKind, ExtentList } from "../../src/pages/extents.ts";
import type { PageMap } from "../../src/pages/map.ts";
import type { Store } from "../../src/pages/store.ts";
import type { DeviceRecord, RamStartRecord, StreamRecord } from "../../src/stream/records.ts";
import { StreamWriter } from "../../src/stream/writer.ts";
import { batch, configuration, ramStart } from "../fixedram/sample.ts";
import { describe_, PAGE } from "../stream/helpers.ts";

export type Step =
  | { readonly kind: "page"; readonly block: number; readonly page: number; readonly fill: number }
  | { readonly kind: "zero"; readonly block: number; readonly page: number; readonly count: number }
  | {
      readonly kind: "xbzrle";
      readonly block: number;
      readonly page: number;
      readonly at: number;
      readonly fill: number;
    };

export interface Synthetic {
  readonly blocks: readonly (readonly [name: string, pages: number])[];
  /** Each becomes a PART; the last an END unless `background`. */
  readonly rounds: readonly (readonly Step[])[];
  /** Records between the configuration and the RAM section. */
  readonly before?: readonly StreamRecord[];
  /** Records between the last PART and the END. */
  readonly between?: readonly StreamRecord[];
  readonly background?: boolean;
  readonly devices?: readonly DeviceRecord[];
  /** `wrong`: it lists other lengths than the stream has; `none`: the machine writes none. */
  readonly vmdesc?: "right" | "wrong" | "none";
}

export const RAM_ID = 2;

export function device(name: string, payload: Uint8Array, sectionId = 30): DeviceRecord {
  return { kind: "device", sectionId, name, instance: 0, version: 1, payload, early: false };
}

const someDevice = device("timer", Uint8Array.of(1, 2, 3, 4));

export function startOf(stream: Pick<Synthetic, "blocks">): RamStartRecord {
  return ramStart(...stream.blocks);
}

/** The stream's bytes. */
export function encode(stream: Synthetic): Uint8Array {
  const pieces: Uint8Array[] = [];
  const writer = new StreamWriter((bytes) => pieces.push(bytes.slice()));
  const start = startOf(stream);
  const blocks = start.blocks.map(({ block }) => block);
  writer.record({ kind: "header", version: 3 });
  writer.record(configuration());
  for (const record of stream.before ?? []) writer.record(record);
  writer.record(start);
  writer.record({ kind: "ram-eos" });
  writer.record({ kind: "footer", sectionId: RAM_ID });
  stream.rounds.forEach((round, i) => {
    const last = i === stream.rounds.length - 1;
    if (last) for (const record of stream.between ?? []) writer.record(record);
    writer.record({ kind: last && stream.background !== true ? "ram-end" : "ram-part", sectionId: RAM_ID });
    for (const step of round) write(writer, blocks, step);
    writer.record({ kind: "ram-eos" });
    writer.record({ kind: "footer", sectionId: RAM_ID });
  });
  writeDevices(writer, stream);
  writer.end();
  return new Uint8Array(Buffer.concat(pieces));
}

function writeDevices(writer: StreamWriter, stream: Synthetic): void {
  const devices = stream.devices ?? [someDevice];
  for (const each of devices) {
    writer.record(each);
    writer.record({ kind: "footer", sectionId: each.sectionId });
  }
  writer.record({ kind: "eof" });
  if (stream.vmdesc === "none") return;
  const early = (stream.before ?? []).filter((record) => record.kind === "device");
  const more = stream.vmdesc === "wrong" ? 1 : 0;
  const listed = [...early, ...devices].map(({ name, payload }): [string, number] => [name, payload.length + more]);
  writer.record({ kind: "vmdesc", bytes: new TextEncoder().encode(JSON.stringify(describe_(...listed))) });
}

function write(writer: StreamWriter, blocks: readonly RamBlock[], step: Step): void {
  const block = blocks[step.block];
  if (block === undefined) throw new Error(`no block ${step.block}`);
  if (step.kind === "page") writer.pages(batch(block, [[step.page, step.fill]]));
  else if (step.kind === "zero") writer.zeroPages(block, step.page, step.count);
  else writer.encoded(block, step.page, "xbzrle", xbzrle(step.at, step.fill));
}

/** XBZRLE that puts 5 bytes of `fill` at `at`. */
function xbzrle(at: number, fill: number): Uint8Array {
  const skip = at < 128 ? [at] : [(at % 128) + 128, Math.floor(at / 128)];
  return Uint8Array.of(...skip, 5, fill, fill, fill, fill, fill);
}

/** Plain model: the digest of what each page holds at the end; absent is zero. Keys `block:page`. */
export function model(stream: Pick<Synthetic, "rounds">): Record<string, string> {
  const pages = new Map<string, Uint8Array>();
  for (const step of stream.rounds.flat()) {
    const key = `${step.block}:${step.page}`;
    if (step.kind === "page") pages.set(key, new Uint8Array(PAGE).fill(step.fill));
    else if (step.kind === "zero") {
      for (let i = 0; i < step.count; i++) pages.delete(`${step.block}:${step.page + i}`);
    } else {
      const page = pages.get(key)?.slice() ?? new Uint8Array(PAGE);
      pages.set(key, page.fill(step.fill, step.at, step.at + 5));
    }
  }
  return digests(pages);
}

export function digests(pages: ReadonlyMap<string, Uint8Array>): Record<string, string> {
  const held = [...pages].filter(([, bytes]) => !isZero(bytes)).map(([key, bytes]) => [key, digest(bytes)] as const);
  return Object.fromEntries(held.sort(([a], [b]) => (a < b ? -1 : 1)));
}

export const digest = (bytes: Uint8Array): string => createHash("sha1").update(bytes).digest("hex");

/** Digest of every page of a map that is not zero, read from its store. */
export function contents(map: PageMap): Record<string, string> {
  const pages = new Map<string, Uint8Array>();
  const list = new ExtentList();
  for (const block of map.blocks) {
    for (let next = 0; next < block.pages; ) {
      list.clear();
      next += map.extents(block.index, next, block.pages - next, list);
      for (let i = 0; i < list.length; i++) {
        if (list.kind[i] !== ExtentKind.data) continue;
        for (let k = 0; k < (list.pages[i] ?? 0); k++) {
          const bytes = new Uint8Array(block.pageSize);
          map.stores[list.store[i] ?? 0]?.readSync?.(bytes, (list.offset[i] ?? 0) + k * block.pageSize);
          pages.set(`${block.index}:${(list.first[i] ?? 0) + k}`, bytes);
        }
      }
    }
  }
  return digests(pages);
}

export const open = (file: Store) => openFixedRam(file, { allowEmpty: true });

/** Cuts bytes into pieces whose sizes repeat. */
export function* pieces(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.slice(at, at + size);
    at += size;
  }
}

/** The FixedramError that something ends in. */
export async function failure(action: () => unknown): Promise<FixedramError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof FixedramError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
