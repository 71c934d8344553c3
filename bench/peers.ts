/** What else writes a guest's memory, or as many bytes, to a file: each with what it used. */
import { execFileSync } from "node:child_process";
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { cont, setMigrateCapabilities, setMigrateParameters, stop } from "../src/qmp/commands.ts";
import type { BenchGuest } from "./guest.ts";
import type { Sample } from "./measure.ts";
import { type Place, peerSave, save } from "./save.ts";
import type { Side } from "./tournament.ts";

const MIB = 1024 * 1024;

/** The sides of a save: ours, what each QEMU can do by itself, and the same bytes without a guest. */
export function saveSides(guest: BenchGuest, place: Place, modern: boolean): readonly Side[] {
  const durable = place.name === "disk";
  const out = join(place.folder, "bench.fram");
  const other = join(place.folder, "bench.other");
  const ours = (name: string, more: readonly string[]): Side => ({
    name,
    run: () => measured(guest, [out], () => oursOnce(guest, out, place.folder, more)),
  });
  const theirs = (name: string, run: () => Promise<Sample>): Side => ({
    name,
    run: () => measured(guest, [other, `${other}.done`], run),
  });
  const own = (name: string, settings: OwnSettings) => theirs(name, () => ownFile(guest, other, settings, durable));
  const shell = durable ? `cat > ${other} && sync ${other}` : `cat > ${other}`;
  return [
    ours("fixedram", []),
    ours("fixedram, one stream", ["--transport", "stream"]),
    ...(modern ? [ours("fixedram, mapped-ram", ["--transport", "mapped-ram"])] : []),
    ...(modern && durable
      ? [ours("fixedram, mapped-ram, direct-io", ["--transport", "mapped-ram", "--direct-io", "on"])]
      : []),
    ...(durable ? [ours("fixedram, direct-io", ["--direct-io", "on"])] : []),
    theirs("exec:cat", () => peerSave(guest, shell, durable ? `${other}.done` : null)),
    ...(modern
      ? [
          own("mapped-ram", { multifd: false, direct: false }),
          own("mapped-ram, multifd", { multifd: true, direct: false }),
          own("mapped-ram, multifd, direct-io", { multifd: true, direct: true }),
        ]
      : []),
  ];
}

async function oursOnce(guest: BenchGuest, out: string, folder: string, more: readonly string[]): Promise<Sample> {
  const { wall, answer, usage } = await save(guest, out, folder, more);
  const sum = (of: (each: (typeof usage)[number]) => number) => usage.reduce((total, each) => total + of(each), 0);
  const { total, guestPause } = answer.times;
  return {
    wall,
    more: {
      "own cpu s": sum(({ cpu }) => cpu),
      "peak MiB": sum(({ peak }) => peak) / MIB,
      "written MiB": sum(({ written = 0 }) => written) / MIB,
      "without node's start": total,
      pause: guestPause ?? 0,
    },
  };
}

/** Adds what QEMU, and what it started, used meanwhile, and how large the file became; removes the files. */
async function measured(guest: BenchGuest, files: readonly string[], run: () => Promise<Sample>): Promise<Sample> {
  const pid = guest.child.process.pid ?? 0;
  const before = processorTime(pid);
  try {
    const sample = await run();
    const file = statSync(files[0] ?? "");
    const more = { "QEMU cpu s": processorTime(pid) - before, "file MiB": (file.blocks * 512) / MIB };
    return { ...sample, more: { ...sample.more, ...more } };
  } finally {
    for (const path of files) rmSync(path, { force: true });
  }
}

/** Seconds of a process and of the children it has waited for, to a hundredth. */
function processorTime(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0) / 100;
}

interface OwnSettings {
  readonly multifd: boolean;
  readonly direct: boolean;
}

/** QEMU's own mapped-ram, the guest stopped as for a quick save. */
async function ownFile(guest: BenchGuest, path: string, settings: OwnSettings, durable: boolean): Promise<Sample> {
  const { qmp } = guest;
  await setMigrateCapabilities(qmp, { "mapped-ram": true, multifd: settings.multifd });
  await setMigrateParameters(qmp, { "direct-io": settings.direct, "multifd-channels": 2, "max-bandwidth": 0 });
  try {
    const began = performance.now();
    const since = qmp.sequence;
    await stop(qmp);
    await qmp.execute("migrate", { uri: `file:${path}` });
    const last = await qmp.waitForEvent(
      ({ event, data }) => event === "MIGRATION" && (data["status"] === "completed" || data["status"] === "failed"),
      { since },
    );
    if (last.data["status"] !== "completed") throw new Error("QEMU's own migration to a file failed");
    if (durable) sync(path);
    await resumed(() => cont(qmp));
    return { wall: performance.now() - began };
  } finally {
    await setMigrateCapabilities(qmp, { "mapped-ram": false, multifd: false });
    await setMigrateParameters(qmp, { "direct-io": false });
  }
}

/** QEMU says "completed" a moment before it can go on. */
async function resumed(go: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await go();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/** Copying a file that a save made, and writing as many bytes from memory: what no save to this place can go below by much. */
export function limitSides(source: string, place: Place, mib: number): readonly Side[] {
  const durable = place.name === "disk";
  const target = join(place.folder, "bench.copy");
  const side = (name: string, run: () => void): Side => ({
    name,
    run: async () => {
      try {
        const began = performance.now();
        run();
        if (durable) sync(target);
        return { wall: performance.now() - began };
      } finally {
        rmSync(target, { force: true });
      }
    },
  });
  const piece = Buffer.alloc(MIB, 0x5a);
  const other = Buffer.alloc(MIB);
  return [
    side("cp --sparse=always", () => execFileSync("cp", ["--sparse=always", source, target])),
    side("dd", () => {
      execFileSync("dd", [`if=${source}`, `of=${target}`, "bs=1M", "conv=sparse"], { stdio: "ignore" });
    }),
    side("write, from one MiB of memory", () => {
      const fd = openSync(target, "w");
      try {
        for (let i = 0; i < mib; i++) writeSync(fd, piece);
      } finally {
        closeSync(fd);
      }
    }),
    {
      name: "memory to memory",
      run: async () => {
        const began = performance.now();
        for (let i = 0; i < mib; i++) piece.copy(other);
        return { wall: performance.now() - began };
      },
    },
  ];
}

function sync(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Takes as much memory of the system as a target will, and gives it back: memory that lay idle for a while is the host's, and
 * getting it back would be in the figures of whoever comes first.
 */
export function warmMemory(folder: string, mib: number): void {
  const path = join(folder, "bench.warm");
  const piece = Buffer.alloc(MIB, 1);
  const fd = openSync(path, "w");
  try {
    for (let i = 0; i < mib; i++) writeSync(fd, piece);
  } finally {
    closeSync(fd);
    rmSync(path, { force: true });
  }
}
