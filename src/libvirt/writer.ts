/** Writing a sparse save image of libvirt: its header before a fixed-ram file whose offsets count from the image's start. */
import { FixedramError } from "../errors.ts";
import type { MainRamTest } from "../fixedram/layout.ts";
import type { SnapshotMeta } from "../fixedram/meta.ts";
import { FixedRamWriter, type WritableFile } from "../fixedram/writer.ts";
import type { PageMap } from "../pages/map.ts";
import { walk } from "../pages/plan.ts";
import { Command } from "../stream/constants.ts";
import type { ConfigurationRecord, RamStartRecord, StreamRecord } from "../stream/records.ts";
import { StreamWriter } from "../stream/writer.ts";
import { PageCopier } from "./copy.ts";
import { encodeLibvirtHeader, libvirtMagic } from "./header.ts";

export interface LibvirtWriterOptions {
  /** The domain's definition, as of `virsh dumpxml` or another image; null is refused. */
  readonly xml: Uint8Array | null;
  /** Another image's cookie; null for none, which libvirt accepts. */
  readonly cookie: Uint8Array | null;
  /** Whether `virsh restore` lets the guest run. */
  readonly wasRunning: boolean;
  /** Which blocks are left alone where a bit is clear. Default: those above 128 MiB. */
  readonly isMainRam?: MainRamTest;
}

/**
 * A {@link FixedRamWriter} whose file begins as libvirt wants it. libvirt's "unfinished" magic stands at the start until
 * {@link LibvirtWriter.complete} has written everything else.
 */
export class LibvirtWriter extends FixedRamWriter {
  readonly #image: WritableFile;

  /**
   * @throws `usage.libvirt-no-xml`, `usage.libvirt-xml`, and what {@link FixedRamWriter} throws
   */
  constructor(
    file: WritableFile,
    configuration: ConfigurationRecord,
    ramStart: RamStartRecord,
    options: LibvirtWriterOptions,
  ) {
    const { isMainRam, xml, cookie, wasRunning } = options;
    if (xml === null) throw noXml();
    // Nothing else, even if it is another image's header that was given: the bitmaps are little-endian, so the header is.
    const header = encodeLibvirtHeader({ xml, cookie, wasRunning, format: "sparse" });
    super(file, configuration, ramStart, {
      base: header.length,
      ...(isMainRam === undefined ? {} : { isMainRam }),
    });
    this.#image = file;
    file.write(header, 0);
  }

  /** {@link FixedRamWriter.complete}, then the magic of a finished image. */
  override complete(meta: SnapshotMeta | null): ReturnType<FixedRamWriter["complete"]> {
    const result = super.complete(meta);
    this.#image.write(libvirtMagic(), 0);
    return result;
  }
}

/** A snapshot whose pages can be found at once, whatever container it is in. */
export interface SparseSource {
  /** Every record of its stream, in stream order. */
  readonly records: readonly StreamRecord[];
  /** Its pages. */
  readonly map: PageMap;
}

/**
 * Writes a whole snapshot into a save image that `virsh restore` takes, and commits the file.
 *
 * @param meta what a seal behind the stream records; libvirt ignores it. null leaves the image without one
 * @throws `usage.libvirt-no-xml`, `usage.libvirt-xml`, `file.ignore-shared`, `file.truncated`, `file.no-ram`,
 *   `stream.no-configuration`, `system.*`, the signal's reason; the file has been given up then
 */
export async function writeLibvirtSparse(
  file: WritableFile,
  source: SparseSource,
  options: LibvirtWriterOptions & { readonly meta?: SnapshotMeta | null; readonly signal?: AbortSignal },
): Promise<void> {
  const { meta = null, signal, ...rest } = options;
  try {
    const configuration = source.records.find((record) => record.kind === "configuration");
    const ramStart = source.records.find((record) => record.kind === "ram-start");
    if (configuration === undefined) throw new FixedramError("stream.no-configuration", "The stream names no machine");
    if (ramStart === undefined)
      throw new FixedramError("file.no-ram", "The stream holds no memory: it has no RAM section");
    const writer = new LibvirtWriter(file, configuration, ramStart, rest);
    await walk(source.map, new PageCopier(source.map, writer, signal), signal);
    const tail = new StreamWriter((bytes) => writer.tail(bytes));
    for (const record of tailOf(source.records, ramStart)) tail.record(record);
    tail.end();
    signal?.throwIfAborted();
    await writer.finish(meta);
  } catch (error) {
    await file.abort();
    throw error;
  }
}

/**
 * What stands behind the last block of a file with its pages at fixed places: the records of a stream without the PARTs that held
 * its pages, without the commands that set up a return path or postcopy, with the END that background snapshots lack, and
 * with what came before the RAM section behind its START (docs/format.md, "Sections").
 */
function tailOf(records: readonly StreamRecord[], ramStart: RamStartRecord): StreamRecord[] {
  const start = records.indexOf(ramStart);
  const before = records.slice(0, start).filter(isKept);
  const tail: StreamRecord[] = [];
  const { sectionId } = ramStart;
  let inPart = false;
  let ended = false;
  let held = before;
  for (const record of records.slice(start + 1)) {
    if (record.kind === "ram-part") inPart = true;
    const framed = inPart;
    if (record.kind === "footer") inPart = false;
    if (framed || !isKept(record)) continue;
    if (record.kind === "ram-end") ended = true;
    if (!ended && endsLive(record)) {
      tail.push({ kind: "ram-end", sectionId }, { kind: "ram-eos" }, { kind: "footer", sectionId });
      ended = true;
    }
    tail.push(record);
    if (record.kind === "footer") {
      tail.push(...held);
      held = [];
    }
  }
  return tail;
}

function isKept(record: StreamRecord): boolean {
  switch (record.kind) {
    case "header":
    case "configuration":
    case "ram-flush":
    case "ram-hook":
      return false;
    case "command":
      return record.command > Command.postcopyAdvise;
    default:
      return true;
  }
}

function endsLive(record: StreamRecord): boolean {
  return record.kind === "device" ? !record.early : record.kind === "device-state-uncut" || record.kind === "eof";
}

function noXml(): FixedramError {
  return new FixedramError("usage.libvirt-no-xml", "A save image of libvirt needs the definition of its domain", {
    hint: "Get it with: virsh dumpxml --migratable --security-info DOMAIN > domain.xml",
  });
}
