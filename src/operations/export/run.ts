import type { Snapshot } from "../../containers/snapshot.ts";
import { cpuNotes } from "../../elf/notes.ts";
import { ElfMachine, ElfWriter } from "../../elf/writer.ts";
import { FixedramError } from "../../errors.ts";
import type { Digests } from "../../fixedram/digest-sections.ts";
import { LimeWriter } from "../../lime/writer.ts";
import type { Cpu } from "../../machine/cpu.ts";
import { type KernelImage, kernelImage } from "../../machine/kernel-image.ts";
import { joinRanges, type PhysicalRange } from "../../machine/memory-map.ts";
import { machineKind } from "../../machine/rules.ts";
import { kernelOffset } from "../../machine/vmcoreinfo.ts";
import { copyPages } from "../../pages/copy.ts";
import { dataBytes } from "../../pages/count.ts";
import type { ImageFile, PhysicalImage } from "../../physical/image.ts";
import { RawPhysicalWriter } from "../../raw/physical.ts";
import { FileStore } from "../../storage/file-store.ts";
import { refuseSame } from "../../storage/same-file.ts";
import { TargetFile } from "../../storage/target-file.ts";
import { BehindFile } from "../copy/behind-file.ts";
import { copyBehind, startCopying } from "../copy/placed.ts";
import { requirePages, requireSealed, requireTrusted } from "../copy/trust.ts";
import type { ExportFormat, ExportOptions, ExportResult } from "../export.ts";
import { Inside } from "../inside/open.ts";
import { openOptions } from "../inspect.ts";
import { openSnapshot } from "../open.ts";
import { Reporter } from "../reporter.ts";
import { ImageMemory } from "./image-memory.ts";
import { makeKdump } from "./kdump.ts";
import { type FoundVmcoreinfo, findVmcoreinfo } from "./vmcoreinfo.ts";

/** What each format's writer has. */
interface Writer {
  readonly image: PhysicalImage;
  readonly size: number;
  complete(): void;
}

/** What goes into the file beside the memory. */
interface Facts {
  readonly ranges: readonly PhysicalRange[];
  readonly cpus: readonly Cpu[];
  readonly vmcoreinfo: FoundVmcoreinfo | null;
  readonly kernel: KernelImage | null;
}

export class ExportRun {
  readonly #options: ExportOptions;
  readonly #format: ExportFormat;
  readonly #state = { bytes: 0, total: 0, round: 0 };
  readonly #reporter: Reporter;

  constructor(options: ExportOptions) {
    this.#options = options;
    this.#format = options.format ?? "elf";
    this.#reporter = new Reporter(options, () => this.#state);
  }

