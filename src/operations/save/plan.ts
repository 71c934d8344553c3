import { availableParallelism, loadavg } from "node:os";
import { FixedramError } from "../../errors.ts";
import type { OnLimit, SaveMode, SaveOptions, ThenAction } from "../save.ts";
import { chooseTransport, type TransportChoice } from "./transport.ts";

/** What a decision needs to know of the guest. */
export interface PlanFacts {
  readonly version: { readonly major: number; readonly minor: number; readonly text: string };
  readonly accelerator: string;
  readonly runState: string;
  /** Names of the migration capabilities this QEMU knows. */
  readonly capabilities: ReadonlySet<string>;
  /** QEMU's own words, one a blocker. */
  readonly blockers: readonly string[];
  readonly migrationStatus: string;
  /** Bytes of all RAM blocks. */
  readonly ramBytes: number;
  /** Bytes of memory that QEMU has, so at most that much of its guest's was touched; null: not known. */
  readonly presentBytes: number | null;
  /** The machine writes no vmdesc at the end of its stream. */
  readonly suppressVmdesc: boolean;
  /** Threads of ours can read from QEMU's connections. */
  readonly channelsTakeable: boolean;
  /** Names of the migration parameters this QEMU knows. */
  readonly parameters: readonly string[];
  /** Why QEMU cannot write our file itself, in words; null: it can. */
  readonly fileObstacle: string | null;
  /** What the file will lie on, as `doctor` calls it (`tmpfs`, `ext4`), and whether files there are written past the page cache. */
  readonly filesystem: { readonly name: string; readonly directIo: boolean };
  /** As many programs as there are processors ran over the last minute, or more. */
  readonly busy: boolean;
}

/** Whether the machine has no processor to spare: {@link PlanFacts.busy}. */
export function isBusy(): boolean {
  return (loadavg()[0] ?? 0) >= availableParallelism();
}

/** How a save will go. */
export interface SavePlan {
  readonly mode: SaveMode;
  /** `--then`. */
  readonly afterwards: ThenAction;
  readonly onLimit: OnLimit;
  readonly transport: TransportChoice;
  /**
   * QEMU stays uncommitted until it has our SHUT (docs/decisions/0003), or, writing its own file, takes the guest back in any case
   * (0011).
   */
  readonly returnPath: boolean;
  /** A connection that breaks would freeze the guest for ever: the stream must be read to its end (docs/decisions/0004). */
  readonly breakFreezes: boolean;
  /** The guest goes on before the file is whole, by itself. */
  readonly runsEarly: boolean;
  /** Whether a migration that failed went well is not QEMU's to say (docs/decisions/0011). */
  readonly failsAsPlanned: boolean;
  /** QEMU may crash when its migration is cancelled (docs/decisions/0011). */
  readonly cancelCrashes: boolean;
  /** No vmdesc tells where the stream ends, but QEMU closes the connection there. */
  readonly endsByClose: boolean;
  /** Capabilities to set for the save; what QEMU does not know is left out. */
  readonly capabilities: Readonly<Record<string, boolean>>;
  readonly parameters: Readonly<Record<string, number | string | boolean>>;
}

/** QEMU stops the guest once the rest would take no longer than this, in ms: its largest value, so at its first look. */
export const STOP_AT_ONCE = 2_000_000;

/** Each of these would change what is sent, or where to. */
const unwanted = [
  "xbzrle",
  "rdma-pin-all",
  "zero-blocks",
  "compress",
  "postcopy-ram",
  "x-colo",
  "release-ram",
  "block",
  "pause-before-switchover",
  "multifd",
  "x-ignore-shared",
  "late-block-activate",
  "postcopy-preempt",
  "switchover-ack",
  "zero-copy-send",
  "mapped-ram",
  "postcopy-blocktime",
];

/** What a user may have set for migrations of another kind; what QEMU does not know is left out. */
const alwaysSet: Readonly<Record<string, number | string>> = {
  "tls-creds": "",
  // A low value here keeps QEMU from ever finding that the rest fits into the downtime limit.
  "avail-switchover-bandwidth": 0,
  // With "none", zero pages come as pages and fill the file.
  "zero-page-detection": "legacy",
  mode: "normal",
};

