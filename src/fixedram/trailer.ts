import { createHash } from "node:crypto";
import { ByteBuilder, Cursor } from "../bytes/cursor.ts";
import { sameBytes } from "../bytes/numbers.ts";
import { fromLatin1, latin1 } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";

/** Bytes of the trailer, the last of a sealed file. */
export const trailerBytes = 128;
/** What sections are aligned to, and the file's size with them. */
export const sealAlignment = 4096;
export const sealVersion = 1;

const trailerMagic = "FRAMSEAL";
const checkedBytes = 96;

/** The last 128 bytes of a sealed file (docs/format.md, "Trailer"). Offsets are bytes from the start of the file. */
export interface Trailer {
  /** The snapshot's uuid in its usual form. */
  readonly uuid: string;
  /** Where the stream begins: 0 unless something stands before it. */
  readonly streamBase: number;
  /** Where the stream ends, the byte after its vmdesc. */
  readonly streamEnd: number;
  readonly directoryOffset: number;
  /** Bytes, head included. */
  readonly directoryLength: number;
  readonly directorySha256: Uint8Array;
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

export function encodeTrailer(trailer: Trailer): Uint8Array {
  const fields = new ByteBuilder(trailerBytes)
    .bytes(fromLatin1(trailerMagic))
    .u32(sealVersion)
    .u32(trailerBytes)
    .bytes(uuidBytes(trailer.uuid))
    .u64(trailer.streamBase)
    .u64(trailer.streamEnd)
    .u64(trailer.directoryOffset)
    .u64(trailer.directoryLength)
    .bytes(trailer.directorySha256);
  return fields.bytes(sha256(fields.finish())).finish();
}

/**
 * Returns null when `bytes` (the file's last 128) are no trailer at all.
 *
 * @throws `seal.damaged-trailer`, `seal.unknown-version`
 */
export function decodeTrailer(bytes: Uint8Array, offset: number): Trailer | null {
  if (bytes.length !== trailerBytes || latin1(bytes, 0, 8) !== trailerMagic) return null;
  const cursor = new Cursor(bytes, { offset: 8, area: "seal", base: offset });
  const version = cursor.u32();
  if (!sameBytes(bytes.subarray(checkedBytes), sha256(bytes.subarray(0, checkedBytes)))) {
    throw new FixedramError("seal.damaged-trailer", "the seal's trailer does not match its own check", { offset });
  }
  if (version !== sealVersion) {
    throw new FixedramError("seal.unknown-version", "the seal was made by a newer fixedram", {
      offset: offset + 8,
      expected: `version ${sealVersion}`,
      found: `version ${version}`,
      hint: "Use the fixedram that made it, or a newer one.",
    });
  }
  const length = cursor.u32();
  if (length !== trailerBytes) {
    throw new FixedramError("seal.damaged-trailer", "the seal's trailer tells a wrong length", {
      offset: offset + 12,
      found: String(length),
    });
  }
  return {
    uuid: uuidText(cursor.take(16)),
    streamBase: cursor.u64(),
    streamEnd: cursor.u64(),
    directoryOffset: cursor.u64(),
    directoryLength: cursor.u64(),
    directorySha256: cursor.take(32).slice(),
  };
}

export function uuidBytes(text: string): Uint8Array {
  const hex = text.replaceAll("-", "");
  if (!/^[0-9a-f]{32}$/.test(hex)) throw new RangeError(`not a uuid: ${text}`);
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16));
}

export function uuidText(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
