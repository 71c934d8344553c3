/**
 * What stands before the stream in a save image of libvirt's QEMU driver (docs/format.md, "libvirt's save image"):
 *
 *     header, 92 bytes | XML NUL | cookie NUL | zeros, 64 KiB | migration stream, sparse or as in a pipe, or compressed
 *                      |<------------ data length ------------>|
 *
 * Numbers are in the byte order of the host that wrote them.
 */
import { fromLatin1, latin1, printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";

/** Bytes of the header before the XML. */
export const libvirtHeaderBytes = 92;
/** What libvirt itself leaves free behind XML and cookie, so that `virsh save-image-edit` has room. Bytes. */
export const libvirtPadding = 65536;
/** XML, cookie and padding together, at most; libvirt's own limit for one XML is 4 MiB. Bytes. */
export const maxLibvirtData = 16 * 2 ** 20;

const magic = "LibvirtQemudSave";
const unfinishedMagic = "LibvirtQemudPart";
const newestVersion = 2;

/** In the order of their numbers in the header. All but `raw` and `sparse` are compressed. */
export const libvirtFormats = ["raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse"] as const;
export type LibvirtFormat = (typeof libvirtFormats)[number];

/** The first 92 bytes, checked. */
export interface LibvirtHeaderFields {
  readonly byteOrder: "little" | "big";
  /** 2, or 1 of an old libvirt; they mean the same. */
  readonly version: number;
  /** Bytes from 92 to the stream. */
  readonly dataLength: number;
  /** Whether `virsh restore` lets the guest run. */
  readonly wasRunning: boolean;
  readonly format: LibvirtFormat;
  /** Bytes from 92; 0 when there is no cookie. */
  readonly cookieOffset: number;
}

export interface LibvirtHeader extends LibvirtHeaderFields {
  /** The domain's definition, without its NUL. Bytes as they are: show them escaped. */
  readonly xml: Uint8Array;
  /** What libvirt keeps for itself about the domain (XML), without its NUL; null when there is none. */
  readonly cookie: Uint8Array | null;
  /** Where the migration stream, or its compressed form, begins: bytes from the start of the file. */
  readonly streamBase: number;
}

/**
 * Checks the first 92 bytes; nothing is allocated by what they say.
 *
 * @param start the file's first bytes, 92 or fewer if it has no more
 * @param fileSize bytes
 * @throws `file.not-libvirt`, `file.unfinished`, `file.libvirt-cut`, `file.libvirt-version`, `file.libvirt-format`,
 *   `file.libvirt-data-length`, `file.libvirt-cookie`
 */
export function parseLibvirtFields(start: Uint8Array, fileSize: number): LibvirtHeaderFields {
  checkMagic(start);
  if (start.length < libvirtHeaderBytes) throw cut(start.length, `${libvirtHeaderBytes} bytes of header`);
  const view = new DataView(start.buffer, start.byteOffset, libvirtHeaderBytes);
  // As libvirt does: a version too large is one in the other byte order.
  const little = view.getUint32(16, true) <= newestVersion;
  const version = view.getUint32(16, little);
  if (version < 1 || version > newestVersion) {
    throw new FixedramError("file.libvirt-version", "the save image has a version that libvirt itself refuses", {
      offset: 16,
      expected: "1 or 2",
      found: String(view.getUint32(16, true)),
      hint: "It is damaged, or a newer libvirt made it.",
    });
  }
  const number = view.getUint32(28, little);
  const format = libvirtFormats[number];
  if (format === undefined) {
    throw new FixedramError("file.libvirt-format", "the save image is compressed in an unknown way", {
      offset: 28,
      expected: libvirtFormats.map((name, i) => `${i} (${name})`).join(", "),
      found: String(number),
    });
  }
  const dataLength = view.getUint32(20, little);
  checkDataLength(dataLength, fileSize);
  const cookieOffset = view.getUint32(32, little);
  if (cookieOffset >= dataLength) {
    throw new FixedramError("file.libvirt-cookie", "the save image's cookie lies outside the data it belongs to", {
      offset: 32,
      expected: `less than ${dataLength}`,
      found: String(cookieOffset),
    });
  }
  const wasRunning = view.getUint32(24, little) !== 0;
  return { byteOrder: little ? "little" : "big", version, dataLength, wasRunning, format, cookieOffset };
}

/**
 * Takes XML and cookie out of the data behind the header.
 *
 * @param data `fields.dataLength` bytes; they are kept, not copied
 * @throws `file.libvirt-xml`, `file.libvirt-cookie`
 */
export function parseLibvirtData(fields: LibvirtHeaderFields, data: Uint8Array): LibvirtHeader {
  const { dataLength, cookieOffset } = fields;
  if (data.length !== dataLength) throw new RangeError(`${data.length} bytes of data, not ${dataLength}`);
  const xmlSpace = data.subarray(0, cookieOffset === 0 ? dataLength : cookieOffset);
  const xml = untilNul(xmlSpace, "file.libvirt-xml", "XML", libvirtHeaderBytes);
  if (xml.length === 0) {
    throw new FixedramError("file.libvirt-xml", "the save image holds no XML", { offset: libvirtHeaderBytes });
  }
  const cookie =
    cookieOffset === 0
      ? null
      : untilNul(data.subarray(cookieOffset), "file.libvirt-cookie", "cookie", libvirtHeaderBytes + cookieOffset);
  return { ...fields, xml, cookie, streamBase: libvirtHeaderBytes + dataLength };
}

/** What an image to be written begins with. */
export interface LibvirtHeaderContent {
  readonly xml: Uint8Array;
  readonly cookie: Uint8Array | null;
  readonly wasRunning: boolean;
  readonly format: LibvirtFormat;
  /** Default: little. */
  readonly byteOrder?: "little" | "big";
  /** Default 2. */
  readonly version?: number;
  /** Bytes from 92 to the stream; default: what XML and cookie take, and 64 KiB. */
  readonly dataLength?: number;
}

/**
 * Everything before the stream, libvirt's "unfinished" magic in it; the finished image has {@link libvirtMagic} over its
 * first 16 bytes, written last.
 *
 * @throws `usage.libvirt-xml` when XML or cookie hold a NUL, are empty or too large
 */
export function encodeLibvirtHeader(content: LibvirtHeaderContent): Uint8Array {
  const { xml, cookie, byteOrder = "little", version = newestVersion } = content;
  checkText(xml, "XML");
  if (cookie !== null) checkText(cookie, "cookie");
  const cookieOffset = cookie === null ? 0 : xml.length + 1;
  const used = xml.length + 1 + (cookie === null ? 0 : cookie.length + 1);
  const dataLength = content.dataLength ?? used + libvirtPadding;
  if (dataLength < used || dataLength > maxLibvirtData) {
    throw new FixedramError("usage.libvirt-xml", "XML and cookie are too large for a save image", {
      expected: `at most ${Math.min(dataLength, maxLibvirtData)} bytes`,
      found: `${used} bytes`,
    });
  }
  const bytes = new Uint8Array(libvirtHeaderBytes + dataLength);
  const view = new DataView(bytes.buffer);
  const little = byteOrder === "little";
  bytes.set(fromLatin1(unfinishedMagic));
  const fields = [
    version,
    dataLength,
    content.wasRunning ? 1 : 0,
    libvirtFormats.indexOf(content.format),
    cookieOffset,
  ];
  for (const [i, field] of fields.entries()) view.setUint32(16 + 4 * i, field, little);
  bytes.set(xml, libvirtHeaderBytes);
  if (cookie !== null) bytes.set(cookie, libvirtHeaderBytes + cookieOffset);
  return bytes;
}

/** The first 16 bytes of a finished image. */
export function libvirtMagic(): Uint8Array {
  return fromLatin1(magic);
}

function checkMagic(start: Uint8Array): void {
  const found = latin1(start, 0, Math.min(start.length, magic.length));
  if (found === unfinishedMagic) {
    throw new FixedramError("file.unfinished", "libvirt was not done with this save image", {
      offset: 0,
      expected: magic,
      found: unfinishedMagic,
      hint: "The save failed or still runs; virsh refuses the image as well. Save the guest again.",
    });
  }
  if (found === magic) return;
  throw new FixedramError("file.not-libvirt", "this is no save image of libvirt's QEMU driver", {
    offset: 0,
    expected: magic,
    found: printable(found),
  });
}

function checkDataLength(dataLength: number, fileSize: number): void {
  if (dataLength < 2 || dataLength > maxLibvirtData) {
    throw new FixedramError("file.libvirt-data-length", "the save image tells an impossible length of its XML", {
      offset: 20,
      expected: `2 to ${maxLibvirtData} bytes`,
      found: `${dataLength} bytes`,
    });
  }
  if (libvirtHeaderBytes + dataLength > fileSize) {
    throw cut(fileSize, `${dataLength} bytes of XML and cookie behind byte ${libvirtHeaderBytes}`);
  }
}

function cut(at: number, expected: string): FixedramError {
  return new FixedramError("file.libvirt-cut", "the save image ends before its stream begins", {
    offset: at,
    expected,
    found: `the end of the file at byte ${at}`,
    hint: "The file was cut; take it from its source again.",
  });
}

function untilNul(space: Uint8Array, code: string, what: string, offset: number): Uint8Array {
  const end = space.indexOf(0);
  if (end >= 0) return space.subarray(0, end);
  throw new FixedramError(code, `the save image's ${what} does not end in a NUL`, {
    offset,
    expected: `a NUL before byte ${offset + space.length}`,
  });
}

function checkText(text: Uint8Array, what: string): void {
  const reason = text.length === 0 ? "is empty" : text.includes(0) ? "holds a NUL" : null;
  if (reason === null) return;
  throw new FixedramError("usage.libvirt-xml", `the ${what} for the save image ${reason}`, {
    hint: "Give the output of virsh dumpxml --security-info DOMAIN as it is.",
  });
}