/** The same for multifd: channels look for zero pages themselves where QEMU (9.0) lets them. */
const multifdSet: Readonly<Record<string, number | string>> = {
  "multifd-compression": "none",
  "zero-page-detection": "multifd",
};

/** QEMU refuses these together with background-snapshot. */
const unwantedInBackground = ["auto-converge", "dirty-bitmaps", "validate-uuid"];

/**
 * Decides, or refuses, before the guest is touched.
 *
 * @throws FixedramError `guest.run-state`, `guest.migration-active`, `guest.migration-blocked`, `guest.loses-memory`,
 *   `guest.no-vmdesc`, `qemu.too-old`, `qemu.no-background`, `usage.transport`, `usage.direct-io`
 */
export function planSave(options: SaveOptions, facts: PlanFacts): SavePlan {
  const mode = options.mode ?? "stop";
  const then = options.then ?? "resume";
  checkGuest(facts, mode);
  checkMode(facts, mode, options.force === true);
  const transport = chooseTransport(options, facts);
  const ownFile = transport.transport === "mapped-ram";
  const multifd = transport.channels > 0;
  const returnPath = mode !== "background" && !(ownFile && staysStopped(then, facts.runState));
  const capabilities: Record<string, boolean> = Object.fromEntries(
    [...unwanted, ...(mode === "background" ? unwantedInBackground : [])]
      .filter((name) => facts.capabilities.has(name))
      .map((name) => [name, false]),
  );
  for (const [name, on] of [
    ["return-path", returnPath],
    ["background-snapshot", mode === "background"],
    ["multifd", multifd],
    ["mapped-ram", ownFile],
    ["events", true],
  ] as const) {
    if (facts.capabilities.has(name)) capabilities[name] = on;
  }
  return {
    mode,
    afterwards: then,
    onLimit: options.onLimit ?? "stop",
    transport,
    returnPath,
    runsEarly: mode === "background" || (ownFile && returnPath),
    failsAsPlanned: ownFile,
    cancelCrashes: ownFile && multifd,
    breakFreezes: mode === "background" && before8_1(facts.version),
    endsByClose: facts.suppressVmdesc,
    capabilities,
    parameters: {
      "max-bandwidth": mode === "stop" ? untilStopped(options, facts) : (options.maxBandwidth ?? 0),
      ...(mode === "stop" ? { "downtime-limit": STOP_AT_ONCE } : {}),
      ...alwaysSet,
      ...(multifd ? { ...multifdSet, "multifd-channels": transport.channels } : {}),
      ...(ownFile ? { "direct-io": transport.directIo } : {}),
    },
  };
}

/** Whether a guest is to stand still when its save is done. One that was paused goes back to that by itself. */
export function staysStopped(then: ThenAction, runState: string): boolean {
  return then === "quit" || (then === "pause" && runState === "running");
}

/**
 * Bytes a second for the tenth of a second before QEMU stops the guest by itself, after which no limit holds. What is sent in
 * that time is sent live, which gains that tenth of a second. Where live migrations are not to be trusted it is kept small
 * instead, a few MB of low memory; and so it is with a limit of the user's, which we keep by reading slowly. It is enough for
 * QEMU to reckon that the rest fits into {@link STOP_AT_ONCE} (docs/decisions/0003).
 */
function untilStopped(options: SaveOptions, facts: PlanFacts): number {
  if (options.maxBandwidth === undefined && !losesMemoryLive(facts)) return 0;
  return Math.max(2 ** 22, Math.ceil((facts.ramBytes / (STOP_AT_ONCE / 1000)) * 8));
}

/** QEMU before 8.0 loses memory of a busy guest in a long live migration under TCG (docs/decisions/0003). */
function losesMemoryLive(facts: PlanFacts): boolean {
  return facts.accelerator === "tcg" && facts.version.major < 8;
}

/** 8.1 is the first that lifts the write protection when a background snapshot fails (commit 3a8b81f2e6, June 2023). */
function before8_1({ major, minor }: PlanFacts["version"]): boolean {
  return major < 8 || (major === 8 && minor < 1);
}

/**
 * Refuses options that do not go together; needs no QEMU.
 *
 * @throws FixedramError `usage.background-then`, `usage.live-only`
 */