  async go(): Promise<ExportResult> {
    const { file, output, map, signal } = this.#options;
    signal?.throwIfAborted();
    this.#reporter.enter("preflight");
    const snapshot = await openSnapshot(file, openOptions(this.#options));
    try {
      refuseSame(file, output);
      const digests = await this.#trusted(snapshot);
      const inside = new Inside(snapshot, map);
      const target = TargetFile.create(output);
      try {
        for (const { path } of target.place.leftovers)
          this.#reporter.note("warning", "left-over", `an earlier run left ${path} behind; it can be removed`);
        const facts = await this.#facts(inside);
        await this.#write(snapshot, digests, facts, target);
        this.#reporter.enter("sync");
        signal?.throwIfAborted();
        const sizes = target.sizes();
        await target.commit();
        return this.#result(snapshot, inside, facts, { sizes, checked: digests !== null });
      } catch (error) {
        await target.abort();
        signal?.throwIfAborted();
        throw error;
      }
    } finally {
      await snapshot.close();
    }
  }

  /** What the pages are to be compared with: damage that a seal would show must not go on where no seal goes. */
  async #trusted(snapshot: Snapshot): Promise<Digests | null> {
    const { file, force = false, signal } = this.#options;
    requireTrusted(snapshot.seal, force);
    if (force) return null;
    const store = FileStore.open(file);
    try {
      return await requireSealed(store, snapshot, signal);
    } finally {
      await store.close();
    }
  }

  /** @throws `seal.damaged-*` with block and page */
  async #verifyPages(snapshot: Snapshot): Promise<void> {
    const { file, signal } = this.#options;
    const store = FileStore.open(file);
    try {
      await requirePages(store, snapshot, () => this.#reporter.report(), signal);
    } finally {
      await store.close();
    }
  }

  /** The memory map; for formats that hold them, the CPUs and the kernel's note. What cannot be had is told. */
  async #facts(inside: Inside): Promise<Facts> {
    const { memoryMap } = inside;
    if (memoryMap.from !== "recorded") this.#reporter.note("note", "memory-map", memoryMap.note);
    // Whether the guest may write there makes no difference to a reader.
    const ranges = joinRanges(memoryMap.ranges.map((range) => ({ ...range, readOnly: false })));
    if (this.#format !== "elf" && this.#format !== "kdump") return { ranges, cpus: [], vmcoreinfo: null, kernel: null };
    const cpus = this.#cpus(inside);
    this.#state.total = await dataBytes(inside.snapshot.map, this.#options.signal);
    this.#reporter.enter("search");
    const vmcoreinfo = await findVmcoreinfo(inside, cpus, this.#progress());
    if (vmcoreinfo === null) {
      const text =
        "no VMCOREINFO of a running Linux kernel was found: crash and drgn may not find their way in the file";
      this.#reporter.note("warning", "no-vmcoreinfo", text);
    }
    const { signal } = this.#options;
    const kernel = vmcoreinfo === null ? null : await kernelImage(vmcoreinfo, cpus, inside.physical, signal);
    return { ranges, cpus, vmcoreinfo, kernel };
  }

  /** Memory without registers is worth having; wrong registers are not. */
  #cpus(inside: Inside): readonly Cpu[] {
    try {
      return inside.cpus;
    } catch (error) {
      if (!(error instanceof FixedramError && error.code.startsWith("stream."))) throw error;
      if (elfMachine([], inside.snapshot.configuration.machine) === null) {
        const hint = "An ELF file says what machine it is for, and that is not known either: --format lime or raw.";
        throw new FixedramError(error.code, error.message, { ...error.details, hint }, { cause: error });
      }
      const text = `the CPUs' registers cannot be read, and are left out: ${error.details.said ?? error.message}`;
      this.#reporter.note("warning", "no-cpus", text);
      return [];
    }
  }

  async #write(snapshot: Snapshot, digests: Digests | null, facts: Facts, target: TargetFile): Promise<void> {
    if (this.#format !== "kdump") return this.#writeImage(snapshot, digests, facts, target);
    // Another temporary file beside the output: there is room for it, and the next run names it, should we be killed.
    const core = TargetFile.create(target.place);
    try {
      await this.#writeImage(snapshot, digests, facts, core);
      await makeKdump(core.partial, target.partial, this.#options.signal);
    } finally {
      await core.abort();
    }
  }

  /** Pages are compared with the seal on their way, or before it. */
  async #writeImage(snapshot: Snapshot, digests: Digests | null, facts: Facts, file: TargetFile): Promise<void> {
    const { map, configuration } = snapshot;
    const { signal } = this.#options;
    this.#state.total = await dataBytes(map, signal);
    this.#state.bytes = 0;
    this.#reporter.enter("ram");
    const pool = startCopying(this.#state.total, "one");
    const behind = pool === null ? null : BehindFile.over(file, pool);
    try {
      if (behind === null || !(await this.#copyBehind(snapshot, digests, facts, behind))) {
        if (digests !== null) await this.#verifyPages(snapshot);
        const writer = this.#writer(facts, configuration.machine, file);
        await copyPages(map, writer.image, this.#progress());
        writer.complete();
      }
    } catch (error) {
      await behind?.stop();
      throw error;
    } finally {
      await pool?.close();
    }
  }

  async #copyBehind(snapshot: Snapshot, digests: Digests | null, facts: Facts, behind: BehindFile): Promise<boolean> {
    const { map, configuration } = snapshot;
    const writer = this.#writer(facts, configuration.machine, behind);
    const memory = new ImageMemory(writer.image, behind, map.blocks);
    if (!(await copyBehind(snapshot, memory, memory, { digests, ...this.#progress() }))) return false;
    writer.complete();
    await behind.settle();
    return true;
  }

  #writer({ ranges, cpus, vmcoreinfo, kernel }: Facts, machineType: string, file: ImageFile): Writer {
    switch (this.#format) {
      case "raw":
        return new RawPhysicalWriter(file, ranges);
      case "lime":
        return new LimeWriter(file, ranges);
      default: {
        const notes = [...cpuNotes(cpus), ...(vmcoreinfo === null ? [] : [vmcoreinfo.note])];
        const machine = elfMachine(cpus, machineType) ?? ElfMachine.x86_64;
        return new ElfWriter(file, { machine, ranges, notes, kernel });
      }
    }
  }

  #progress() {
    const { signal } = this.#options;
    return {
      onPages: (bytes: number) => {
        this.#state.bytes = bytes;
        this.#reporter.report();
      },
      ...(signal === undefined ? {} : { signal }),
    };
  }

  #result(
    { name, container, configuration }: Snapshot,
    { memoryMap }: Inside,
    { ranges, cpus, vmcoreinfo }: Facts,
    {
      sizes,
      checked,
    }: { readonly sizes: { readonly apparent: number; readonly allocated: number }; readonly checked: boolean },
  ): ExportResult {
    const offset = vmcoreinfo === null ? null : kernelOffset(vmcoreinfo);
    const found =
      vmcoreinfo === null
        ? null
        : {
            from: vmcoreinfo.from,
            address: vmcoreinfo.address,
            release: vmcoreinfo.release,
            kernelOffset: offset === null ? null : `0x${offset.toString(16)}`,
          };
    return {
      input: { path: name, container },
      path: this.#options.output,
      format: this.#format,
      machine: configuration.machine,
      ranges,
      memoryMap: memoryMap.from,
      checked,
      cpus: cpus.length,
      vmcoreinfo: found,
      sizes: { memory: ranges.reduce((sum, { length }) => sum + length, 0), ...sizes },
      time: this.#reporter.elapsed,
      notices: this.#reporter.notices,
    };
  }
}

/** By its CPUs, else by QEMU's machine type; null when neither tells. */
function elfMachine(cpus: readonly Cpu[], machineType: string): number | null {
  const [cpu] = cpus;
  if (cpu !== undefined) return cpu.arch === "aarch64" ? ElfMachine.aarch64 : ElfMachine.x86_64;
  const kind = machineKind(machineType);
  // ARM's has a version; that of other architectures is `virt` alone.
  if (kind === null || machineType === "virt") return null;
  return kind === "virt" ? ElfMachine.aarch64 : ElfMachine.x86_64;
}
