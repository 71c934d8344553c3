import { randomUUID } from "node:crypto";
import type { MemoryRange, RecordedDisk, SnapshotMeta } from "../../fixedram/meta.ts";
import { toolVersion } from "../../installation.ts";
import { queryCpuFeatures } from "../../qemu/cpu-flags.ts";
import { type Disk, type DiskImage, queryDisks } from "../../qemu/disks.ts";
import type { GuestFacts } from "../../qemu/inspect.ts";
import { queryMemoryMap } from "../../qemu/memory-map.ts";
import type { QemuProcess } from "../../qemu/process.ts";
import { redactArgv } from "../../qemu/redact.ts";
import type { QmpClient } from "../../qmp/client.ts";
import type { Notice } from "../progress.ts";

/** What is recorded of a guest besides its memory; all but the disks, which are looked at when the guest has stopped. */
export interface GuestRecord {
  readonly facts: GuestFacts;
  readonly process: QemuProcess | null;
  readonly memoryMap: readonly MemoryRange[];
  readonly cpuFlags: readonly string[];
}

/** Reads the guest's memory map and CPU features. Best effort: a file without them can still be resumed. */
export async function recordGuest(
  client: QmpClient,
  facts: GuestFacts,
  process: QemuProcess | null,
  notice: (notice: Notice) => void,
): Promise<GuestRecord> {
  let memoryMap: MemoryRange[] = [];
  try {
    memoryMap = (await queryMemoryMap(client)).flatMap(({ start, length, block, offset, readOnly, region }) =>
      block === null ? [] : [{ start, length, block, offset, readOnly, region }],
    );
  } catch (error) {
    if (client.closed) throw error;
    notice({
      level: "warning",
      code: "no-memory-map",
      message: `the guest's memory map was not recorded: ${String(error)}`,
    });
  }
  const { model } = facts.cpu;
  const cpuFlags = model === null ? [] : await queryCpuFeatures(client, model, process?.argv ?? []);
  return { facts, process, memoryMap, cpuFlags };
}

/**
 * The seal's META. To be called when the guest has stopped and its disks are flushed, so that their times are the last ones.
 */
export async function makeMeta(client: QmpClient, guest: GuestRecord): Promise<SnapshotMeta> {
  const { facts, process, cpuFlags } = guest;
  const argv = process === null || process.argv.length === 0 ? null : redactArgv(process.argv);
  return {
    schema: 1,
    uuid: randomUUID(),
    created: new Date().toISOString(),
    tool: { name: "fixedram", version: toolVersion },
    qemuVersion: facts.version.text,
    accelerator: facts.accelerator,
    machine: facts.machine,
    guestName: facts.name,
    cpu: facts.cpu.model === null ? null : { model: facts.cpu.model, flags: [...cpuFlags], count: facts.cpu.count },
    runState: facts.runState,
    argv:
      argv === null
        ? null
        : {
            arguments: [...argv.argv],
            redacted: argv.redacted.length > 0,
            redactedArguments: [...argv.redacted],
            fileDescriptors: [...argv.descriptors],
            exact: process?.argvExact === true,
            cwd: process?.cwd ?? null,
          },
    disks: (await queryDisks(client, process)).map(recordDisk),
    memoryMap: [...guest.memoryMap],
  };
}

function recordDisk(disk: Disk): RecordedDisk {
  return {
    device: disk.device,
    readOnly: disk.readOnly,
    temporary: disk.temporary,
    ...recordImage(disk),
    backing: disk.backing.map(recordImage),
  };
}

function recordImage(image: DiskImage) {
  const { file } = image;
  return {
    path: image.path ?? image.protocol,
    format: image.format,
    protocol: image.protocol,
    size: file?.size ?? null,
    mtime: file === null ? null : new Date(Number(BigInt(file.mtime) / 1_000_000n)).toISOString(),
    mtimeNs: file?.mtime ?? null,
    inode: file?.inode ?? null,
  };
}
