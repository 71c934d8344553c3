import { hexAddress } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { Cpu } from "./cpu.ts";
import type { PhysicalReader } from "./physical.ts";
import type { Translation } from "./translation.ts";
import { walkArm } from "./walk-arm.ts";
import { walkX86 } from "./walk-x86.ts";

/** Where a virtual address of a CPU leads. @throws what {@link walkX86} and {@link walkArm} throw */
export function translate(
  cpu: Cpu,
  memory: PhysicalReader,
  virtual: bigint,
  signal?: AbortSignal,
): Promise<Translation> {
  const address = BigInt.asUintN(64, virtual);
  return cpu.arch === "x86" ? walkX86(cpu, memory, address, signal) : walkArm(cpu, memory, address, signal);
}

/**
 * Fills `target` from a CPU's virtual address on, page by page; table entries are read once.
 *
 * @throws `usage.not-mapped` where a page is not mapped, `usage.no-memory` where it leads to no memory
 */
export async function readVirtual(
  cpu: Cpu,
  memory: PhysicalReader,
  virtual: bigint,
  target: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  const cached = new CachedReader(memory);
  for (let done = 0; done < target.length; ) {
    const found = await translate(cpu, cached, virtual + BigInt(done), signal);
    if (!found.mapped) throw notMapped(found.virtual, found.reason);
    const { physical, pageSize } = found;
    const rest = target.length - done;
    const count = pageSize === 0 ? rest : Math.min(rest, pageSize - (physical % pageSize));
    await memory.read(physical, target.subarray(done, done + count), signal);
    done += count;
  }
}

export function notMapped(virtual: bigint, reason: string): FixedramError {
  return new FixedramError("usage.not-mapped", `the CPU has nothing mapped at ${hexAddress(virtual)}`, {
    said: reason,
    hint: "fixedram translate shows the way through the page tables. Another CPU may be in another address space: --cpu N.",
  });
}

/** Pages that entries were read from are kept: neighbours of one table are the rule. */
class CachedReader implements PhysicalReader {
  readonly #memory: PhysicalReader;
  readonly #pages = new Map<number, Uint8Array>();

  constructor(memory: PhysicalReader) {
    this.#memory = memory;
  }

  async read(start: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    const inside = start % 4096;
    if (inside + target.length > 4096) return await this.#memory.read(start, target, signal);
    const first = start - inside;
    let page = this.#pages.get(first);
    if (page === undefined) {
      page = new Uint8Array(4096);
      await this.#memory.read(first, page, signal);
      if (this.#pages.size >= 64) this.#pages.clear();
      this.#pages.set(first, page);
    }
    target.set(page.subarray(inside, inside + target.length));
  }
}
