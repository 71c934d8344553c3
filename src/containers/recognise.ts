import { constants, gunzipSync } from "node:zlib";
import { isZero } from "../bytes/zero.ts";
import { FixedramError } from "../errors.ts";
import { compressions, type Magic, magics, matches } from "./magics.ts";

/** Bytes of a file's beginning that {@link recognise} looks at; fewer when the file is shorter. */
export const headBytes = 36 * 1024;

/** What a file is, by how it begins. */
export type Recognised =
  | { readonly kind: "stream" }
  | { readonly kind: "libvirt"; readonly finished: boolean }
  | { readonly kind: "compressed"; readonly what: string; readonly tool: string; readonly inside: Recognised | null }
  | { readonly kind: "other"; readonly what: string; readonly hint: string | null }
  | { readonly kind: "empty" | "zeros" | "text" | "unknown" };

const stream: Magic = { what: "a migration stream", offset: 0, bytes: "QEVM" };
const libvirt: Magic = { what: "a libvirt save image", offset: 0, bytes: "LibvirtQemudSave" };
const libvirtPart: Magic = { what: "an unfinished libvirt save image", offset: 0, bytes: "LibvirtQemudPart" };

/** Tells a file by its first {@link headBytes} bytes. */
export function recognise(head: Uint8Array): Recognised {
  return recogniseAt(head, 0);
}

/** @param depth how often it has been unpacked: a file can be its own content, packed */
function recogniseAt(head: Uint8Array, depth: number): Recognised {
  if (head.length === 0) return { kind: "empty" };
  if (matches(head, stream)) return { kind: "stream" };
  if (matches(head, libvirt)) return { kind: "libvirt", finished: true };
  if (matches(head, libvirtPart)) return { kind: "libvirt", finished: false };
  const packed = compressions.find((each) => matches(head, each));
  if (packed !== undefined) {
    const inside = packed.what === "gzip" && depth === 0 ? insideGzip(head) : null;
    return { kind: "compressed", what: packed.what, tool: packed.tool, inside };
  }
  const other = magics.find((each) => matches(head, each));
  if (other !== undefined) return { kind: "other", what: other.what, hint: other.hint ?? null };
  if (isZero(head)) return { kind: "zeros" };
  return { kind: isText(head) ? "text" : "unknown" };
}

/** The first bytes of what is packed; null when they cannot be had. */
function insideGzip(head: Uint8Array): Recognised | null {
  try {
    // Cut input is the rule here; a bomb is held off by the limit, which makes it throw.
    const packed = head.subarray(0, 1024);
    return recogniseAt(gunzipSync(packed, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 2 ** 21 }), 1);
  } catch {
    return null;
  }
}

function isText(head: Uint8Array): boolean {
  if (head.some((byte) => byte < 0x20 && (byte < 0x09 || byte > 0x0d))) return false;
  try {
    // The head may end inside a character.
    new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true });
    return true;
  } catch {
    return false;
  }
}

/**
 * The error for a file that is no snapshot we can read: `file.empty`, `file.unfinished`, `file.compressed`, `file.other-format`,
 * `file.unknown-format`. Null for a migration stream and a finished libvirt save image.
 */
export function refusal(found: Recognised, head: Uint8Array): FixedramError | null {
  switch (found.kind) {
    case "stream":
      return null;
    case "empty":
      return error("file.empty", "the file is empty", undefined, "The save was not finished, or did not begin.");
    case "libvirt":
      if (found.finished) return null;
      return error(
        "file.unfinished",
        "this is a libvirt save image that was never finished",
        "LibvirtQemudPart",
        "virsh save was cut short; save again.",
      );
    case "compressed":
      return error(
        "file.compressed",
        `the file is compressed (${found.what})`,
        `${found.what} of ${found.inside === null ? "something" : wordsFor(found.inside)}`,
        isSnapshot(found.inside)
          ? `Unpack it first: ${found.tool} FILE > UNPACKED`
          : "Unpacked it would be no snapshot either, by how it begins.",
      );
    case "other":
      return error("file.other-format", `this is ${found.what}, not a snapshot of QEMU's`, found.what, found.hint);
    case "zeros":
      return error(
        "file.unknown-format",
        "the file begins with zeros, not as a snapshot does",
        "zeros",
        "It may be a save that was not finished (its head is written last), or bare memory, which cannot be resumed.",
      );
    case "text":
      return error("file.unknown-format", "this is text, not a snapshot", "text", "Give the snapshot itself.");
    case "unknown":
      return error(
        "file.unknown-format",
        "the file is of no format that is known",
        Array.from(head.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" "),
        "Give the snapshot itself; if it is one, its beginning is damaged: fetch it again.",
      );
  }
}

/** Or may be one: what is packed is not always known. */
function isSnapshot(inside: Recognised | null): boolean {
  return inside === null || ["stream", "libvirt", "compressed", "unknown"].includes(inside.kind);
}

function wordsFor(found: Recognised): string {
  switch (found.kind) {
    case "stream":
      return "a migration stream";
    case "libvirt":
      return "a libvirt save image";
    case "compressed":
      return `${found.what} of something`;
    case "other":
      return found.what;
    case "empty":
      return "nothing";
    case "zeros":
      return "zeros";
    case "text":
      return "text";
    case "unknown":
      return "something unknown";
  }
}

function error(code: string, message: string, found: string | undefined, hint: string | null): FixedramError {
  const expected = "a file that begins with QEVM, or libvirt's with LibvirtQemudSave";
  const details = { expected, offset: 0, ...(found === undefined ? {} : { found }) };
  return new FixedramError(code, message, hint === null ? details : { ...details, hint });
}
