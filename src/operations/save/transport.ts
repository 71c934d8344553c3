import { FixedramError } from "../../errors.ts";
import type { SaveOptions } from "../save.ts";
import type { PlanFacts } from "./plan.ts";

/** How pages come out of QEMU. */
export type SaveTransport = "stream" | "multifd" | "mapped-ram";

export interface TransportChoice {
  readonly transport: SaveTransport;
  /** One sentence. */
  readonly reason: string;
  /** Multifd channels; 0 without. With `mapped-ram` QEMU's own, which nobody reads. */
  readonly channels: number;
  /** Pages go past the page cache, as far as the system lets them. */
  readonly directIo: boolean;
}

/** Two threads keep up with what QEMU sends and with what a disk takes; more only cost memory. */
const CHANNELS = 2;

/** Bytes of RAM, or of RAM that was touched, below which what two threads take to start is more than they save. */
export const MULTIFD_FROM = 2 ** 30;

const backgroundWay = "QEMU takes background snapshots on one connection only";

/**
 * The way that was asked for; left to us, multifd where it can be and is worth its threads: docs/decisions/0008.
 *
 * @throws FixedramError `usage.transport`, `usage.direct-io` when what was asked for cannot be
 */
export function chooseTransport(options: SaveOptions, facts: PlanFacts): TransportChoice {
  // With "auto" pages go through the page cache: past it was no faster (docs/performance.md, "What was tried").
  const { transport = "auto", mode, directIo = "auto" } = options;
  if (transport === "mapped-ram") return ownFile(options, facts);
  const obstacle = multifdObstacle(options, facts);
  if (transport === "multifd" && obstacle !== null) {
    throw new FixedramError("usage.transport", `--transport multifd cannot be used: ${obstacle}`, {
      found: `QEMU ${facts.version.text}, --mode ${mode ?? "stop"}`,
      hint: "Leave --transport out: one connection always works.",
    });
  }
  const why = transport === "stream" ? "asked for" : obstacle;
  if (directIo === "on" && why !== null) {
    throw new FixedramError("usage.direct-io", "--direct-io on needs --transport multifd, which cannot be used", {
      found: transport === "stream" ? "--transport stream" : why,
      hint: "Pages of a single connection do not lie as direct I/O wants them. Leave --direct-io out.",
    });
  }
  if (why !== null) return stream(why);
  const asked = transport === "multifd" || directIo === "on";
  if (!asked && facts.ramBytes < MULTIFD_FROM) {
    return stream("one connection is quicker for a guest with little memory");
  }
  if (!asked && facts.presentBytes !== null && facts.presentBytes < MULTIFD_FROM) {
    return stream("one connection is quicker for a guest that has touched little of its memory");
  }
  if (!asked && options.watcher !== undefined && mode === "live") {
    return stream("only on one connection is it known which pages come again, which is being watched");
  }
  if (!asked && facts.busy && spins(facts)) {
    return stream(
      `the processors are busy, and QEMU ${facts.version.text} would spin on one while it waits for its channels`,
    );
  }
  const several = `QEMU ${facts.version.text} sends on ${CHANNELS} channels at once`;
  // Not with less promised to the guest: docs/decisions/0011.
  const notOwn = facts.capabilities.has("mapped-ram") ? "; it writes the file itself only when asked to" : "";
  return {
    transport: "multifd",
    reason: transport === "multifd" ? `asked for; ${several}` : `${several}${notOwn}`,
    channels: CHANNELS,
    directIo: directIo === "on",
  };
}

/** 7.2 keeps a processor busy for as long as both channels are full, 10.0 does not: docs/decisions/0008. */
function spins({ version: { major, minor } }: PlanFacts): boolean {
  return major < 8 || (major === 8 && minor < 1);
}

/**
 * QEMU writes the file itself, when that was asked for: docs/decisions/0011.
 *
 * @throws FixedramError `usage.transport`, `usage.direct-io`
 */
function ownFile(options: SaveOptions, facts: PlanFacts): TransportChoice {
  const obstacle = ownFileObstacle(options, facts);
  const found = `QEMU ${facts.version.text}, --mode ${options.mode ?? "stop"}`;
  if (obstacle !== null) {
    throw new FixedramError("usage.transport", `--transport mapped-ram cannot be used: ${obstacle}`, {
      found,
      hint: "Leave --transport out: one connection always works.",
    });
  }
  const { directIo = "auto" } = options;
  const knows = facts.parameters.includes("direct-io") && facts.capabilities.has("multifd");
  if (directIo === "on" && !knows) {
    throw new FixedramError("usage.direct-io", "this QEMU writes its own file through the page cache only", {
      found,
      expected: "QEMU 9.1 or newer",
      hint: "Leave --direct-io out.",
    });
  }
  const { name, directIo: takes } = facts.filesystem;
  const direct = directIo === "on" && takes;
  const past = direct
    ? `, on ${CHANNELS} channels past the page cache`
    : directIo === "on"
      ? `, through the page cache, for ${name} takes nothing past it`
      : "";
  return {
    transport: "mapped-ram",
    reason: `asked for; QEMU ${facts.version.text} writes the file itself${past}`,
    // QEMU goes past the page cache on channels only, and may crash when those are cancelled: not without need.
    channels: direct ? CHANNELS : 0,
    directIo: direct,
  };
}

function stream(reason: string): TransportChoice {
  return { transport: "stream", reason, channels: 0, directIo: false };
}

/** Why QEMU cannot write its own file, in words; null: it can. */
function ownFileObstacle({ mode = "stop", maxBandwidth, watcher }: SaveOptions, facts: PlanFacts): string | null {
  if (!facts.capabilities.has("mapped-ram")) return `QEMU ${facts.version.text} does not know mapped-ram, 9.0 does`;
  if (mode === "background") return "in a background snapshot QEMU leaves its file without bitmaps";
  if (mode === "stop" && maxBandwidth !== undefined) return "QEMU keeps no limit once the guest stands still";
  if (watcher !== undefined) return "pages that QEMU writes itself do not pass by here, where they could be watched";
  return facts.fileObstacle;
}

/** Why pages cannot come on several channels, in words; null: they can. */
function multifdObstacle(options: SaveOptions, facts: PlanFacts): string | null {
  if (options.mode === "background") return backgroundWay;
  if (!facts.capabilities.has("multifd")) return `QEMU ${facts.version.text} does not know multifd`;
  if (options.maxBandwidth !== undefined) return "a bandwidth limit is kept by reading one connection slowly";
  if (!facts.channelsTakeable)
    return "this Node does not show the descriptors of its sockets, or runs this in a thread";
  return null;
}
