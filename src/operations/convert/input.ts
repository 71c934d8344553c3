import { headBytes, recognise } from "../../containers/recognise.ts";
import type { Container, Snapshot } from "../../containers/snapshot.ts";
import { withPath } from "../../errors.ts";
import type { Digests } from "../../fixedram/digest-sections.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { readSeal, sealedStreamEnd } from "../../fixedram/seal.ts";
import type { LibvirtHeader } from "../../libvirt/header.ts";
import { pumpLibvirt, readLibvirtHeader } from "../../libvirt/reader.ts";
import type { Store } from "../../pages/store.ts";
import { FileStore } from "../../storage/file-store.ts";
import { capabilitiesOf } from "../../stream/configuration.ts";
import type { StreamEvents } from "../../stream/events.ts";
import { savedRunState } from "../../stream/global-state.ts";
import { requirePages, requireSealed, requireTrusted } from "../copy/trust.ts";
import { openSnapshot, readConfiguration } from "../open.ts";
import { worthThreads } from "../parallel.ts";
import { PassEvents, type PieceSource, piecesOf, pump, pumpFile, streamOnly } from "./pass.ts";

/** What is known of the input when all of it has been read. */
export interface InputFacts {
  readonly machine: string;
  readonly runState: string | null;
  /** What was recorded with it, from a seal that can be relied on. */
  readonly meta: SnapshotMeta | null;
  /** Bytes behind the stream's end that came through a pipe and are not kept. */
  readonly trailing: number;
}

