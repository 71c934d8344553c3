import { ByteBuilder } from "../bytes/cursor.ts";
import { fromLatin1 } from "../bytes/text.ts";
import { RAM_VERSION, RamFlag, SectionType, STREAM_MAGIC, STREAM_VERSION } from "../stream/constants.ts";
import type { ConfigurationRecord, RamStartRecord } from "../stream/records.ts";
import type { PlannedBlock } from "./layout.ts";

/**
 * The stream bytes of a fixed-ram file before its pages (docs/format.md, "The head" and "Block entry"). They stand apart from
 * the stream writer's because entries are put between the blocks' pages, at the end of a save.
 */

/** Everything before the first block entry: header, configuration, head of the RAM section, total. */
export function encodeHead(configuration: ConfigurationRecord, ramStart: RamStartRecord): Uint8Array {
  const out = new ByteBuilder().u32(STREAM_MAGIC).u32(STREAM_VERSION);
  const machine = fromLatin1(configuration.machine);
  out.u8(SectionType.configuration).u32(machine.length).bytes(machine);
  for (const { name, version, payload } of configuration.subsections) {
    out.u8(SectionType.subsection).u8(name.length).bytes(fromLatin1(name)).u32(version).bytes(payload);
  }
  out.u8(SectionType.start).u32(ramStart.sectionId);
  out.u8(3).bytes(fromLatin1("ram")).u32(ramStart.instance).u32(RAM_VERSION);
  return out.u64(ramStart.total + RamFlag.memSize).finish();
}

/** One entry of the block list, with its mapped-ram header. */
export function encodeEntry({ block, bitmapOffset, pagesOffset }: PlannedBlock): Uint8Array {
  const out = new ByteBuilder().u8(block.name.length).bytes(fromLatin1(block.name)).u64(block.length);
  return out.u32(1).u64(block.pageSize).u64(bitmapOffset).u64(pagesOffset).finish();
}
