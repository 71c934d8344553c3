import { PageHasher } from "../../bytes/page-digest.ts";
import { FixedramError } from "../../errors.ts";
import { FixedRamAssembly } from "../../fixedram/assembly.ts";
import type { MainRamTest } from "../../fixedram/layout.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { FixedRamWriter, type WritableFile } from "../../fixedram/writer.ts";
import type { RamBlock } from "../../pages/block.ts";
import type { PageBatch } from "../../pages/sink.ts";
import type { Receiver } from "../../qemu/migration-socket.ts";
import { Command } from "../../stream/constants.ts";
import type { PageEncoding, StreamEvents } from "../../stream/events.ts";
import { StreamReader } from "../../stream/reader.ts";
import type { StreamRecord } from "../../stream/records.ts";
import type { SaveWatcher } from "./watcher.ts";

/** Large enough that a chunk holds a long run of pages, small enough to stay in the cache between socket and file. */
const bufferBytes = 2 ** 20;

/** The multifd channels beside the stream: {@link ChannelCapture}. */
export interface SideChannels {
  /** Bytes, and pages of either kind, so far; pages written over earlier ones. */
  readonly received: number;
  readonly pages: number;
  readonly rewritten: number;
  laidOut(writer: FixedRamWriter, main: readonly boolean[]): void;
  /** Settles when the channels, too, are at the end of round `round`, from 1. */
  round(round: number): Promise<void>;
  /** The stream goes on. */
  moved(): void;
}

/**
 * Takes a migration stream chunk by chunk and puts every page at its place: socket bytes in, a fixed-ram file out. Everything
 * is synchronous, so a slow disk slows QEMU down and nothing piles up here. With multifd channels beside it, it waits for them at
 * the end of every round, before anything that follows.
 */
export class Capture implements Receiver, StreamEvents {
  /** For the socket to read into: pages that lie here are hashed where they are. */
  readonly buffer: Uint8Array;
  /** Settles when the stream is whole, its last byte included; QEMU keeps the connection open then. */
  readonly whole: Promise<void>;
  isWhole = false;
  /** The snapshot's id, once the file is whole. */
  id: string | null = null;
  #trailing: FixedramError | null = null;
  #inDevices = false;
  /** Command 2 (PING) wants its value back on the return path. */
  onPing: (value: number) => void = () => {};
  /** Bytes of the device state have come. */
  onDeviceState: () => void = () => {};
  readonly #onPhase: (phase: "ram" | "device-state") => void;
  readonly #onBytes: () => void;
  readonly #assembly: FixedRamAssembly;
  readonly #reader: StreamReader;
  readonly #channels: SideChannels | null;
  readonly #watcher: SaveWatcher | null;
  /** What ends a round in this stream (docs/format.md, "multifd channels"); null: the first has not ended. */
  #roundEnd: "ram-eos" | "ram-flush" | null = null;
  #round = 0;
  #held = false;
  #received = 0;
  #settle: () => void = () => {};

