import { headBytes, recognise, refusal } from "../containers/recognise.ts";
import type { Snapshot } from "../containers/snapshot.ts";
import { FixedramError, withPath } from "../errors.ts";
import { hostIsBigEndian } from "../fixedram/byte-order.ts";
import { openFixedRam } from "../fixedram/reader.ts";
import { readSeal, sealedStreamEnd } from "../fixedram/seal.ts";
import type { LegacyStream } from "../legacy/reader.ts";
import type { LibvirtHeader } from "../libvirt/header.ts";
import { readLibvirtHeader } from "../libvirt/reader.ts";
import type { Store } from "../pages/store.ts";
import { FileStore } from "../storage/file-store.ts";
import { capabilitiesOf } from "../stream/configuration.ts";
import { StreamReader } from "../stream/reader.ts";
import type { ConfigurationRecord, StreamRecord } from "../stream/records.ts";
import { requireOrder } from "./open-order.ts";
import { openStream } from "./open-stream.ts";

export interface OpenSnapshotOptions {
  /** Target page size, bytes, where the file does not say. Default 4096. */
  readonly pageSize?: number;
  /**
   * Of a migration stream, which has to be read through once: `use` (default) takes `FILE.index` when it is there and right,
   * `keep` also writes it, `ignore` does neither. Only for a path, not for a store.
   */
  readonly index?: "use" | "keep" | "ignore";
  /** Where the stream begins, bytes: QEMU was told `file:...,offset=N`. Default: where the container says. */
  readonly offset?: number;
  /**
   * The order of a mapped-ram file's bitmaps: of a big-endian host (true), or of a little-endian one, whatever its pages look like
   * (false). Default: as its seal or a libvirt header says, else little-endian, unless its pages show that it is not.
   */
  readonly bigEndian?: boolean;
  /** Do not look whether the pages fit the order: for who only wants to know where things are. Default false. */
  readonly anyOrder?: boolean;
  /** Where an index is looked for first, and kept; default `FILE.index`. With it a store that is a file has one, too. */
  readonly indexPath?: string;
  /** Bytes read so far of a stream that is being indexed, and how many there are. */
  readonly onRead?: (bytes: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Opens a snapshot, whatever it is kept in, and checks its structure. A mapped-ram file: no page is read, but for
 * the few of an unsealed one that tell the order of its bitmaps (docs/format.md, "What a reader must check"). A migration stream without fixed places is read through once.
 *
 * @param source a path, or a store, which stays open when the snapshot is closed
 * @throws FixedramError `file.*`, `stream.*`, `seal.unknown-*`, `system.*`, `usage.byte-order`, each with the path
 */
export async function openSnapshot(source: string | Store, options: OpenSnapshotOptions = {}): Promise<Snapshot> {
  const file = typeof source === "string" ? FileStore.open(source) : null;
  const store = file ?? (source as Store);
  try {
    return await openStore(store, file, options);
  } catch (error) {
    await file?.close();
    throw withPath(withSize(error, store.size), store.name);
  }
}

/** A stream that ends too early is most often a file that is shorter than it was. */
function withSize(error: unknown, size: number): unknown {
  if (!(error instanceof FixedramError) || error.code !== "stream.cut" || error.details.found !== undefined)
    return error;
  const { code, message, details, cause } = error;
  const hint = "The file was cut, or the save did not come to its end: fetch it again, or save again.";
  return new FixedramError(code, message, { found: `a file of ${size} bytes`, hint, ...details }, { cause });
}

async function openStore(store: Store, file: FileStore | null, options: OpenSnapshotOptions): Promise<Snapshot> {
  const { signal, offset } = options;
  if (offset !== undefined) return openAt(store, file, options, offset, null);
  const head = new Uint8Array(Math.min(headBytes, store.size));
  const found = recognise(head.subarray(0, await store.read(head, 0, signal)));
  if (found.kind === "libvirt" && found.finished) {
    const libvirt = await readLibvirtHeader(store, signal);
    refusePacked(libvirt);
    return openAt(store, file, options, libvirt.streamBase, libvirt);
  }
  const refused = refusal(found, head);
  if (refused !== null) throw refused;
  return openAt(store, file, options, 0, null);
}

async function openAt(
  store: Store,
  file: FileStore | null,
  options: OpenSnapshotOptions,
  base: number,
  libvirt: LibvirtHeader | null,
): Promise<Snapshot> {
  const configuration = await readConfiguration(store, base, options.signal);
  return capabilitiesOf(configuration).includes("mapped-ram")
    ? openMapped(store, file, options, base, libvirt)
    : openLegacyStream(store, file, options, base, libvirt);
}

/** Compressed images can only be read from beginning to end. */
function refusePacked({ format, streamBase }: LibvirtHeader): void {
  if (format === "raw" || format === "sparse") return;
  throw new FixedramError("file.compressed", `the stream in this libvirt save image is compressed (${format})`, {
    offset: streamBase,
    expected: "raw or sparse",
    found: format,
    hint: "Convert it first: fixedram convert IMAGE OUT.fram. virsh restore takes it as it is.",
  });
}

async function openMapped(
  store: Store,
  file: FileStore | null,
  options: OpenSnapshotOptions,
  base: number,
  libvirt: LibvirtHeader | null,
): Promise<Snapshot> {
  const { signal, pageSize } = options;
  const opened = await openFixedRam(store, {
    base,
    bigEndianBitmaps: options.bigEndian ?? libvirt?.byteOrder === "big",
    ...(signal === undefined ? {} : { signal }),
    ...(pageSize === undefined ? {} : { pageSize }),
  });
  await requireOrder(opened, options);
  const { seal } = opened.seal;
  const { bigEndian } = opened;
  const close = async () => file?.close();
  return {
    ...common(store, file),
    container: libvirt !== null ? "libvirt" : seal === null ? "mapped-ram" : "fixed-ram",
    configuration: opened.configuration,
    ramStart: opened.ramStart,
    records: opened.records,
    devices: opened.devices,
    vmdesc: opened.vmdesc,
    streamBase: opened.streamBase,
    streamEnd: opened.streamEnd,
    map: opened.map,
    libvirt,
    seal: opened.seal,
    bigEndian,
    meta: seal?.meta ?? null,
    // A QEMU of this host would take the bitmaps for its own, and load garbage without a word.
    loadable: file === null || bigEndian !== hostIsBigEndian ? null : { path: file.name, offset: opened.streamBase },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function openLegacyStream(
  store: Store,
  file: FileStore | null,
  options: OpenSnapshotOptions,
  base: number,
  libvirt: LibvirtHeader | null,
): Promise<Snapshot> {
  const opened = await openSealedStream(store, file, options, base);
  const seal = await readSeal(store, opened.streamBase, opened.streamEnd);
  const close = async () => {
    await opened.close();
    await file?.close();
  };
  return {
    ...common(store, file),
    container: libvirt === null ? "stream" : "libvirt",
    configuration: opened.configuration,
    ramStart: opened.ramStart,
    records: opened.records,
    devices: opened.devices,
    vmdesc: opened.vmdesc,
    streamBase: opened.streamBase,
    streamEnd: opened.streamEnd,
    map: opened.map,
    libvirt,
    seal,
    bigEndian: false,
    meta: seal.seal?.meta ?? null,
    loadable: null,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Device state without a vmdesc ends where its container ends: a seal behind it has the first word on where that is. */
async function openSealedStream(
  store: Store,
  file: FileStore | null,
  options: OpenSnapshotOptions,
  base: number,
): Promise<LegacyStream> {
  const limit = await sealedStreamEnd(store);
  if (limit === null) return openStream(store, file, options, { base });
  try {
    return await openStream(store, file, options, { base, limit });
  } catch (error) {
    if (!(error instanceof FixedramError && error.code.startsWith("stream."))) throw error;
    return openStream(store, file, options, { base });
  }
}

function common(store: Store, file: FileStore | null): Pick<Snapshot, "name" | "sizes"> {
  return { name: store.name, sizes: { apparent: store.size, allocated: file?.allocated ?? null } };
}

/** Reads as far as the configuration, which tells what kind of stream it is. */
export async function readConfiguration(
  store: Store,
  base: number,
  signal: AbortSignal | undefined,
): Promise<ConfigurationRecord> {
  let configuration: ConfigurationRecord | null = null;
  const nothing = () => {};
  const events = {
    record: (record: StreamRecord) => {
      if (record.kind === "configuration") configuration = record;
    },
    pages: nothing,
    zeroPages: nothing,
    encoded: nothing,
  };
  const reader = new StreamReader(events, { base });
  const piece = new Uint8Array(512);
  while (configuration === null) {
    const count = await store.read(piece, reader.position, signal);
    if (count === 0) reader.end();
    // Byte by byte: what follows may be damaged, which is for the reader of that kind to say.
    for (let i = 0; i < count && configuration === null; i++) reader.push(piece.subarray(i, i + 1));
  }
  return configuration;
}
