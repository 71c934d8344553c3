/** Writing a sparse save image of libvirt: its header before a fixed-ram file whose offsets count from the image's start. */
import type { PageHasher } from "../bytes/page-digest.ts";
import { FixedramError } from "../errors.ts";
import { FixedRamAssembly } from "../fixedram/assembly.ts";
import type { MainRamTest } from "../fixedram/layout.ts";
import type { SnapshotMeta } from "../fixedram/meta.ts";
import { FixedRamWriter, type WritableFile } from "../fixedram/writer.ts";
import { copyPages } from "../pages/copy.ts";
import type { PageMap } from "../pages/map.ts";
import type { ConfigurationRecord, RamStartRecord, StreamRecord } from "../stream/records.ts";
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
  /** As of {@link FixedRamWriter}. */
  readonly hasher?: PageHasher;
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
    const { isMainRam, hasher, xml, cookie, wasRunning } = options;
    if (xml === null) throw noXml();
    // Nothing else, even if it is another image's header that was given: the bitmaps are little-endian, so the header is.
    const header = encodeLibvirtHeader({ xml, cookie, wasRunning, format: "sparse" });
    super(file, configuration, ramStart, {
      base: header.length,
      ...(isMainRam === undefined ? {} : { isMainRam }),
      ...(hasher === undefined ? {} : { hasher }),
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
 * @throws `usage.libvirt-no-xml`, `usage.libvirt-xml`, `file.ignore-shared`, `file.truncated`, `stream.no-ram`,
 *   `stream.no-configuration`, `system.*`, the signal's reason; the file has been given up then
 */
export async function writeLibvirtSparse(
  file: WritableFile,
  source: SparseSource,
  options: LibvirtWriterOptions & { readonly meta?: SnapshotMeta | null; readonly signal?: AbortSignal },
): Promise<void> {
  const { meta = null, signal, ...rest } = options;
  try {
    const assembly = new FixedRamAssembly(
      (configuration, ramStart) => new LibvirtWriter(file, configuration, ramStart, rest),
    );
    for (const record of source.records) assembly.record(record);
    const writer = assembly.end();
    await copyPages(source.map, writer, signal === undefined ? {} : { signal });
    signal?.throwIfAborted();
    await writer.finish(meta);
  } catch (error) {
    await file.abort();
    throw error;
  }
}

function noXml(): FixedramError {
  return new FixedramError("usage.libvirt-no-xml", "a save image of libvirt needs the definition of its domain", {
    hint: "Get it with: virsh dumpxml --migratable --security-info DOMAIN > domain.xml",
  });
}