  /**
   * @param onPhase the stream has come to this part
   * @param onBytes called for every chunk
   * @param channels multifd; null: every page comes in the stream itself
   * @param watcher looks on
   */
  constructor(
    target: WritableFile,
    mainRam: MainRamTest,
    onPhase: (phase: "ram" | "device-state") => void,
    onBytes: () => void,
    channels: SideChannels | null = null,
    watcher: SaveWatcher | null = null,
  ) {
    const hasher = new PageHasher(bufferBytes);
    this.buffer = hasher.region;
    const options = { isMainRam: mainRam, hasher, sharedBits: channels !== null };
    this.#channels = channels;
    this.#watcher = watcher;
    this.#assembly = new FixedRamAssembly((configuration, ramStart) => {
      const writer = new FixedRamWriter(target, configuration, ramStart, options);
      channels?.laidOut(writer, writer.blocks.map(mainRam));
      watcher?.laidOut(writer.blocks, writer.sharedBits);
      return writer;
    });
    this.#onPhase = onPhase;
    this.#onBytes = onBytes;
    this.#reader = new StreamReader(this, {});
    this.whole = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** Bytes so far, those of multifd channels too. */
  get received(): number {
    return this.#received + (this.#channels?.received ?? 0);
  }

  chunk(bytes: Uint8Array): void | Promise<void> {
    this.#received += bytes.length;
    this.#channels?.moved();
    return this.#take(bytes);
  }

  #take(bytes: Uint8Array): void | Promise<void> {
    const used = this.#reader.push(bytes);
    this.#onBytes();
    if (this.#held && this.#channels !== null) {
      this.#held = false;
      return this.#channels.round(this.#round).then(() => this.#take(bytes.subarray(used)));
    }
    if (this.#reader.inDeviceState) this.#deviceState();
    if (!this.#reader.complete) return;
    if (used < bytes.length) {
      this.#trailing = new FixedramError("stream.trailing-bytes", "QEMU sent more after the end of its stream", {
        offset: this.#reader.position,
        found: `${bytes.length - used} bytes`,
      });
      throw this.#trailing;
    }
    this.#whole();
  }

  /**
   * The connection was closed by QEMU. Only for a stream whose end nothing else tells, because its machine writes no vmdesc.
   *
   * @throws FixedramError `stream.cut`, `stream.device-state` and others of StreamReader.end
   */
  end(): void {
    this.#reader.end();
    this.#whole();
  }

  /** Why the bytes so far are not a whole stream; null when a vmdesc is all that is missing. */
  whyNotWhole(): unknown {
    try {
      this.#reader.end();
      return null;
    } catch (error) {
      return error;
    }
  }

  #deviceState(): void {
    if (!this.#inDevices) {
      this.#inDevices = true;
      this.#onPhase("device-state");
    }
    this.onDeviceState();
  }

  #whole(): void {
    this.isWhole = true;
    this.#settle();
  }

  get machine(): string {
    return this.#assembly.configuration?.machine ?? "";
  }

  /** Counts of pages; zeros before the block list has come. */
  get counts(): { readonly total: number; readonly data: number; readonly zero: number; readonly rewritten: number } {
    const writer = this.#assembly.started;
    if (writer === null) return { total: 0, data: 0, zero: 0, rewritten: 0 };
    return { ...writer.countPages(), rewritten: writer.rewritten + (this.#channels?.rewritten ?? 0) };
  }

  /** Bytes of all RAM blocks. */
  get ramBytes(): number {
    return this.#assembly.started?.blocks.reduce((sum, block) => sum + block.length, 0) ?? 0;
  }

  /** Bytes of the pages that have come so far, zero pages too: they count towards {@link ramBytes}. */
  get pageBytes(): number {
    const { started } = this.#assembly;
    if (started === null) return 0;
    const pages = started.pagesWritten + started.zerosGiven + (this.#channels?.pages ?? 0);
    return pages * (started.blocks[0]?.pageSize ?? 4096);
  }

  /**
   * Writes headers, bitmaps, tail and seal; the file is whole then, not yet on disk.
   *
   * @throws FixedramError `stream.no-ram`, `stream.trailing-bytes`, `system.*`
   */
  complete(meta: SnapshotMeta): void {
    if (this.#trailing !== null) throw this.#trailing;
    const writer = this.#assembly.end();
    writer.complete(meta);
    this.id = writer.id;
  }

  record(record: StreamRecord): void {
    if (record.kind === "command" && record.command === Command.ping) {
      this.onPing(new DataView(record.data.buffer, record.data.byteOffset).getUint32(0));
    }
    this.#assembly.record(record);
    if (record.kind === "ram-start") this.#onPhase("ram");
    if (this.#channels !== null && (record.kind === "ram-eos" || record.kind === "ram-flush")) this.#mark(record.kind);
  }

  /** The section that sets up is the first round: QEMU whose rounds end with FLUSH writes one there, before that section's EOS. */
  #mark(kind: "ram-eos" | "ram-flush"): void {
    this.#roundEnd ??= kind;
    if (kind !== this.#roundEnd) return;
    this.#round++;
    this.#held = true;
    this.#reader.hold();
  }

  pages(batch: PageBatch): void {
    this.#assembly.pages(batch);
    this.#watcher?.pages(batch);
  }

  zeroPages(block: RamBlock, firstPage: number, count: number): void {
    this.#assembly.zeroPages(block, firstPage, count);
    this.#watcher?.zeroPages(block, firstPage, count);
  }

  encoded(block: RamBlock, page: number, kind: PageEncoding, data: Uint8Array): void {
    this.#assembly.encoded(block, page, kind, data);
  }
}
