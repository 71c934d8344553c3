import { accessSync, constants, readFileSync, statfsSync } from "node:fs";
import { printable } from "../../bytes/text.ts";
import type { Snapshot } from "../../containers/snapshot.ts";
import { FixedramError } from "../../errors.ts";
import { ExtentKind, ExtentList } from "../../pages/extents.ts";
import type { GuestFacts, MemoryBackend } from "../../qemu/inspect.ts";
import type { RamBlockInfo } from "../../qemu/memory-map.ts";
import type { QemuProcess } from "../../qemu/process.ts";
import type { Notice } from "../progress.ts";

/** Capabilities that exclude postcopy: they are off while the guest is loaded. */
export const excluded = [
  "mapped-ram",
  "multifd",
  "x-ignore-shared",
  "xbzrle",
  "compress",
  "switchover-ack",
  "postcopy-preempt",
  "release-ram",
] as const;

const TMPFS = 0x01021994;
const HUGETLBFS = 0x958458f6;

/** What a lazy resume wants of a destination and a snapshot, besides {@link requireNotOnDisk}. */
export interface PreflightFacts {
  readonly snapshot: Pick<Snapshot, "map" | "ramStart" | "name">;
  readonly facts: Pick<GuestFacts, "capabilities" | "version">;
  readonly blocks: readonly RamBlockInfo[];
}

/**
 * Names what would keep this destination from being loaded lazily.
 *
 * @returns what the user should know of what will be changed meanwhile
 * @throws FixedramError `qemu.no-postcopy`, `qemu.blocks-differ`, `file.ignore-shared`
 */
export function preflight({ snapshot, facts, blocks }: PreflightFacts): readonly Notice[] {
  if (facts.capabilities["postcopy-ram"] === undefined) {
    throw new FixedramError(
      "qemu.no-postcopy",
      "this QEMU has no postcopy, without which nothing can be resumed lazily",
      {
        found: `QEMU ${facts.version.text}`,
        hint: "Resume without --lazy.",
      },
    );
  }
  requireAllPages(snapshot);
  requireSameBlocks(snapshot, blocks);
  return excluded
    .filter((name) => facts.capabilities[name] === true)
    .map((name) => ({
      level: "note",
      code: "capability-off",
      message: `QEMU's capability ${name} is on and excludes lazy loading: it is off until all RAM is in`,
    }));
}

/** QEMU refuses a file on a disk only when the migration has begun, and ends. @throws FixedramError `qemu.disk-backed` */
export function requireNotOnDisk({ path, id }: MemoryBackend): void {
  if (path === null || path === "") return;
  let type: number;
  try {
    type = statfsSync(path).type;
  } catch {
    // In another mount namespace: QEMU says it in its own words.
    return;
  }
  if (type === TMPFS || type === HUGETLBFS) return;
  throw new FixedramError(
    "qemu.disk-backed",
    "the guest's memory lies in a file on a disk, which QEMU cannot load lazily",
    {
      path,
      found: `memory backend ${printable(id ?? "?")}`,
      expected: "memory of its own, memory-backend-memfd, or a file on tmpfs or hugetlbfs",
      hint: "Change the memory backend, or resume without --lazy.",
    },
  );
}

function requireAllPages({ map, name }: PreflightFacts["snapshot"]): void {
  const list = new ExtentList(1);
  for (const { index, pages, name: block } of map.blocks) {
    list.clear();
    if (pages > 0) map.extents(index, 0, pages, list);
    if (list.length === 0 || list.kind[0] !== ExtentKind.absent) continue;
    throw new FixedramError("file.ignore-shared", "pages of the guest are not in the snapshot", {
      path: name,
      block,
      hint: "The guest's shared memory was left out (x-ignore-shared): save it again with that capability off.",
    });
  }
}

function requireSameBlocks({ ramStart }: PreflightFacts["snapshot"], there: readonly RamBlockInfo[]): void {
  const known = new Map(there.map((block) => [block.name, block]));
  const differences: string[] = [];
  let first: string | null = null;
  const differ = (block: string, what: string) => {
    first ??= block;
    differences.push(`${printable(block)}: ${what}`);
  };
  for (const { block } of ramStart.blocks) {
    const own = known.get(block.name);
    known.delete(block.name);
    if (own === undefined) differ(block.name, `${block.length} bytes in the snapshot, not there in QEMU`);
    // One that may grow (used < total) is made as long as the stream says.
    else if (own.used !== block.length && (own.used === own.total || block.length > own.total))
      differ(block.name, `${block.length} bytes in the snapshot, ${own.used} in QEMU`);
  }
  for (const { name, used } of known.values()) if (used > 0) differ(name, `not in the snapshot, ${used} bytes in QEMU`);
  if (first === null) return;
  throw new FixedramError("qemu.blocks-differ", "QEMU's memory is not that of the snapshot", {
    block: first,
    found: differences.join("; "),
    hint: "Give QEMU the same memory (-m) and the same devices as at the save (fixedram info shows blocks and command line).",
  });
}

/** Bytes of a host page, of blocks whose pages are not the host's own. */
export function largePages(
  { ramStart }: PreflightFacts["snapshot"],
  there: readonly RamBlockInfo[],
  hostPageSize: number,
): readonly (readonly [block: string, size: number])[] {
  const names = new Set(ramStart.blocks.map(({ block }) => block.name));
  return there
    .filter(({ name, pageSize }) => names.has(name) && pageSize !== hostPageSize)
    .map(({ name, pageSize }) => [name, pageSize]);
}

/** Bit of CAP_SYS_PTRACE in CapEff. */
const SYS_PTRACE = 19;

/**
 * What to say when QEMU refuses the capability: which right of three it would need (userfaultfd(2)), as far as this host shows.
 */
export function noUserfaultfd(said: string, process: QemuProcess | null): FixedramError {
  const found: string[] = [];
  const sysctl = read("/proc/sys/vm/unprivileged_userfaultfd");
  if (sysctl !== null) found.push(`vm.unprivileged_userfaultfd is ${sysctl.trim()}`);
  if (process !== null) {
    found.push(`QEMU runs as uid ${process.uid}`);
    const capabilities = /^CapEff:\s*([0-9a-f]+)/m.exec(read(`/proc/${process.pid}/status`) ?? "")?.[1];
    if (capabilities !== undefined) {
      const has = Math.floor(Number(`0x${capabilities}`) / 2 ** SYS_PTRACE) % 2 === 1;
      found.push(`it ${has ? "has" : "has not"} CAP_SYS_PTRACE`);
    }
  }
  found.push(`/dev/userfaultfd ${deviceState()}`);
  return new FixedramError(
    "qemu.no-userfaultfd",
    "QEMU may not use userfaultfd, without which nothing can be resumed lazily",
    {
      said,
      found: found.join(", "),
      expected:
        "one of: CAP_SYS_PTRACE, access to /dev/userfaultfd (QEMU 8.1 and newer), vm.unprivileged_userfaultfd = 1",
      hint: "As root: sysctl vm.unprivileged_userfaultfd=1, or give QEMU's user access to /dev/userfaultfd. Or resume without --lazy.",
    },
  );
}

function deviceState(): string {
  try {
    accessSync("/dev/userfaultfd", constants.R_OK | constants.W_OK);
    return "is accessible to this user";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? "is not there" : "is not accessible to this user";
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
