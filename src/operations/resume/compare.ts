import { printable } from "../../bytes/text.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import type { RamBlock } from "../../pages/block.ts";
import { optionsOf } from "../../qemu/arguments.ts";
import { isCpuFeature } from "../../qemu/cpu-flags.ts";
import type { Notice } from "../progress.ts";

/** What a destination is, as far as it can be compared with a snapshot. */
export interface DestinationFacts {
  readonly machine: string;
  readonly accelerator: string;
  readonly cpu: { readonly model: string | null; readonly count: number };
  /** Features of its CPU; empty: not known. */
  readonly cpuFlags: readonly string[];
  readonly blocks: readonly { readonly name: string; readonly used: number }[];
  /** Its command line; empty: not known. */
  readonly argv: readonly string[];
}

/** What a snapshot says of the QEMU it was saved from. */
export interface SavedFacts {
  /** As the stream names it. */
  readonly machine: string;
  readonly blocks: readonly Pick<RamBlock, "name" | "length">[];
  readonly meta: SnapshotMeta | null;
}

/**
 * What of a destination is not as the snapshot's QEMU was, in plain words. QEMU itself refuses some of it, in words of its own,
 * and loads the rest in silence: then the guest finds another CPU, or lacks a device it was using.
 */
export function compareDestination(saved: SavedFacts, here: DestinationFacts): Notice[] {
  const { meta } = saved;
  return [
    ...machines(saved.machine, here.machine),
    ...(meta === null ? [] : [...processors(meta, here), ...accelerators(meta, here)]),
    ...memory(saved.blocks, here.blocks),
    ...(meta?.argv == null || here.argv.length === 0 ? [] : hardware(meta.argv.arguments, here.argv)),
  ];
}

function machines(saved: string, here: string): Notice[] {
  if (saved === here) return [];
  return [
    warning(
      "machine-differs",
      `the snapshot is of machine type ${printable(saved)}, this QEMU has ${printable(here)} and will refuse it: give it -machine ${printable(saved)}`,
    ),
  ];
}

function processors({ cpu }: SnapshotMeta, here: DestinationFacts): Notice[] {
  const notices: Notice[] = [];
  if (cpu === null) return notices;
  const { count } = cpu;
  if (typeof count === "number" && count > 0 && here.cpu.count > 0 && count !== here.cpu.count) {
    const what = here.cpu.count < count ? "QEMU will refuse it" : "the guest does not know of the others";
    notices.push(
      warning(
        "cpu-differs",
        `the guest had ${count} CPU${count === 1 ? "" : "s"}, this QEMU has ${here.cpu.count}: ${what}`,
      ),
    );
  }
  if (here.cpu.model !== null && cpu.model !== here.cpu.model) {
    notices.push(
      warning(
        "cpu-differs",
        `the guest ran on a CPU ${printable(cpu.model)}, this one is ${printable(here.cpu.model)}: QEMU may load it, and the guest fail later. Give QEMU the same -cpu.`,
      ),
    );
    return notices;
  }
  const missing = here.cpuFlags.length === 0 ? [] : featuresMissing(cpu.flags, here.cpuFlags);
  if (missing.length > 0) {
    notices.push(
      warning(
        "cpu-differs",
        `the guest's CPU had features that this one has not: ${listed(missing)}. It may use them.`,
      ),
    );
  }
  return notices;
}

/** A feature has several spellings (`sse4.1`, `sse4_1`, `sse4-1`); one is enough. */
function featuresMissing(then: readonly string[], now: readonly string[]): readonly string[] {
  const spelt = (flags: readonly string[]) =>
    new Set(flags.filter(isCpuFeature).map((flag) => flag.replace(/[._]/g, "-")));
  const there = spelt(now);
  return [...spelt(then)].filter((flag) => !there.has(flag));
}

function accelerators({ accelerator }: SnapshotMeta, here: DestinationFacts): Notice[] {
  if (accelerator === null || accelerator === here.accelerator) return [];
  const message = `the guest ran under ${accelerator}, this QEMU uses ${here.accelerator}: their CPUs differ, and the guest may fail`;
  return [warning("accelerator-differs", message)];
}

