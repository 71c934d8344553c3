import { latin1, printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import { BlockListReader } from "./block-list.ts";
import { CommandReader } from "./command-reader.ts";
import { capabilitiesOf, targetPageBitsOf } from "./configuration.ts";
import { ConfigurationReader } from "./configuration-reader.ts";
import { DIRTY_BITMAP_VERSION, RAM_VERSION, SectionType, STREAM_MAGIC, STREAM_VERSION } from "./constants.ts";
import { claimEarly, DeviceTail } from "./device-tail.ts";
import { DirtyBitmapReader } from "./dirty-bitmap-reader.ts";
import { findEarlyFooter, MAX_EARLY } from "./early-device.ts";
import type { Limits, StreamEvents, StreamReaderOptions } from "./events.ts";
import { PageOutput } from "./page-output.ts";
import { PushCore, type Step } from "./push.ts";
import { RamReader } from "./ram-reader.ts";
import type { BlockEntry, ConfigurationRecord, DeviceRecord } from "./records.ts";
import { MAX_VMDESC, parseVmdesc } from "./vmdesc.ts";

interface LiveSection {
  readonly kind: "ram" | "dirty-bitmap";
  readonly instance: number;
  readonly version: number;
  ended: boolean;
}

/** QEMU has one live section for all of RAM and one for all dirty bitmaps, and early sections for a few devices. */
const MAX_SECTIONS = 1024;

/** Live sections that need a parser of their own, by the name they end in. */
const unsupportedSections: readonly (readonly [suffix: string, code: string, what: string])[] = [
  ["vfio", "stream.vfio-section", "a VFIO device"],
  ["htab", "stream.htab-section", "the sPAPR hash table"],
  ["s390-stattrib", "stream.stattrib-section", "s390 storage attributes"],
];

/**
 * Reads a migration stream that is pushed in, in chunks of any size: docs/format.md, QEMU's docs/devel/migration.
 *
 * Which FULL is early, which begins the final device state? QEMU writes FULLs in two places only: in the setup phase, between
 * the STARTs and the first PART, and at the end, after the last END (or after the last PART in a background snapshot, which
 * has no END). So a FULL is early exactly when a START but no PART or END came before it. The rule looks only back: it holds
 * byte by byte. A FULL in a stream without any START belongs to the final device state.
 *
 * Errors: codes `stream.*` with the byte offset, docs/errors/stream.md. After an error every push throws it again.
 */
export class StreamReader {
  readonly #core: PushCore;
  readonly #out: PageOutput;
  readonly #ram: RamReader;
  readonly #limits: Limits;
  readonly #live = new Map<number, LiveSection>();
  readonly #early: DeviceRecord[] = [];
  readonly #commands: CommandReader;
  #configuration: ConfigurationRecord | null = null;
  #pageSize: number;
  #blocks: readonly RamBlock[] = [];
  #footerId = 0;
  #ramSeen = false;
  #anyPart = false;
  #tail: DeviceTail | null = null;
  #earlyScanned = 0;
  #earlyBytes = 0;

  constructor(events: StreamEvents, options: StreamReaderOptions = {}) {
    this.#limits = { maxDeviceState: options.maxDeviceState ?? 2 ** 28, maxBlocks: options.maxBlocks ?? 65536 };
    this.#pageSize = options.pageSize ?? 4096;
    if (!isPageSize(this.#pageSize)) {
      throw new FixedramError("usage.page-size", "the page size must be a power of two from 1024 to 65536", {
        found: String(this.#pageSize),
      });
    }
    this.#out = new PageOutput(events);
    this.#core = new PushCore(options.base ?? 0, this.#header, 8, () => this.#out.flush());
    this.#ram = new RamReader(this.#core, this.#out, () => this.#core.next(this.#footer, 5));
    const nextSection = () => this.#core.next(this.#section, 1);
    this.#commands = new CommandReader(this.#core, this.#out, this.#limits, options.hostPageSize ?? 4096, nextSection);
  }

  /** Absolute offset (`base` + bytes, jumps of mapped-ram files included) of the next byte that `push` wants. */
  get position(): number {
    return this.#core.position;
  }

  /**
   * Absolute offset of byte 0 of the chunk that the events being given refer to: the page at `batch.offsets[k]` stands at
   * `chunkOffset + batch.offsets[k]` of the stream. Valid inside `pages` and `encoded`.
   */
  get chunkOffset(): number {
    return this.#core.origin;
  }

  /** Absolute offset of the item (a section's header, a command, a record of RAM) that the event being given came from. */
  get itemOffset(): number {
    return this.#core.at;
  }

  /** The stream's end has been seen. */
  get complete(): boolean {
    return this.#core.complete;
  }

  /** The final device sections have begun: everything that comes is held until the vmdesc tells where they end. */
  get inDeviceState(): boolean {
    return this.#tail !== null;
  }

  /** The RAM blocks, once their list has been read. */
  get blocks(): readonly RamBlock[] {
    return this.#blocks;
  }

  /**
   * Takes the bytes at {@link position}. Returns how many were consumed: all of them, unless the stream ended before, or goes
   * on elsewhere in a mapped-ram file: go on with the bytes at `position` then.
   */
  push(chunk: Uint8Array): number {
    return this.#core.push(chunk);
  }

  /** From inside an event: {@link push} returns behind the record that is being given. The rest of the chunk is pushed again later. */
  hold(): void {
    this.#core.held = true;
  }

  /** The input has ended. Error: `stream.cut` when the stream has not. */
  end(): void {
    const core = this.#core;
    if (core.complete) return;
    // An empty chunk throws an earlier error again.
    core.push(new Uint8Array(0));
    if (core.step === this.#afterEof && core.position === core.at) {
      core.complete = true;
      return;
    }
    if (this.#tail === null) {
      throw new FixedramError("stream.cut", "the stream ends before it is complete", { offset: core.position });
    }
    this.#tail.finish();
    const bytes = this.#tail.bytes;
    this.#out.record({ kind: "device-state-uncut", bytes: bytes.subarray(0, -1) });
    this.#out.record({ kind: "eof" });
    core.complete = true;
  }

  readonly #header: Step = (_buf, view, off) => {
    const core = this.#core;
    if (view.getUint32(off) !== STREAM_MAGIC) {
      throw core.error("stream.bad-magic", "this is no migration stream: it does not begin with QEVM", {
        expected: "5145564d",
        found: view.getUint32(off).toString(16).padStart(8, "0"),
      });
    }
    const version = view.getUint32(off + 4);
    if (version !== STREAM_VERSION) {
      const details = { expected: String(STREAM_VERSION), found: String(version) };
      throw core.error("stream.version", "the stream has a version that QEMU itself refuses", details, 4);
    }
    this.#out.record({ kind: "header", version });
    const configuration = new ConfigurationReader(core, (record) => {
      this.#setConfiguration(record);
      core.next(this.#section, 1);
    });
    core.next(configuration.step, 1);
    return 8;
  };

  #setConfiguration(record: ConfigurationRecord): void {
    this.#configuration = record;
    const bits = targetPageBitsOf(record);
    if (bits !== null) {
      if (bits < 10 || bits > 16) {
        throw this.#core.error("stream.page-bits", "the configuration names an impossible page size", {
          expected: "10 to 16 bits",
          found: `${bits} bits`,
        });
      }
      this.#pageSize = 2 ** bits;
    }
    this.#out.record(record);
  }

  readonly #section: Step = (buf, view, off) => {
    const core = this.#core;
    const type = view.getUint8(off);
    switch (type) {
      case SectionType.eof:
        this.#out.record({ kind: "eof" });
        core.next(this.#afterEof, 1);
        return 1;
      case SectionType.start:
      case SectionType.full:
        return this.#header14(buf, view, off, type);
      case SectionType.part:
      case SectionType.end:
        return this.#partOrEnd(view, off, type);
      case SectionType.command:
        return this.#commands.step(buf, view, off, off);
      case SectionType.subsection:
      case SectionType.vmdesc:
      case SectionType.configuration:
      case SectionType.footer:
        throw core.error("stream.misplaced-section", "a section of this type can't stand here", { found: hex(type) });
      default:
        throw core.error("stream.unknown-section", "a section has a type that is not known", { found: hex(type) });
    }
  };

  /** START, or a FULL: both begin with id, name, instance and version. */
  #header14(buf: Uint8Array, view: DataView, off: number, type: number): number {
    const core = this.#core;
    if (type === SectionType.full && (this.#anyPart || this.#live.size === 0)) {
      this.#tail = new DeviceTail(core.at, this.#limits.maxDeviceState, this.#early);
      core.next(this.#inTail, 1);
      return 0;
    }
    if (!core.has(6)) return 0;
    const length = 14 + view.getUint8(off + 5);
    if (!core.has(length)) return 0;
    const sectionId = view.getUint32(off + 1);
    const name = latin1(buf, off + 6, off + length - 8);
    if (this.#live.size + this.#early.length >= MAX_SECTIONS) {
      throw core.error("stream.too-many-sections", "there are more live and early sections than any machine has", {
        expected: `at most ${MAX_SECTIONS}`,
      });
    }
    if (this.#live.has(sectionId) || this.#early.some((device) => device.sectionId === sectionId)) {
      throw core.error("stream.duplicate-section-id", `section "${printable(name)}" has an id that is taken`, {
        found: String(sectionId),
      });
    }
    if (type === SectionType.full) {
      this.#earlyScanned = length;
      core.next(this.#inEarly, length + 1);
      return 0;
    }
    this.#footerId = sectionId;
    this.#start(sectionId, name, view.getUint32(off + length - 8), view.getUint32(off + length - 4));
    return length;
  }

  #start(sectionId: number, name: string, instance: number, version: number): void {
    const core = this.#core;
    if (name !== "ram" && name !== "dirty-bitmap") {
      const found = printable(name);
      for (const [suffix, code, what] of unsupportedSections) {
        if (!name.endsWith(suffix)) continue;
        throw core.error(code, `the stream holds the live state of ${what}, which can't be read`, { found });
      }
      throw core.error("stream.unsupported-section", `the live section "${found}" can't be read`, { found });
    }
    const expected = name === "ram" ? RAM_VERSION : DIRTY_BITMAP_VERSION;
    if (version !== expected) {
      throw core.error("stream.section-version", `section "${name}" has an unknown version`, {
        expected: String(expected),
        found: String(version),
      });
    }
    if (instance !== 0) {
      throw core.error("stream.section-instance", `section "${name}" is not the only one of its kind`, {
        expected: "instance 0",
        found: `instance ${instance}`,
      });
    }
    this.#live.set(sectionId, { kind: name, instance, version, ended: false });
    if (name === "dirty-bitmap") this.#dirtyBitmap("start", sectionId, instance, version);
    else this.#ramStart(sectionId, instance, version);
  }

  #ramStart(sectionId: number, instance: number, version: number): void {
    const core = this.#core;
    if (this.#ramSeen) throw core.error("stream.second-ram-section", "there is a second RAM section");
    this.#ramSeen = true;
    const capabilities = this.#configuration === null ? [] : capabilitiesOf(this.#configuration);
    const mapped = capabilities.includes("mapped-ram");
    const shape = {
      pageSize: this.#pageSize,
      ignoreShared: capabilities.includes("x-ignore-shared"),
      mapped,
      hugePageSizes: this.#commands.hugePageSizes,
    };
    const done = (total: number, blocks: readonly BlockEntry[]) => {
      this.#blocks = blocks.map((entry) => entry.block);
      this.#ram.setBlocks(this.#blocks, this.#pageSize, mapped);
      this.#out.record({ kind: "ram-start", sectionId, instance, version, total, blocks });
      core.next(this.#ram.step, 8);
    };
    core.next(new BlockListReader(core, this.#limits, shape, done).step, 8);
  }

  #dirtyBitmap(part: "start" | "part" | "end", sectionId: number, instance: number, version: number): void {
    const reader = new DirtyBitmapReader(this.#core, this.#limits, (payload) => {
      this.#out.record({ kind: "dirty-bitmap", part, sectionId, instance, version, payload });
      this.#core.next(this.#footer, 5);
    });
    this.#core.next(reader.step, 1);
  }

  #partOrEnd(view: DataView, off: number, type: number): number {
    const core = this.#core;
    if (!core.has(5)) return 0;
    const sectionId = view.getUint32(off + 1);
    const section = this.#live.get(sectionId);
    if (section === undefined || section.ended) {
      throw core.error("stream.unknown-section-id", "a section goes on that was never begun, or has ended", {
        found: String(sectionId),
      });
    }
    const end = type === SectionType.end;
    section.ended = end;
    this.#anyPart = true;
    this.#footerId = sectionId;
    if (section.kind === "dirty-bitmap") {
      this.#dirtyBitmap(end ? "end" : "part", sectionId, section.instance, section.version);
    } else {
      this.#out.record({ kind: end ? "ram-end" : "ram-part", sectionId });
      core.next(this.#ram.step, 8);
    }
    return 5;
  }

  readonly #footer: Step = (_buf, view, off) => {
    const core = this.#core;
    const id = view.getUint32(off + 1);
    if (view.getUint8(off) !== SectionType.footer || id !== this.#footerId) {
      throw core.error("stream.bad-footer", "a section does not end in its footer", {
        expected: `7e, id ${this.#footerId}`,
        found: `${hex(view.getUint8(off)).slice(2)}, id ${id}`,
      });
    }
    this.#out.record({ kind: "footer", sectionId: id });
    core.next(this.#section, 1);
    return 5;
  };

  readonly #inEarly: Step = (buf, view, off, end) => {
    const core = this.#core;
    const header = 14 + view.getUint8(off + 5);
    const sectionId = view.getUint32(off + 1);
    const known = (id: number) => this.#live.get(id)?.ended === false;
    const most = header + MAX_EARLY + 5;
    const found = findEarlyFooter(buf, view, off, end, this.#earlyScanned, sectionId, known);
    const footer = found >= 0 ? found : -1 - found;
    if (footer > most) {
      throw core.error("stream.early-section-too-long", "no footer ends an early device section within 1 MiB");
    }
    if (found < 0) {
      this.#earlyScanned = footer;
      core.need = end - off + 1;
      return 0;
    }
    const name = latin1(buf, off + 6, off + header - 8);
    const device: DeviceRecord = {
      kind: "device",
      sectionId,
      name,
      instance: view.getUint32(off + header - 8),
      version: view.getUint32(off + header - 4),
      payload: buf.slice(off + header, off + footer),
      early: true,
    };
    this.#earlyBytes += device.payload.length;
    if (this.#earlyBytes > this.#limits.maxDeviceState) {
      throw core.error("stream.device-state-too-large", "the early device sections are larger than the limit", {
        expected: `at most ${this.#limits.maxDeviceState} bytes`,
      });
    }
    this.#early.push(device);
    this.#out.record(device);
    this.#footerId = sectionId;
    core.next(this.#footer, 5);
    return footer;
  };

  readonly #inTail: Step = (buf, _view, off, end) => {
    const core = this.#core;
    const tail = this.#tail;
    if (tail === null) throw new TypeError("no device state has begun");
    const before = tail.bytes.length;
    const last = tail.append(buf.subarray(off, end));
    if (last === null) return end - off;
    for (const device of last.devices) {
      this.#out.record(device);
      this.#out.record({ kind: "footer", sectionId: device.sectionId });
    }
    this.#out.record({ kind: "eof" });
    this.#out.record({ kind: "vmdesc", bytes: last.vmdesc });
    core.complete = true;
    return last.length - before;
  };

  /** EOF came without any final device section; a vmdesc may follow, anything else is not the stream's. */
  readonly #afterEof: Step = (buf, view, off) => {
    const core = this.#core;
    if (view.getUint8(off) !== SectionType.vmdesc) {
      core.complete = true;
      return 0;
    }
    if (!core.has(5)) return 0;
    const length = 5 + view.getUint32(off + 1);
    const most = Math.min(MAX_VMDESC, this.#limits.maxDeviceState);
    if (length - 5 > most) {
      throw core.error("stream.device-state-too-large", "the vmdesc is larger than the limit", {
        expected: `at most ${most} bytes`,
      });
    }
    if (!core.has(length)) return 0;
    const bytes = buf.slice(off + 5, off + length);
    const { mismatch, lengths } = claimEarly(parseVmdesc(bytes, core.at + 5), this.#early, core.at);
    if (mismatch !== null) throw mismatch;
    if (lengths.unclaimed > 0) {
      throw core.error("stream.device-state", "the vmdesc lists device sections that the stream does not hold");
    }
    this.#out.record({ kind: "vmdesc", bytes });
    core.complete = true;
    return length;
  };
}

function isPageSize(size: number): boolean {
  return size >= 1024 && size <= 65536 && Number.isInteger(Math.log2(size));
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}
