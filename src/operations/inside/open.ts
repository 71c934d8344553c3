import type { Snapshot } from "../../containers/snapshot.ts";
import { DeviceSections } from "../../devices/sections.ts";
import { FixedramError } from "../../errors.ts";
import { chooseMap } from "../../machine/choose-map.ts";
import { type Cpu, decodeCpus } from "../../machine/cpu.ts";
import type { MemoryMap } from "../../machine/memory-map.ts";
import { PhysicalMemory } from "../../machine/physical.ts";
import type { Translation } from "../../machine/translation.ts";
import { readVirtual, translate } from "../../machine/virtual.ts";
import type { RamBlock } from "../../pages/block.ts";
import { readBlock } from "../../pages/read.ts";

/**
 * A snapshot as the guest saw itself: its RAM blocks, its physical and virtual addresses, its CPUs and devices. Nothing is read
 * or decoded before it is asked for.
 */
export class Inside {
  readonly snapshot: Snapshot;
  readonly #givenMap: string | undefined;
  #sections: DeviceSections | null = null;
  #cpus: readonly Cpu[] | null = null;
  #physical: PhysicalMemory | null = null;

  /** @param givenMap what `--map` says: ranges, or a machine kind whose rules to use; left out: what was recorded, else the rules */
  constructor(snapshot: Snapshot, givenMap?: string) {
    this.snapshot = snapshot;
    this.#givenMap = givenMap;
  }

  /** @throws `stream.no-vmdesc`, `stream.vmdesc-invalid` */
  get sections(): DeviceSections {
    this.#sections ??= new DeviceSections(this.snapshot);
    return this.#sections;
  }

  /** @throws `stream.no-cpu`, `stream.unknown-cpu`, `stream.device-fields` */
  get cpus(): readonly Cpu[] {
    this.#cpus ??= decodeCpus(this.sections);
    return this.#cpus;
  }

  /** @throws `file.memory-map`, `file.memory-map-unknown`, `usage.bad-map` */
  get physical(): PhysicalMemory {
    if (this.#physical !== null) return this.#physical;
    const { map, configuration, meta } = this.snapshot;
    const source = { machine: configuration.machine, blocks: map.blocks, recorded: meta?.memoryMap ?? [] };
    this.#physical = new PhysicalMemory(map, chooseMap(source, this.#givenMap));
    return this.#physical;
  }

  get memoryMap(): MemoryMap {
    return this.physical.map;
  }

  /** @throws `usage.no-such-cpu` */
  cpu(index = 0): Cpu {
    const cpu = this.cpus.find((each) => each.index === index);
    if (cpu !== undefined) return cpu;
    throw new FixedramError("usage.no-such-cpu", "the guest has no such CPU", {
      path: this.snapshot.name,
      found: String(index),
      expected: this.cpus.map((each) => each.index).join(", "),
    });
  }

  /** @throws `usage.no-such-block` */
  block(name: string): RamBlock {
    const block = this.snapshot.map.blocks.find((each) => each.name === name);
    if (block !== undefined) return block;
    throw new FixedramError("usage.no-such-block", "the snapshot has no such RAM block", {
      path: this.snapshot.name,
      block: name,
      hint: "fixedram info lists the blocks.",
    });
  }

  /** @throws `usage.past-the-block`, `file.*` */
  async readBlock(block: RamBlock, offset: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (offset + target.length > block.length) {
      throw new FixedramError("usage.past-the-block", "the RAM block ends before that", {
        path: this.snapshot.name,
        block: block.name,
        found: `${target.length} bytes at ${offset}`,
        expected: `within ${block.length} bytes`,
      });
    }
    await readBlock(this.snapshot.map, block, offset, target, signal);
  }

  /** @throws `usage.no-memory`, `file.*` */
  async readPhysical(start: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.physical.read(start, target, signal);
  }

  /** @throws `usage.not-mapped`, `usage.no-memory`, `usage.no-such-cpu`, ... */
  async readVirtual(virtual: bigint, target: Uint8Array, cpu = 0, signal?: AbortSignal): Promise<void> {
    await readVirtual(this.cpu(cpu), this.physical, virtual, target, signal);
  }

  async translate(virtual: bigint, cpu = 0, signal?: AbortSignal): Promise<Translation> {
    return await translate(this.cpu(cpu), this.physical, virtual, signal);
  }
}
