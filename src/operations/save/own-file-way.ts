import { FixedramError } from "../../errors.ts";
import { keepZeroPages } from "../../fixedram/keep-zeros.ts";
import { isMainRam, type MainRamTest } from "../../fixedram/layout.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { type FixedRamFile, openFixedRam } from "../../fixedram/reader.ts";
import { sealInPlace } from "../../fixedram/seal-in-place.ts";
import type { RamBlock } from "../../pages/block.ts";
import { queryMigrate } from "../../qmp/commands.ts";
import { migrateToFile } from "../../qmp/migration-commands.ts";
import { InPlaceFile } from "../../storage/in-place-file.ts";
import type { TargetFile } from "../../storage/target-file.ts";
import { inspectTarget } from "../../storage/target-path.ts";
import { DigestThreads } from "../digest.ts";
import type { MigrationWatch } from "./migration.ts";
import { putBack } from "./put-back.ts";
import { firstOf } from "./transfer.ts";
import type { Prepared, SaveWay, Taken } from "./way.ts";

/** Milliseconds between two looks at how far QEMU is: its monitor is silent while it writes the memory of a stopped guest. */
const LOOK = 100;

/** Bytes free below which a file that QEMU did not finish is put down to a full disk; it never says so itself. */
const FULL = 2 ** 20;

/**
 * QEMU writes the file itself, as mapped-ram (9.0 and newer), into our temporary one; a second pass makes digests and seal.
 *
 * The guest is given back by QEMU (docs/decisions/0011): with the capability `return-path` it looks, when all is written, for an
 * answer in the file, which is open for writing only. So its migration has failed, the guest goes on by itself, and the file is
 * whole. Whether it is whole the stream in it tells, not QEMU. Where the guest is to stay stopped there is no return path, QEMU
 * ends as completed, and until the file has its name putBack, the guard or the next save would let the guest go on.
 */
export class OwnFileWay implements SaveWay {
  readonly #prepared: Prepared;
  readonly #file: InPlaceFile;
  readonly #threads: DigestThreads;
  readonly #main: MainRamTest;
  readonly ramBytes: number;
  #written = 0;
  #sealed = 0;
  #opened: FixedRamFile | null = null;
  /** Pages QEMU says it has written; null: it did not say. */
  #pagesSent: number | null = null;
  #id = "";
  #given = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param ramBytes of all RAM blocks */
  constructor(prepared: Prepared, ramBytes: number) {
    this.#prepared = prepared;
    this.ramBytes = ramBytes;
    const { target, guest, signal } = prepared;
    const main = new Set(guest.facts.memory.mainBlocks);
    this.#main = (block: RamBlock) => main.has(block.name) || (main.size === 0 && isMainRam(block));
    this.#file = InPlaceFile.over(target.fd, target.partial);
    this.#threads = new DigestThreads(this.#file.shared, { signal, noZero: this.#main });
  }

  get pageBytes(): number {
    return this.#opened === null ? this.#written : this.#sealed;
  }

  async open(): Promise<void> {
    const { guest, target } = this.#prepared;
    const { process: qemu } = guest;
    if (qemu === null || process.getuid?.() !== 0 || qemu.uid === 0) return;
    // Root alone can; everybody else has been refused for a QEMU that is not their own.
    target.give(qemu);
    this.#given = true;
  }