function memory(saved: SavedFacts["blocks"], here: DestinationFacts["blocks"]): Notice[] {
  if (here.length === 0) return [];
  const notices: Notice[] = [];
  for (const { name, length } of saved) {
    const there = here.find((block) => block.name === name);
    if (there !== undefined && there.used === length) continue;
    const found = there === undefined ? "has no such block" : `has one of ${amount(there.used)}`;
    notices.push(
      warning(
        "memory-differs",
        `RAM block ${printable(name)} has ${amount(length)} in the snapshot, this QEMU ${found}: give it the same memory (-m) and devices`,
      ),
    );
  }
  return notices;
}

function hardware(saved: readonly string[], here: readonly string[]): Notice[] {
  const [then, now] = [devicesOf(saved), devicesOf(here)];
  const missing = without(then, now);
  const more = without(now, then);
  const notices: Notice[] = [];
  if (missing.length > 0) {
    notices.push(
      warning(
        "devices-differ",
        `the guest had devices that this QEMU has not: ${listed(missing)}. QEMU may refuse it.`,
      ),
    );
  }
  if (more.length > 0) {
    notices.push(
      warning(
        "devices-differ",
        `this QEMU has devices that the guest does not know of: ${listed(more)}. They will not work, and others may have moved.`,
      ),
    );
  }
  if (missing.length === 0 && more.length === 0 && then.join("\n") !== now.join("\n")) {
    notices.push(
      warning(
        "devices-differ",
        "the devices stand in another order on this QEMU's command line: those without an address of their own have moved, and QEMU may refuse them",
      ),
    );
  }
  return notices;
}

/** Options that give the guest hardware by their being there, whatever file or network is behind it. */
const byName: ReadonlySet<string> = new Set([
  ...[
    "usb",
    "hda",
    "hdb",
    "hdc",
    "hdd",
    "cdrom",
    "fda",
    "fdb",
    "sd",
    "mtdblock",
    "pflash",
    "virtfs",
    "no-acpi",
    "no-hpet",
  ],
]);
/** Options whose whole value is the hardware. */
const byValue: ReadonlySet<string> = new Set(["vga", "global", "soundhw", "usbdevice", "watchdog"]);

/** What of a command line the guest can see, in its order: `-device virtio-blk-pci`, `-drive if=virtio`. */
function devicesOf(argv: readonly string[]): string[] {
  return optionsOf(argv.slice(1)).flatMap(({ option, words }) => {
    const value = words[1] ?? "";
    switch (option) {
      case null:
        // A word alone is the first hard disk.
        return ["-hda"];
      case "device":
        return [`-device ${driverOf(value)}`];
      case "drive": {
        const kind = /(?:^|,)if=([^,]+)/.exec(value)?.[1] ?? "ide";
        return kind === "none" ? [] : [`-drive if=${kind}`];
      }
      case "nic":
      case "net": {
        if (option === "net" && !/^nic\b/.test(value)) return [];
        return [`-${option} ${/(?:^|,)model=([^,]+)/.exec(value)?.[1] ?? ""}`.trim()];
      }
      default:
        if (byValue.has(option)) return value === "none" ? [] : [`-${option} ${value}`];
        return byName.has(option) ? [`-${option}`] : [];
    }
  });
}

/** `virtio-net-pci,netdev=n0`, `driver=virtio-net-pci,...` and `{"driver": "virtio-net-pci", ...}`. */
function driverOf(value: string): string {
  const json = /^\s*\{.*"driver"\s*:\s*"([^"]*)"/s.exec(value)?.[1];
  return json ?? /(?:^|,)driver=([^,]+)/.exec(value)?.[1] ?? value.replace(/,.*/s, "");
}

/** What `list` has more of than `other`, each as often as it does. */
function without(list: readonly string[], other: readonly string[]): string[] {
  const left = [...other];
  return list.filter((each) => {
    const at = left.indexOf(each);
    if (at < 0) return true;
    left.splice(at, 1);
    return false;
  });
}

function amount(bytes: number): string {
  return bytes % 2 ** 20 === 0 ? `${bytes / 2 ** 20} MiB` : `${bytes} bytes`;
}

function listed(all: readonly string[]): string {
  const shown = all.slice(0, 8).map(printable).join(", ");
  return all.length > 8 ? `${shown} and ${all.length - 8} more` : shown;
}

function warning(code: string, message: string): Notice {
  return { level: "warning", code, message };
}
