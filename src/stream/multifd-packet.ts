/**
 * The packets of a multifd channel (docs/format.md, "multifd channels"): each channel opens with a greeting, then come packets,
 * a header and the bytes of its pages, back to back. All integers are big-endian.
 */
import { getU64, setU64, viewOf } from "../bytes/cursor.ts";
import { latin1 } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";

export const MULTIFD_MAGIC = 0x11223344;
export const MULTIFD_VERSION = 1;
/** Bytes of the greeting. */
export const GREETING_SIZE = 64;
/** Bytes of pages that a packet carries at most. */
export const PACKET_PAGE_BYTES = 512 * 1024;

const FIXED_SIZE = 320;
const NAME_AT = 64;
const NAME_SIZE = 256;

export const MultifdFlag = {
  sync: 0x01,
  /** 0 is none; zlib, zstd, qpl, uadk, qatzip are 2, 4, 8, 16, 32. */
  compression: 0x3e,
  deviceState: 0x40,
} as const;

/** Pages that a packet holds at most. @param pageSize bytes */
export function packetPages(pageSize: number): number {
  return Math.max(1, Math.floor(PACKET_PAGE_BYTES / pageSize));
}

/** Bytes of every packet's header, whatever it holds: 1344 for pages of 4 KiB. */
export function packetHeaderSize(pageSize: number): number {
  return FIXED_SIZE + 8 * packetPages(pageSize);
}

export interface Greeting {
  /** Number of the channel, from 0. */
  readonly channel: number;
  /** The guest's uuid, 16 bytes; zeros without `-uuid`. */
  readonly uuid: Uint8Array;
}

/** @param bytes {@link GREETING_SIZE} of them @throws `stream.multifd-greeting` */
export function readGreeting(bytes: Uint8Array): Greeting {
  const view = viewOf(bytes);
  const magic = view.getUint32(0);
  const version = view.getUint32(4);
  if (magic !== MULTIFD_MAGIC || version !== MULTIFD_VERSION) {
    throw new FixedramError("stream.multifd-greeting", "a connection does not begin as a multifd channel does", {
      offset: 0,
      expected: `${hex(MULTIFD_MAGIC)}, version ${MULTIFD_VERSION}`,
      found: `${hex(magic)}, version ${version}`,
    });
  }
  return { channel: view.getUint8(24), uuid: bytes.slice(8, 24) };
}

export function encodeGreeting({ channel, uuid }: Greeting): Uint8Array {
  const bytes = new Uint8Array(GREETING_SIZE);
  const view = viewOf(bytes);
  view.setUint32(0, MULTIFD_MAGIC);
  view.setUint32(4, MULTIFD_VERSION);
  bytes.set(uuid.subarray(0, 16), 8);
  view.setUint8(24, channel);
  return bytes;
}

/** A packet's header but for the pages' places. */
export interface PacketHeader {
  readonly sync: boolean;
  /** How many pages follow with their bytes, and how many are zero. */
  readonly pages: number;
  readonly zeroPages: number;
  /** Latin1; whatever QEMU left there when there are no pages. */
  readonly block: string;
}

/**
 * Reads a header, lengths and flags checked; the pages' places are read with {@link packetPlace}.
 *
 * @param view begins at the header
 * @param at of the header in its channel, bytes, for errors
 * @throws `stream.multifd-packet`, `stream.multifd-flags`
 */
export function readPacketHeader(view: DataView, bytes: Uint8Array, pageSize: number, at: number): PacketHeader {
  const fail = (code: string, message: string, expected: string, found: string): FixedramError =>
    new FixedramError(code, message, { offset: at, expected, found });
  const magic = view.getUint32(0);
  const version = view.getUint32(4);
  if (magic !== MULTIFD_MAGIC || version !== MULTIFD_VERSION) {
    const found = `${hex(magic)}, version ${version}`;
    const expected = `${hex(MULTIFD_MAGIC)}, version ${MULTIFD_VERSION}`;
    throw fail("stream.multifd-packet", "a packet of a multifd channel does not begin as one", expected, found);
  }
  const flags = view.getUint32(8);
  const rest = flags - (flags % 2);
  if (rest !== 0) {
    const what = (flags & MultifdFlag.compression) !== 0 ? "is compressed" : "has flags that are not known";
    throw fail("stream.multifd-flags", `a packet of a multifd channel ${what}`, "0 or 1", hex(flags));
  }
  const most = packetPages(pageSize);
  const pages = view.getUint32(16);
  const zeroPages = view.getUint32(32);
  if (pages + zeroPages > most) {
    const found = `${pages} and ${zeroPages} zero`;
    throw fail("stream.multifd-packet", "a multifd packet announces more pages than fit", `at most ${most}`, found);
  }
  const sync = flags % 2 === 1;
  const length = view.getUint32(20);
  // QEMU 7.2 leaves an older packet's length in a SYNC, and in a packet without pages.
  if (!sync && pages > 0 && length !== pages * pageSize) {
    const expected = `${pages} pages of ${pageSize} bytes`;
    throw fail("stream.multifd-packet", "a multifd packet has another length than its pages", expected, `${length}`);
  }
  return { sync, pages, zeroPages, block: pages + zeroPages === 0 ? "" : nameIn(bytes) };
}

/** Offset in its block, bytes, of page `index` of a packet: pages with bytes first, then zero pages. Infinity past 2^53 - 1. */
export function packetPlace(view: DataView, index: number): number {
  return getU64(view, FIXED_SIZE + 8 * index);
}

export interface Packet {
  /** 1 for the first of all channels, by what QEMU counts. */
  readonly number: number;
  readonly sync: boolean;
  /** Latin1. */
  readonly block: string;
  /** Page indices. */
  readonly pages: ArrayLike<number>;
  readonly zeroPages: ArrayLike<number>;
}

/** Writes a packet's header. @param into {@link packetHeaderSize} bytes, overwritten whole */
export function encodePacketHeader(into: Uint8Array, packet: Packet, pageSize: number): void {
  const { number, sync, block, pages, zeroPages } = packet;
  const most = packetPages(pageSize);
  if (pages.length + zeroPages.length > most) throw new RangeError(`${pages.length + zeroPages.length} pages`);
  if (block.length >= NAME_SIZE) throw new RangeError("a block's name is too long for a multifd packet");
  const view = viewOf(into);
  into.fill(0);
  view.setUint32(0, MULTIFD_MAGIC);
  view.setUint32(4, MULTIFD_VERSION);
  view.setUint32(8, sync ? MultifdFlag.sync : 0);
  view.setUint32(12, most);
  view.setUint32(16, pages.length);
  view.setUint32(20, pages.length * pageSize);
  setU64(view, 24, number);
  view.setUint32(32, zeroPages.length);
  for (let i = 0; i < block.length; i++) into[NAME_AT + i] = block.charCodeAt(i);
  for (let i = 0; i < pages.length; i++) setU64(view, FIXED_SIZE + 8 * i, (pages[i] ?? 0) * pageSize);
  const after = FIXED_SIZE + 8 * pages.length;
  for (let i = 0; i < zeroPages.length; i++) setU64(view, after + 8 * i, (zeroPages[i] ?? 0) * pageSize);
}

function nameIn(bytes: Uint8Array): string {
  let end = NAME_AT;
  while (end < NAME_AT + NAME_SIZE && bytes[end] !== 0) end++;
  return latin1(bytes, NAME_AT, end);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