export interface PassOptions {
  /** Memory to read into. */
  readonly buffer: Uint8Array;
  /** Memory for a file that is read while what came from it is still being written. Default: `buffer`. */
  readonly pieces?: PieceSource | null;
  readonly drained: () => Promise<void>;
  /** Bytes of the input so far. */
  readonly onBytes: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

/** Something to convert: a snapshot with its pages at hand, or what can be read once. */
export interface ConvertInput {
  readonly name: string;
  readonly container: Container | "pipe";
  /** Of the file; null for a pipe. */
  readonly file: FileStore | null;
  readonly size: number;
  /** What stood before the stream in a libvirt image. */
  readonly libvirt: LibvirtHeader | null;
  /** Null: it can be read once only, with {@link ConvertInput.pass}. */
  readonly snapshot: Snapshot | null;
  /** What the snapshot's pages were sealed with; null where they were not, or whatever is there is to be taken. */
  readonly digests: Digests | null;
  /**
   * Compares all pages with {@link ConvertInput.digests}, for who cannot do it while copying.
   *
   * @throws `seal.damaged-*` with block and page
   */
  verifyPages(onBytes: (bytes: number, total: number) => void, signal?: AbortSignal): Promise<void>;
  pass(events: StreamEvents, options: PassOptions): Promise<InputFacts>;
  close(): Promise<void>;
}

export interface InputOptions {
  readonly pageSize?: number;
  readonly bigEndian?: boolean;
  readonly offset?: number;
  /** The pages must be at hand: a stream in a file is read through first to find them. */
  readonly random: boolean;
  /** The output is several files, which threads write: they need to know where the pages are. */
  readonly threads: boolean;
  /** Take a file whose seal cannot be relied on. */
  readonly force: boolean;
  readonly onRead?: (bytes: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Bytes of a stream whose pages are found before they are copied: the places of 64 GiB of pages take 128 MiB. */
const mostIndexed = 64 * 2 ** 30;

/** Opens what is to be converted. @throws what {@link openSnapshot} throws; `seal.*` without `force` */
export async function openInput(
  source: string | Store | AsyncIterable<Uint8Array>,
  options: InputOptions,
): Promise<ConvertInput> {
  if (typeof source === "object" && Symbol.asyncIterator in source) return pipeInput(source, options);
  const file = typeof source === "string" ? FileStore.open(source) : null;
  const store = file ?? (source as Store);
  try {
    const pass = options.offset === undefined ? await passInput(store, file, options) : null;
    if (pass !== null) return pass;
    // By its path, which QEMU could load; it is the same file while `file` is open.
    const snapshot = await openSnapshot(source as string | Store, openOptions(options));
    return await snapshotInput(snapshot, store, file, options);
  } catch (error) {
    await file?.close();
    throw withPath(error, store.name);
  }
}

function openOptions({ pageSize, bigEndian, offset, onRead, signal }: InputOptions) {
  return {
    ...(offset === undefined ? {} : { offset }),
    ...(bigEndian === undefined ? {} : { bigEndian }),
    ...(pageSize === undefined ? {} : { pageSize }),
    ...(onRead === undefined ? {} : { onRead }),
    ...(signal === undefined ? {} : { signal }),
  };
}

async function snapshotInput(
  snapshot: Snapshot,
  store: Store,
  file: FileStore | null,
  { force, signal }: InputOptions,
): Promise<ConvertInput> {
  const close = async () => {
    await snapshot.close();
    await file?.close();
  };
  let digests: Digests | null = null;
  try {
    requireTrusted(snapshot.seal, force);
    if (!force) digests = await requireSealed(store, snapshot, signal);
  } catch (error) {
    await snapshot.close();
    throw error;
  }
  const facts: InputFacts = {
    machine: snapshot.configuration.machine,
    runState: savedRunState(snapshot.devices),
    meta: snapshot.meta,
    trailing: 0,
  };
  const { name, container, libvirt } = snapshot;
  return {
    name,
    container,
    file,
    size: store.size,
    libvirt,
    snapshot,
    digests,
    verifyPages: async (onBytes, abort) => {
      if (digests !== null) await requirePages(store, snapshot, onBytes, abort);
    },
    pass: async () => facts,
    close,
  };
}

/** A stream or image that is best read in one pass; null when its pages are at hand, or must be. */
async function passInput(store: Store, file: FileStore | null, options: InputOptions): Promise<ConvertInput | null> {
  const { pageSize, force } = options;
  // Up to a size the pages are found first, and copied by threads.
  const random =
    options.random || (file !== null && options.threads && file.size >= worthThreads && file.size <= mostIndexed);
  const head = new Uint8Array(Math.min(headBytes, store.size));
  const found = recognise(head.subarray(0, await store.read(head, 0, options.signal)));
  const isImage = found.kind === "libvirt" && found.finished;
  if (!isImage && found.kind !== "stream") return null;
  const libvirt = isImage ? await readLibvirtHeader(store, options.signal) : null;
  const packed = libvirt !== null && libvirt.format !== "raw" && libvirt.format !== "sparse";
  const base = libvirt?.streamBase ?? 0;
  if (!packed) {
    if (random) return null;
    const configuration = await readConfiguration(store, base, options.signal);
    if (capabilitiesOf(configuration).includes("mapped-ram")) return null;
  }
  const more = pageSize === undefined ? {} : { pageSize };
  const pass = async (
    to: StreamEvents,
    { buffer, pieces = null, drained, onBytes, signal }: PassOptions,
  ): Promise<InputFacts> => {
    const events = new PassEvents(store.name, to);
    const onPlace = (place: () => number): void => {
      events.place = place;
    };
    const rest = { ...more, drained, onPlace, ...(signal === undefined ? {} : { signal }) };
    if (packed) {
      await pumpLibvirt(store, libvirt, events, { ...rest, onRead: onBytes });
      return factsOf(events, null, 0);
    }
    // Device state without a vmdesc ends where its container ends, and a seal is not the stream's.
    const limit = (await sealedStreamEnd(store)) ?? store.size;
    const { readSync } = store;
    const all = { ...rest, base, onBytes };
    const end =
      pieces !== null && readSync !== undefined
        ? await pumpFile({ name: store.name, readSync }, limit, pieces, events, all)
        : (await pump(piecesOf(store, base, limit, buffer, signal), events, all)).end;
    const seal = await readSeal(store, base, end);
    requireTrusted(seal, force);
    return factsOf(events, seal.seal?.meta ?? null, 0);
  };
  return {
    name: store.name,
    container: libvirt === null ? "stream" : "libvirt",
    file,
    size: store.size,
    libvirt,
    snapshot: null,
    digests: null,
    verifyPages: async () => {},
    pass,
    close: async () => file?.close(),
  };
}

function pipeInput(chunks: AsyncIterable<Uint8Array>, { pageSize }: InputOptions): ConvertInput {
  const name = "standard input";
  return {
    name,
    container: "pipe",
    file: null,
    size: 0,
    libvirt: null,
    snapshot: null,
    digests: null,
    verifyPages: async () => {},
    pass: async (to, { drained, onBytes, signal }) => {
      const events = new PassEvents(name, to);
      const { trailing } = await pump(streamOnly(abortable(chunks, signal), name), events, {
        drained,
        onBytes,
        onPlace: (place) => {
          events.place = place;
        },
        ...(pageSize === undefined ? {} : { pageSize }),
        ...(signal === undefined ? {} : { signal }),
      });
      return factsOf(events, null, trailing);
    },
    close: async () => {},
  };
}

function factsOf(events: PassEvents, meta: SnapshotMeta | null, trailing: number): InputFacts {
  return { machine: events.configuration?.machine ?? "", runState: events.runState, meta, trailing };
}

/** The chunks, until the signal: a pipe on which nothing comes does not hold us. */
async function* abortable(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  if (signal === undefined) {
    yield* chunks;
    return;
  }
  const iterator = chunks[Symbol.asyncIterator]();
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
  });
  aborted.catch(() => {});
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted]);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    // Not awaited: a read under way may never end.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}
