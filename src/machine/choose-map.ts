import { printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import { checkRanges, joinRanges, type MapSource, type MemoryMap, type PhysicalRange } from "./memory-map.ts";
import { machineKind, machineKinds, rulesOf, unknownMachine } from "./rules.ts";

/**
 * The guest's physical memory map: what is given, else what was recorded at the save, else QEMU's rules for the machine type.
 *
 * @param given the text of `--map`: a machine kind whose rules to use, or ranges as {@link parseMap} takes them
 * @throws `file.memory-map`, `file.memory-map-unknown`, `usage.bad-map`
 */
export function chooseMap(source: MapSource, given?: string): MemoryMap {
  const { machine, blocks, recorded } = source;
  const named = machineKinds.find((kind) => kind === given);
  if (given !== undefined && named === undefined) {
    const ranges = joinRanges(checkRanges(parseMap(given), blocks));
    return { ranges, from: "given", note: "physical memory map as given" };
  }
  if (named === undefined && recorded.length > 0) {
    const ranges = recorded.map(({ start, length, block, offset, readOnly }) => ({
      start,
      length,
      block,
      offset,
      readOnly: readOnly === true,
    }));
    return {
      ranges: joinRanges(checkRanges(ranges, blocks)),
      from: "recorded",
      note: "physical memory map as recorded at the save",
    };
  }
  const kind = named ?? machineKind(machine);
  if (kind === null) throw unknownMachine(printable(machine));
  const ranges = joinRanges(checkRanges(rulesOf(kind, named === undefined ? machine : kind, blocks), blocks));
  return {
    ranges,
    from: "rules",
    note: `physical memory map by QEMU's rules for ${kind} (none was recorded); memory of devices and hotplugged memory is not in it`,
  };
}

/**
 * Reads `START+LENGTH=BLOCK[@OFFSET]`, several with commas between. Numbers are decimal, or hexadecimal after 0x (`_` may stand
 * between digits), with K, M, G or T behind for powers of 1024.
 *
 * @throws `usage.bad-map`
 */
export function parseMap(text: string): readonly PhysicalRange[] {
  return text.split(",").map((part) => {
    const match = /^([^+=]+)\+([^+=]+)=(.+?)(?:@([^@]+))?$/.exec(part.trim());
    const [, start, length, block, offset = "0"] = match ?? [];
    const numbers = [start, length, offset].map((word) => parseAddress(word ?? ""));
    const [at, bytes, from] = numbers;
    if (block === undefined || at == null || bytes == null || from == null) {
      throw new FixedramError("usage.bad-map", "--map does not understand a range", {
        found: part,
        expected: "START+LENGTH=BLOCK[@OFFSET],... or pc, q35, microvm, virt",
        hint: "For 4 GiB on q35: --map 0+2G=pc.ram,4G+2G=pc.ram@2G",
      });
    }
    return { start: at, length: bytes, block, offset: from, readOnly: false };
  });
}

/** A number with its unit; null for anything else, and past 2^53. */
export function parseAddress(text: string): number | null {
  const match = /^(0[xX][0-9a-fA-F_]+|[0-9_]+)([KMGT]?)(?:iB|B)?$/.exec(text.trim());
  const [, digits, unit] = match ?? [];
  if (digits === undefined || !/[0-9a-fA-F]$/.test(digits)) return null;
  const value = Number(digits.replaceAll("_", "")) * 1024 ** " KMGT".indexOf(unit || " ");
  return Number.isSafeInteger(value) ? value : null;
}
