import { printable, safe } from "../../bytes/text.ts";
import type { Snapshot } from "../../containers/snapshot.ts";
import { FixedramError } from "../../errors.ts";
import type { RamBlock } from "../../pages/block.ts";
import { savedRunState } from "../../stream/global-state.ts";
import type { ViewBlock, ViewFile, ViewMemoryMap, ViewRange } from "../shared/protocol.ts";
import type { Side } from "./side.ts";

/** What the page is told about a snapshot, everything that is small. */
export function describeSide(side: Side): ViewFile {
  const { snapshot } = side;
  const { map, sizes, configuration, devices, seal, meta, ramStart } = snapshot;
  const blocks: ViewBlock[] = map.blocks.map((block) => ({
    ...block,
    label: printable(block.name),
    ...side.kinds(block),
    pagesOffset: ramStart.blocks[block.index]?.mapped?.pagesOffset ?? null,
  }));
  return {
    path: safe(snapshot.name),
    container: snapshot.container,
    size: sizes.apparent,
    allocated: sizes.allocated,
    ram: blocks.reduce((sum, { length }) => sum + length, 0),
    machine: printable(configuration.machine),
    runState: textOf(savedRunState(devices)),
    blocks,
    memory: memoryOf(side),
    seal: { state: seal.state, id: seal.seal?.id ?? null, reason: textOf(seal.reason?.message ?? null) },
    devices: devices.length,
    cpus: devices.filter(({ name }) => name === "cpu").length,
    facts: factsOf(snapshot),
    disks: (meta?.disks ?? []).map(({ device, path, format, size, mtime, readOnly }) => ({
      ...{ device: safe(device), path: safe(path), format: safe(format) },
      ...{ size, mtime: textOf(mtime), readOnly },
    })),
  };
}

/** What is known of a file while it is being written. */
export function describeUnfinished(path: string, blocks: readonly RamBlock[]): ViewFile {
  return {
    ...{ path: safe(path), container: "fixed-ram", size: 0, allocated: null, machine: "", runState: null },
    ram: blocks.reduce((sum, { length }) => sum + length, 0),
    blocks: blocks.map((block) => ({
      ...block,
      ...{ label: printable(block.name), present: 0, absent: 0, pagesOffset: null },
    })),
    memory: null,
    seal: { state: "none", id: null, reason: null },
    ...{ devices: 0, cpus: 0, facts: [], disks: [] },
  };
}

function textOf(text: string | null): string | null {
  return text === null ? null : safe(text);
}

/** The guest's physical memory map, recorded or by QEMU's rules for the machine; null where neither helps. */
function memoryOf({ inside, snapshot }: Side): ViewMemoryMap | null {
  try {
    const { ranges, note } = inside.memoryMap;
    const blocks = new Map(snapshot.map.blocks.map(({ name, index }) => [name, index]));
    return {
      note: safe(note),
      ranges: ranges.flatMap(({ block: name, ...range }): ViewRange[] => {
        const block = blocks.get(name);
        return block === undefined ? [] : [{ ...range, block }];
      }),
    };
  } catch (error) {
    if (error instanceof FixedramError) return null;
    throw error;
  }
}

function factsOf({ meta }: Snapshot): (readonly [string, string])[] {
  if (meta === null) return [];
  const facts: [string, string | null][] = [
    ["Saved", meta.created],
    ["With", `${meta.tool.name} ${meta.tool.version}`],
    ["QEMU", meta.qemuVersion],
    ["Accelerator", meta.accelerator],
    ["Guest", meta.guestName],
    ["CPU model", meta.cpu?.model ?? null],
    ["CPU flags", meta.cpu === null || meta.cpu.flags.length === 0 ? null : meta.cpu.flags.join(" ")],
    ["Snapshot", meta.uuid],
    ["Command", meta.argv?.arguments.join(" ") ?? null],
  ];
  return facts.flatMap(([label, value]) => (value === null ? [] : [[label, safe(value)] as const]));
}