  async take(watch: MigrationWatch): Promise<void> {
    const { client, plan, target, before, reporter, signal } = this.#prepared;
    reporter.enter("ram");
    this.#timer = setInterval(() => this.#look(), LOOK);
    let ended: string;
    try {
      await migrateToFile(client, target.partial, { signal });
      ended = await firstOf(watch.failure, watch.end(null, signal), signal);
    } catch (error) {
      throw refused(error, target.partial);
    } finally {
      clearInterval(this.#timer);
    }
    this.#look();
    if (ended === "completed") this.#pagesSent = (await queryMigrate(client)).ram?.normal ?? null;
    else if (ended !== "failed" || !plan.returnPath) throw await this.#failed(ended);
    this.#takeBack();
    // A guest that is to go on does not wait for what is left to do.
    if (plan.returnPath) await putBack(client, before);
    this.#opened = await this.#whole();
    // Not before: a sync beside QEMU's own writes cost it three times its processor time, and the save half as much again.
    target.wrote(this.#written);
  }

  async complete(meta: SnapshotMeta): Promise<void> {
    const opened = this.#opened;
    if (opened === null) throw new Error("complete before take");
    const { reporter, signal } = this.#prepared;
    reporter.enter("seal");
    await keepZeroPages(this.#file, opened, this.#main, signal);
    this.#id = await sealInPlace(this.#file, opened, meta, {
      signal,
      digester: this.#threads.digest,
      sync: false,
      onBytes: (bytes) => {
        this.#sealed = bytes;
        reporter.report();
      },
    });
    reporter.enter("sync");
  }

  async decide(): Promise<void> {}

  async end(): Promise<void> {
    await this.#threads[Symbol.asyncDispose]();
  }

  taken(): Taken {
    const opened = this.#opened;
    if (opened === null) throw new Error("nothing was taken");
    const total = opened.blocks.reduce((sum, { block }) => sum + block.pages, 0);
    const data = this.#dataPages;
    const { directIo } = this.#prepared.plan.transport;
    return {
      id: this.#id,
      machine: opened.configuration.machine,
      received: this.#written,
      directBytes: directIo ? data * (opened.blocks[0]?.block.pageSize ?? 0) : 0,
      pages: { total, data, zero: total - data, rewritten: Math.max(0, (this.#pagesSent ?? data) - data) },
    };
  }

  async fail(): Promise<void> {
    clearInterval(this.#timer);
    await this.end();
  }

  release(): void {
    clearInterval(this.#timer);
    void this.#threads[Symbol.asyncDispose]();
  }

  #dataPages = 0;

  /** QEMU writes, and nobody tells: what the file holds is how far it is. */
  #look(): void {
    const { target, reporter } = this.#prepared;
    this.#written = Math.max(this.#written, target.sizes().allocated);
    reporter.report();
  }

  #takeBack(): void {
    if (!this.#given) return;
    this.#given = false;
    this.#prepared.target.give({ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 });
  }

  /** @throws `qemu.own-file`, `system.disk-full`; what openFixedRam throws but for a stream that was cut */
  async #whole(): Promise<FixedRamFile> {
    const { target, signal } = this.#prepared;
    try {
      const opened = await openFixedRam(this.#file, { signal });
      this.#dataPages = opened.bitmaps.reduce((sum, bitmap) => sum + bitmap.count(), 0);
      return opened;
    } catch (error) {
      if (!(error instanceof FixedramError) || error.code.startsWith("system.")) throw error;
      throw diskFull(target) ?? notWritten(error.message, target.partial, error);
    }
  }

  /** Where there is no return path, QEMU's word for what failed is its reason. */
  async #failed(status: string): Promise<FixedramError> {
    const { client, target, plan } = this.#prepared;
    const said = plan.returnPath ? undefined : (await queryMigrate(client))["error-desc"];
    return diskFull(target) ?? notWritten(said ?? `its migration ended: ${status}`, target.partial);
  }
}

function diskFull({ partial, place }: TargetFile): FixedramError | null {
  const { free } = inspectTarget(place.path);
  if (free === null || free >= FULL) return null;
  return new FixedramError("system.disk-full", "the disk was full before QEMU had written all of its file", {
    path: partial,
    found: `${free} bytes free`,
    hint: "Free some space, or save to another filesystem.",
  });
}

function notWritten(said: string, path?: string, cause?: unknown): FixedramError {
  return new FixedramError(
    "qemu.own-file",
    "QEMU did not write its file to the end",
    {
      ...(path === undefined ? {} : { path }),
      said,
      hint: "Look at QEMU's own messages; --transport stream does not leave the writing to QEMU.",
    },
    { cause },
  );
}

/** What stands in the way of QEMU's opening the file is told by the command itself. */
function refused(error: unknown, path: string): unknown {
  if (!(error instanceof FixedramError) || error.code !== "qmp.command") return error;
  const { said } = error.details;
  return new FixedramError(
    "qemu.own-file",
    "QEMU cannot write a file in the target's folder",
    {
      path,
      ...(said === undefined ? {} : { said }),
      hint: "Its user, or what confines it (AppArmor, SELinux), may not go there. Save to a folder of its own, or leave --transport out: then QEMU needs no right to the file.",
    },
    { cause: error },
  );
}
