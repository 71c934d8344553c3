/**
 * The seal: what stands behind the end of the stream, where QEMU never looks (docs/format.md, "Seal").
 *
 *     stream ... vmdesc | pad | META | BLKS | RGNS | NODS | DIRECTORY | tables | TRAILER (the file's last 128 bytes)
 *
 * The trailer is written last: a file without one was never sealed or its sealing was cut short, never "bad".
 */
import { createHash } from "node:crypto";
import { ByteBuilder, Cursor } from "../bytes/cursor.ts";
import { alignUp, sameBytes } from "../bytes/numbers.ts";
import { fromLatin1, latin1, printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { Store } from "../pages/store.ts";
import { orderType, requireBigOrder } from "./byte-order.ts";
import { blocksType, type Digests, decodeDigests, mostDigestBytes, nodesType, regionsType } from "./digest-sections.ts";
import type { Piece } from "./head.ts";
import { decodeMeta, encodeMeta, type SnapshotMeta } from "./meta.ts";
import { decodeTrailer, encodeTrailer, sealAlignment, sha256, type Trailer, trailerBytes } from "./trailer.ts";

const headBytes = 16;
const headMagic = "FRAM";
const entryBytes = 64;
const metaType = "META";
const directoryType = "DIRS";
const knownTypes: readonly string[] = [metaType, orderType, blocksType, regionsType, nodesType];

/** More than these is damage, checked before anything is allocated. */
const maxDirectoryBytes = 2 ** 20;
const maxMetaBytes = 16 * 2 ** 20;
const maxOrderBytes = 4096;

/** A section of the seal as its directory lists it; offset and length, bytes, cover its 16-byte head. */
export interface SealSection {
  /** Four characters. */
  readonly type: string;
  /** A reader that does not know the type must refuse the file. */
  readonly critical: boolean;
  readonly offset: number;
  readonly length: number;
  readonly sha256: Uint8Array;
}

export interface Seal extends Trailer {
  /** The snapshot's id: the directory's SHA-256 in hexadecimal. */
  readonly id: string;
  readonly meta: SnapshotMeta;
  /** Whether the words of the file's bitmaps stand big-endian (docs/format.md, "BORD"). */
  readonly bigEndian: boolean;
  /** Every section in the directory, unknown ones included. */
  readonly sections: readonly SealSection[];
}

/** `none`: no trace of one. `half`: begun, or cut. `damaged`: its own checks fail. `stale`: it belongs to another stream. */
export type SealState =
  | { readonly state: "sealed"; readonly seal: Seal; readonly reason: null }
  | { readonly state: "none"; readonly seal: null; readonly reason: null }
  | { readonly state: "half" | "damaged" | "stale"; readonly seal: null; readonly reason: FixedramError };

export interface EncodedSeal {
  /** Where the first section goes, bytes from the start of the file. */
  readonly offset: number;
  /** All but the trailer; what is not written between them must read as zero. */
  readonly pieces: readonly Piece[];
  /** The pieces as one run of bytes from `offset` on. */
  readonly sections: Uint8Array;
  readonly trailerOffset: number;
  readonly trailer: Uint8Array;
  /** Where the tables of page digests go when they have no gap of their own. */
  readonly tablesOffset: number;
  /** See {@link Seal.id}. */
  readonly id: string;
}

/** A section to be written beside META. */
export interface ExtraSection {
  readonly type: string;
  readonly critical: boolean;
  readonly payload: Uint8Array;
}

/**
 * Makes the seal of a stream that ends at `streamEnd` (bytes). Write `sections`, bring them to disk, then the trailer.
 *
 * @param tableBytes room to leave for tables of page digests before the trailer
 * @throws `seal.bad-meta`
 */
export function encodeSeal(
  streamBase: number,
  streamEnd: number,
  meta: SnapshotMeta,
  extra: readonly ExtraSection[] = [],
  tableBytes = 0,
): EncodedSeal {
  const offset = alignUp(streamEnd, sealAlignment);
  const pieces: Piece[] = [];
  const places: SealSection[] = [];
  let at = offset;
  const add = (type: string, critical: boolean, payload: Uint8Array) => {
    const head = sectionHead(type, payload.length);
    const length = headBytes + payload.length;
    pieces.push({ position: at, bytes: head }, { position: at + headBytes, bytes: payload });
    const digest = new Uint8Array(createHash("sha256").update(head).update(payload).digest());
    const place = { type, critical, offset: at, length, sha256: digest };
    at = alignUp(at + length, sealAlignment);
    return place;
  };
  places.push(add(metaType, false, encodeMeta(meta)));
  for (const { type, critical, payload } of extra) places.push(add(type, critical, payload));
  const directory = add(directoryType, false, encodeDirectory(places));
  const end = tableBytes === 0 ? directory.offset + directory.length : at + tableBytes;
  const trailerOffset = alignUp(end + trailerBytes, sealAlignment) - trailerBytes;
  const trailer = encodeTrailer({
    uuid: meta.uuid,
    streamBase,
    streamEnd,
    directoryOffset: directory.offset,
    directoryLength: directory.length,
    directorySha256: directory.sha256,
  });
  return {
    offset,
    pieces,
    get sections() {
      return joined(pieces, offset);
    },
    trailerOffset,
    trailer,
    tablesOffset: at,
    id: hex(directory.sha256),
  };
}

function joined(pieces: readonly Piece[], offset: number): Uint8Array {
  const last = pieces.at(-1);
  const bytes = new Uint8Array(last === undefined ? 0 : last.position + last.bytes.length - offset);
  for (const piece of pieces) bytes.set(piece.bytes, piece.position - offset);
  return bytes;
}

/**
 * Looks for the seal of the stream [streamBase, streamEnd) at the end of the file, and checks trailer, directory and META.
 *
 * @throws `seal.unknown-version`, `seal.unknown-critical`: made by a newer fixedram, with something this one must not pass
 *   over; `system.io`. All that is wrong otherwise is told in the result: `seal.half`, `seal.damaged-trailer`,
 *   `seal.damaged-directory`, `seal.damaged-section`, `seal.bad-meta`, `seal.stale`.
 */
export async function readSeal(store: Store, streamBase: number, streamEnd: number): Promise<SealState> {
  const trailerOffset = store.size - trailerBytes;
  try {
    const trailer =
      trailerOffset < 0 ? null : decodeTrailer(await readExactly(store, trailerOffset, trailerBytes), trailerOffset);
    if (trailer === null) return await withoutTrailer(store, streamEnd);
    if (trailer.streamBase !== streamBase || trailer.streamEnd !== streamEnd) {
      const reason = new FixedramError("seal.stale", "the seal belongs to another stream than the one before it", {
        offset: trailerOffset,
        expected: `a stream from byte ${trailer.streamBase} to ${trailer.streamEnd}`,
        found: `one from byte ${streamBase} to ${streamEnd}`,
        hint: "The file was written to after it was sealed: nothing the seal says can be trusted.",
      });
      return { state: "stale", seal: null, reason };
    }
    return { state: "sealed", seal: await readSealed(store, trailer, trailerOffset), reason: null };
  } catch (error) {
    if (error instanceof FixedramError && isDamage(error.code)) return { state: "damaged", seal: null, reason: error };
    throw error;
  }
}

/**
 * The seal at the end of a file, whatever stream stands before it; null when there is no trailer.
 *
 * @throws as {@link readSeal} tells, and `seal.unknown-version`, `seal.unknown-critical`
 */
export async function readSealAlone(store: Store): Promise<Seal | null> {
  const offset = store.size - trailerBytes;
  const trailer = offset < 0 ? null : decodeTrailer(await readExactly(store, offset, trailerBytes), offset);
  return trailer === null ? null : readSealed(store, trailer, offset);
}

/**
 * The digests a seal holds; null when it has none.
 *
 * @throws `seal.damaged-section`, `seal.bad-digests`, `seal.out-of-bounds`, `seal.number-too-large`
 */
export async function readDigests(store: Store, seal: Seal): Promise<Digests | null> {
  const payloads: Uint8Array[] = [];
  const most = mostDigestBytes(store.size);
  for (const type of [blocksType, regionsType, nodesType]) {
    const place = seal.sections.find((section) => section.type === type);
    if (place !== undefined) payloads.push(await readSection(store, place, headBytes + (most[type] ?? 0)));
  }
  const [blocks, regions, nodes] = payloads;
  if (payloads.length === 0) return null;
  if (blocks === undefined || regions === undefined || nodes === undefined) {
    throw new FixedramError("seal.bad-digests", "the seal's digests are not what the format says", {
      found: `${payloads.length} of their three sections`,
      hint: "The file was made by something that does not follow docs/format.md.",
    });
  }
  return { ...decodeDigests(blocks, regions, nodes, store.size), bigEndian: seal.bigEndian };
}

/** The bytes behind the stream that nothing of the seal stands in, in order. @param tables those that are not in gaps of the stream */
export function sealGaps(
  seal: Seal,
  fileSize: number,
  tables: readonly { readonly offset: number; readonly length: number }[],
): { readonly offset: number; readonly length: number }[] {
  const parts = [
    ...seal.sections,
    ...tables,
    { offset: seal.directoryOffset, length: seal.directoryLength },
    { offset: fileSize - trailerBytes, length: trailerBytes },
  ].sort((a, b) => a.offset - b.offset);
  const gaps: { offset: number; length: number }[] = [];
  let at = seal.streamEnd;
  for (const { offset, length } of parts) {
    if (offset > at) gaps.push({ offset: at, length: offset - at });
    at = Math.max(at, offset + length);
  }
  return gaps;
}

/** What a sound trailer says about where the stream ends, bytes; null when there is none. Not yet compared with the stream. */
export async function sealedStreamEnd(store: Store): Promise<number | null> {
  const offset = store.size - trailerBytes;
  if (offset < 0) return null;
  try {
    const trailer = decodeTrailer(await readExactly(store, offset, trailerBytes), offset);
    return trailer === null || trailer.streamEnd > offset ? null : trailer.streamEnd;
  } catch (error) {
    if (error instanceof FixedramError && error.code.startsWith("seal.")) return null;
    throw error;
  }
}

function isDamage(code: string): boolean {
  return code.startsWith("seal.") && code !== "seal.unknown-version" && code !== "seal.unknown-critical";
}

async function withoutTrailer(store: Store, streamEnd: number): Promise<SealState> {
  const offset = alignUp(streamEnd, sealAlignment);
  if (offset + headBytes <= store.size) {
    const head = latin1(await readExactly(store, offset, headBytes), 0, 8);
    if (head === headMagic + metaType) {
      const reason = new FixedramError(
        "seal.half",
        "the seal has no trailer: sealing was cut short, or the file's end is lost or overwritten",
        {
          offset,
          hint: "The snapshot itself may be whole; what was recorded with it is not used.",
        },
      );
      return { state: "half", seal: null, reason };
    }
  }
  return { state: "none", seal: null, reason: null };
}

async function readSealed(store: Store, trailer: Trailer, trailerOffset: number): Promise<Seal> {
  const { directoryOffset, directoryLength } = trailer;
  if (directoryOffset + directoryLength > trailerOffset || directoryLength > maxDirectoryBytes) {
    throw directoryError(directoryOffset, "the seal's directory lies outside the file or is too large");
  }
  const bytes = await readExactly(store, directoryOffset, directoryLength);
  if (!sameBytes(sha256(bytes), trailer.directorySha256)) {
    throw directoryError(directoryOffset, "the seal's directory does not match its digest");
  }
  const sections = decodeDirectory(payloadOf(bytes, directoryType, directoryOffset), directoryOffset, trailerOffset);
  for (const { type, critical, offset } of sections) {
    if (!critical || knownTypes.includes(type)) continue;
    throw new FixedramError("seal.unknown-critical", "the seal holds a section that must be understood and is not", {
      offset,
      found: `section ${printable(type)}`,
      hint: "Use the fixedram that made it, or a newer one.",
    });
  }
  const place = sections.find(({ type }) => type === metaType);
  if (place === undefined) throw directoryError(directoryOffset, "the seal's directory lists no META");
  const meta = decodeMeta(await readSection(store, place, maxMetaBytes));
  if (meta.uuid !== trailer.uuid) {
    throw new FixedramError("seal.bad-meta", "META and trailer name different snapshots", {
      expected: trailer.uuid,
      found: meta.uuid,
    });
  }
  const bigEndian = await readOrder(store, sections);
  return { ...trailer, id: hex(trailer.directorySha256), meta, bigEndian, sections };
}

/** @throws `seal.unknown-critical`, `seal.damaged-section` */
async function readOrder(store: Store, sections: readonly SealSection[]): Promise<boolean> {
  const places = sections.filter(({ type }) => type === orderType);
  for (const place of places) requireBigOrder(await readSection(store, place, maxOrderBytes), place.offset);
  return places.length > 0;
}

/**
 * Reads a section's payload and checks its digest. `maximum` (bytes) bounds what is allocated.
 *
 * @throws `seal.damaged-section`
 */
export async function readSection(store: Store, place: SealSection, maximum: number): Promise<Uint8Array> {
  if (place.length > maximum) throw sectionError(place, `the section is larger than ${maximum} bytes`);
  const bytes = await readExactly(store, place.offset, place.length);
  if (!sameBytes(sha256(bytes), place.sha256)) throw sectionError(place, "the section does not match its digest");
  return payloadOf(bytes, place.type, place.offset);
}

function sectionHead(type: string, length: number): Uint8Array {
  return new ByteBuilder(headBytes)
    .bytes(fromLatin1(headMagic + type))
    .u64(length)
    .finish();
}

function payloadOf(bytes: Uint8Array, type: string, offset: number): Uint8Array {
  const cursor = new Cursor(bytes, { area: "seal", base: offset });
  if (
    bytes.length < headBytes ||
    latin1(cursor.take(8)) !== headMagic + type ||
    cursor.u64() !== bytes.length - headBytes
  ) {
    throw new FixedramError("seal.damaged-section", "a section of the seal has a wrong head", {
      offset,
      expected: `section ${printable(type)}`,
    });
  }
  return bytes.subarray(headBytes);
}

function encodeDirectory(places: readonly SealSection[]): Uint8Array {
  const out = new ByteBuilder(8 + places.length * entryBytes).u32(places.length).u32(entryBytes);
  for (const { type, critical, offset, length, sha256: digest } of places) {
    out
      .bytes(fromLatin1(type))
      .u32(critical ? 1 : 0)
      .u64(offset)
      .u64(length)
      .u64(0)
      .bytes(digest);
  }
  return out.finish();
}

function decodeDirectory(payload: Uint8Array, base: number, trailerOffset: number): SealSection[] {
  const cursor = new Cursor(payload, { area: "seal", base: base + headBytes });
  const count = cursor.u32();
  const size = cursor.u32();
  if (size !== entryBytes || payload.length !== 8 + count * entryBytes) {
    throw directoryError(base, "the seal's directory has a wrong length");
  }
  const sections: SealSection[] = [];
  for (let i = 0; i < count; i++) {
    const type = latin1(cursor.take(4));
    const critical = cursor.u32() % 2 === 1;
    const offset = cursor.u64();
    const length = cursor.u64();
    cursor.take(8);
    if (length < headBytes || offset + length > trailerOffset) {
      throw directoryError(base, `the seal's section ${printable(type)} lies outside the file`);
    }
    sections.push({ type, critical, offset, length, sha256: cursor.take(32).slice() });
  }
  return sections;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function readExactly(store: Store, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  const count = await store.read(bytes, offset);
  if (count === length) return bytes;
  throw new FixedramError("seal.damaged-section", "the file ends inside the seal", { offset: offset + count });
}

function directoryError(offset: number, message: string): FixedramError {
  return new FixedramError("seal.damaged-directory", message, { offset });
}

function sectionError(place: SealSection, message: string): FixedramError {
  return new FixedramError("seal.damaged-section", message, {
    offset: place.offset,
    found: `section ${printable(place.type)}`,
  });
}