export function checkSaveOptions(options: SaveOptions): void {
  const { mode = "stop", then = "resume" } = options;
  if (mode === "background" && then !== "resume") {
    throw new FixedramError("usage.background-then", `--then ${then} does not go with --mode background`, {
      expected: "--then resume, or another mode",
      hint: "A background snapshot shows the guest as it was at the start, and the guest runs on meanwhile: what it did since would be in no file. Use --mode stop or --mode live.",
    });
  }
  if (mode === "live") return;
  for (const [name, value] of [
    ["--max-time", options.maxTime],
    ["--max-rounds", options.maxRounds],
    ["--on-limit", options.onLimit],
  ] as const) {
    if (value === undefined) continue;
    throw new FixedramError("usage.live-only", `${name} is for --mode live only`, {
      found: `--mode ${mode}`,
      hint: `${onePass[mode]} Leave ${name} out, or use --mode live.`,
    });
  }
}

const onePass: Readonly<Record<Exclude<SaveMode, "live">, string>> = {
  stop: "With --mode stop the guest stands still and there is one pass: nothing to limit.",
  background:
    "With --mode background the guest stands still for milliseconds only and there is one pass: nothing to limit.",
};

const savable: ReadonlySet<string> = new Set(["running", "paused", "prelaunch", "suspended", "io-error", "watchdog"]);

function checkGuest(facts: PlanFacts, mode: SaveMode): void {
  if (!["none", "completed", "failed", "cancelled"].includes(facts.migrationStatus)) {
    throw new FixedramError("guest.migration-active", "a migration of this guest is under way", {
      found: `status ${facts.migrationStatus}`,
      hint: "Wait for its end, or end it with the QMP command migrate_cancel.",
    });
  }
  // QEMU before 8.0 has no way back to `suspended`: the guest would be left in `postmigrate`, and not be woken by anything.
  const lost = facts.runState === "suspended" && facts.version.major < 8;
  if (!savable.has(facts.runState) || lost) {
    throw new FixedramError("guest.run-state", `a guest in state ${facts.runState} cannot be saved`, {
      found: facts.runState,
      expected: [...savable].join(", "),
      hint: runStateHints[facts.runState] ?? "Bring the guest into one of the expected states first.",
    });
  }
  if (facts.blockers.length > 0) {
    throw new FixedramError("guest.migration-blocked", "QEMU refuses to save this guest", {
      said: facts.blockers.join("; "),
      hint: "Detach or reconfigure what QEMU names.",
    });
  }
  if (mode === "background" && facts.runState !== "running") {
    throw new FixedramError("guest.run-state", "a guest that does not run needs no background save", {
      found: facts.runState,
      expected: "running",
      hint: "Use --mode stop.",
    });
  }
}

const runStateHints: Readonly<Record<string, string>> = {
  postmigrate: "It was saved or migrated before. Let it run with the QMP command cont; then it can be saved again.",
  inmigrate: "It is still being loaded. Wait until that has ended.",
  shutdown: "It has shut down: there is nothing to resume.",
};

function checkMode(facts: PlanFacts, mode: SaveMode, force: boolean): void {
  const needed = mode === "background" ? "background-snapshot" : "return-path";
  if (!facts.capabilities.has(needed)) {
    throw new FixedramError(
      mode === "background" ? "qemu.no-background" : "qemu.too-old",
      `this QEMU has no ${needed}`,
      {
        found: `QEMU ${facts.version.text}`,
        expected: mode === "background" ? "QEMU 6.0 or newer" : "QEMU 2.5 or newer",
        hint: "Use --mode stop, or a newer QEMU.",
      },
    );
  }
  if (mode !== "background" && facts.suppressVmdesc) {
    throw new FixedramError(
      "guest.no-vmdesc",
      "this machine does not describe its device state, so its end cannot be told",
      {
        found: "machine property suppress-vmdesc is on",
        hint: "Use --mode background, where QEMU closes the connection at the end, or start the guest with -machine suppress-vmdesc=off.",
      },
    );
  }
  if (mode === "live" && losesMemoryLive(facts) && facts.runState === "running" && !force) {
    throw new FixedramError(
      "guest.loses-memory",
      "QEMU before 8.0 loses memory of a busy guest in a live save under TCG",
      {
        found: `QEMU ${facts.version.text}, accelerator tcg`,
        hint: "Use --mode stop or --mode background; --force saves live all the same (a guest that hardly writes comes through).",
      },
    );
  }
}
