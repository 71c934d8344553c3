import { tmpdir } from "node:os";
import { describe, expect, test } from "vitest";
import { FixedramError } from "../../../src/errors.ts";
import { ownFileFacts } from "../../../src/operations/save/own-file-facts.ts";
import { checkSaveOptions, type PlanFacts, planSave, STOP_AT_ONCE } from "../../../src/operations/save/plan.ts";
import type { SaveMode, SaveOptions } from "../../../src/operations/save.ts";

const known = ["events", "return-path", "background-snapshot", "xbzrle", "multifd", "mapped-ram", "postcopy-ram"];
const guest: PlanFacts = {
  version: { major: 10, minor: 0, text: "10.0.2" },
  accelerator: "kvm",
  runState: "running",
  capabilities: new Set(known),
  blockers: [],
  migrationStatus: "none",
  ramBytes: 2 ** 30,
  presentBytes: null,
  suppressVmdesc: false,
  channelsTakeable: true,
  parameters: ["max-bandwidth", "direct-io"],
  fileObstacle: null,
  filesystem: { name: "ext4", directIo: true },
  busy: false,
};
const old = { major: 7, minor: 2, text: "7.2.22" };
const modes: readonly SaveMode[] = ["stop", "live", "background"];

function plan(options: Partial<SaveOptions>, facts: Partial<PlanFacts> = {}) {
  return planSave({ out: "x.fram", qmp: "q", ...options }, { ...guest, ...facts });
}

/** The code it is refused with, or `ok`. */
function verdict(options: Partial<SaveOptions>, facts: Partial<PlanFacts> = {}): string {
  try {
    checkSaveOptions({ out: "x.fram", qmp: "q", ...options });
    plan(options, facts);
    return "ok";
  } catch (error) {
    if (!(error instanceof FixedramError)) throw error;
    expect(error.details.hint ?? error.details.found, error.code).toBeTruthy();
    return error.code;
  }
}

/** For each mode in turn. */
const each = (facts: Partial<PlanFacts>, options: Partial<SaveOptions> = {}) =>
  modes.map((mode) => verdict({ mode, ...options }, facts));

describe("cell by cell: stop, live, background", () => {
  test.each([
    ["a guest that runs", {}, ["ok", "ok", "ok"]],
    ["QEMU 7.2 with KVM", { version: old }, ["ok", "ok", "ok"]],
    ["QEMU 7.2 with TCG", { version: old, accelerator: "tcg" }, ["ok", "guest.loses-memory", "ok"]],
    ["QEMU 10 with TCG", { accelerator: "tcg" }, ["ok", "ok", "ok"]],
    [
      "QEMU 7.2 with TCG, paused",
      { version: old, accelerator: "tcg", runState: "paused" },
      ["ok", "ok", "guest.run-state"],
    ],
    ["paused", { runState: "paused" }, ["ok", "ok", "guest.run-state"]],
    ["prelaunch", { runState: "prelaunch" }, ["ok", "ok", "guest.run-state"]],
    ["suspended", { runState: "suspended" }, ["ok", "ok", "guest.run-state"]],
    ["io-error", { runState: "io-error" }, ["ok", "ok", "guest.run-state"]],
    ["postmigrate", { runState: "postmigrate" }, ["guest.run-state", "guest.run-state", "guest.run-state"]],
    ["inmigrate", { runState: "inmigrate" }, ["guest.run-state", "guest.run-state", "guest.run-state"]],
    ["shutdown", { runState: "shutdown" }, ["guest.run-state", "guest.run-state", "guest.run-state"]],
    ["a state we never heard of", { runState: "moonlit" }, ["guest.run-state", "guest.run-state", "guest.run-state"]],
    [
      "no return path",
      { capabilities: new Set(["events", "background-snapshot"]) },
      ["qemu.too-old", "qemu.too-old", "ok"],
    ],
    ["no background", { capabilities: new Set(["events", "return-path"]) }, ["ok", "ok", "qemu.no-background"]],
    ["no vmdesc", { suppressVmdesc: true }, ["guest.no-vmdesc", "guest.no-vmdesc", "ok"]],
  ] as const)("%s", (_name, facts, wanted) => expect(each(facts)).toEqual(wanted));

  test.each(["none", "completed", "failed", "cancelled"])(
    "an earlier migration that is %s is none",
    (migrationStatus) => expect(each({ migrationStatus })).toEqual(["ok", "ok", "ok"]),
  );
  test.each(["setup", "active", "cancelling", "device", "postcopy-active", "wait-unplug"])(
    "a migration that is %s is in the way",
    (migrationStatus) => expect(new Set(each({ migrationStatus }))).toEqual(new Set(["guest.migration-active"])),
  );

  test("--force lets a live save on an old QEMU under TCG go on, and nothing else", () => {
    expect(verdict({ mode: "live", force: true }, { version: old, accelerator: "tcg" })).toBe("ok");
    expect(each({ runState: "shutdown" }, { force: true })).toEqual(Array(3).fill("guest.run-state"));
    expect(each({ suppressVmdesc: true }, { force: true })[0]).toBe("guest.no-vmdesc");
  });

  test("blockers come in QEMU's own words, all of them", () => {
    expect(each({ blockers: ["a", "b"] })).toEqual(Array(3).fill("guest.migration-blocked"));
    expect(() => plan({}, { blockers: ["State blocked by x", "y"] })).toThrowError(
      expect.objectContaining({ details: expect.objectContaining({ said: "State blocked by x; y" }) }),
    );
  });
});

describe("options that exclude each other", () => {
  test.each([
    ['{"mode":"background","then":"pause"}', "usage.background-then"],
    ['{"mode":"background","then":"quit"}', "usage.background-then"],
    ['{"mode":"background","then":"resume"}', "ok"],
    ['{"maxTime":1000}', "usage.live-only"],
    ['{"maxRounds":1}', "usage.live-only"],
    ['{"onLimit":"stop"}', "usage.live-only"],
    ['{"mode":"background","maxTime":1}', "usage.live-only"],
    ['{"mode":"live","maxTime":1000,"maxRounds":3,"onLimit":"abort"}', "ok"],
    ['{"then":"quit"}', "ok"],
  ])("%s: %s", (options, wanted) => expect(verdict(JSON.parse(options))).toBe(wanted));
});

describe("the plan", () => {
  test("stop: return path, QEMU stops at its first look; under a limit of the user's a small one until then", () => {
    const made = plan({ maxBandwidth: 10 });
    expect(made).toMatchObject({ mode: "stop", afterwards: "resume", returnPath: true, endsByClose: false });
    expect(made.parameters["downtime-limit"]).toBe(STOP_AT_ONCE);
    expect(plan({ maxBandwidth: 10 }, { ramBytes: 2 ** 20 }).parameters["max-bandwidth"]).toBe(2 ** 22);
    const large = plan({ maxBandwidth: 10 }, { ramBytes: 2 ** 40 }).parameters["max-bandwidth"];
    // Enough for QEMU to reckon that all of it fits into its downtime limit.
    expect(Number(large) * (STOP_AT_ONCE / 1000)).toBeGreaterThan(2 ** 40);
  });

  test("stop: no limit at all where a tenth of a second of live migration can be trusted", () => {
    const limit = (accelerator: string, major: number) =>
      plan({}, { accelerator, ramBytes: 2 ** 20, version: { major, minor: 2, text: `${major}.2.0` } }).parameters[
        "max-bandwidth"
      ];
    expect(limit("tcg", 7)).toBe(2 ** 22);
    expect(limit("kvm", 7)).toBe(0);
    expect(limit("tcg", 8)).toBe(0);
    expect(limit("tcg", 10)).toBe(0);
  });

  test("live: the user's limit, or none, and QEMU's own downtime", () => {
    expect(plan({ mode: "live" }).parameters).toMatchObject({ "max-bandwidth": 0, "tls-creds": "" });
    expect(plan({ mode: "live" }).parameters).not.toHaveProperty("downtime-limit");
    expect(plan({ mode: "live", maxBandwidth: 5 }).parameters["max-bandwidth"]).toBe(5);
  });

  test("background: no return path", () => {
    const made = plan({ mode: "background" }, { suppressVmdesc: true });
    expect(made).toMatchObject({ returnPath: false, endsByClose: true });
    expect(made.capabilities).toMatchObject({ "background-snapshot": true, "return-path": false, events: true });
  });

  test("capabilities that change what is sent are off; those QEMU does not know are not named", () => {
    const { capabilities } = plan({ transport: "multifd" });
    expect(plan({ transport: "stream" }).capabilities.multifd).toBe(false);
    expect(capabilities).toMatchObject({
      xbzrle: false,
      multifd: true,
      "mapped-ram": false,
      "background-snapshot": false,
    });
    expect(Object.keys(capabilities).sort()).toEqual([...known].sort());
  });
});

describe("how pages come out of QEMU, cell by cell: stop, live, background", () => {
  const without = (name: string) => new Set(known.filter((each) => each !== name));
  const ways = (facts: Partial<PlanFacts>, options: Partial<SaveOptions> = {}) =>
    modes.map((mode) => {
      try {
        return plan({ mode, ...options }, facts).transport.transport;
      } catch (error) {
        return (error as FixedramError).code;
      }
    });
  const refused = "usage.transport";

  test.each([
    ["QEMU 10", {}, {}, ["multifd", "multifd", "stream"]],
    ["QEMU 7.2", { version: old }, {}, ["multifd", "multifd", "stream"]],
    ["QEMU 7.2 on a busy machine", { version: old, busy: true }, {}, ["stream", "stream", "stream"]],
    ["QEMU 8.0 on one", { version: { ...old, major: 8, minor: 0 }, busy: true }, {}, ["stream", "stream", "stream"]],
    ["QEMU 8.1 on one", { version: { ...old, major: 8, minor: 1 }, busy: true }, {}, ["multifd", "multifd", "stream"]],
    ["QEMU 10 on one", { busy: true }, {}, ["multifd", "multifd", "stream"]],
    [
      "QEMU 7.2 on one, and multifd wanted",
      { version: old, busy: true },
      { transport: "multifd" },
      ["multifd", "multifd", refused],
    ],
    ["less than a GiB", { ramBytes: 2 ** 30 - 4096 }, {}, ["stream", "stream", "stream"]],
    ["a GiB and more", { ramBytes: 2 ** 31 }, {}, ["multifd", "multifd", "stream"]],
    [
      "much, and little of it touched",
      { ramBytes: 2 ** 33, presentBytes: 2 ** 30 - 1 },
      {},
      ["stream", "stream", "stream"],
    ],
    ["much of it touched", { ramBytes: 2 ** 33, presentBytes: 2 ** 30 }, {}, ["multifd", "multifd", "stream"]],
    [
      "little of it touched, and multifd wanted",
      { ramBytes: 2 ** 33, presentBytes: 2 ** 28 },
      { transport: "multifd" },
      ["multifd", "multifd", refused],
    ],
    ["less, and multifd wanted", { ramBytes: 2 ** 26 }, { transport: "multifd" }, ["multifd", "multifd", refused]],
    ["a Node without descriptors", { channelsTakeable: false }, {}, ["stream", "stream", "stream"]],
    ["QEMU without multifd", { capabilities: without("multifd") }, {}, ["stream", "stream", "stream"]],
    ["a bandwidth limit", {}, { maxBandwidth: 1e6 }, ["stream", "stream", "stream"]],
    ["multifd wanted of QEMU 10", {}, { transport: "multifd" }, ["multifd", "multifd", refused]],
    [
      "multifd wanted of a Node without descriptors",
      { channelsTakeable: false },
      { transport: "multifd" },
      [refused, refused, refused],
    ],
    ["auto said", {}, { transport: "auto" }, ["multifd", "multifd", "stream"]],
    ["being watched", {}, { watcher: { pages() {}, zeroPages() {}, laidOut() {} } }, ["multifd", "stream", "stream"]],
    ["stream wanted", {}, { transport: "stream" }, ["stream", "stream", "stream"]],
    ["multifd wanted", { version: old }, { transport: "multifd" }, ["multifd", "multifd", refused]],
    [
      "multifd wanted of a QEMU without",
      { capabilities: without("multifd") },
      { transport: "multifd" },
      [refused, refused, refused],
    ],
    ["multifd wanted under a limit", {}, { transport: "multifd", maxBandwidth: 5 }, [refused, refused, refused]],
  ] as const)("%s", (_name, facts, options, wanted) => expect(ways(facts, options)).toEqual(wanted));

  test.each([
    ["auto", {}, ["multifd", "multifd", "stream"]],
    ["auto said", { directIo: "auto" }, ["multifd", "multifd", "stream"]],
    ["off", { directIo: "off" }, ["multifd", "multifd", "stream"]],
    ["on", { directIo: "on" }, ["multifd, direct", "multifd, direct", "usage.direct-io"]],
    ["off over one connection", { transport: "stream", directIo: "off" }, ["stream", "stream", "stream"]],
    [
      "on over one connection",
      { transport: "stream", directIo: "on" },
      ["usage.direct-io", "usage.direct-io", "usage.direct-io"],
    ],
    [
      "on under a limit",
      { directIo: "on", maxBandwidth: 5 },
      ["usage.direct-io", "usage.direct-io", "usage.direct-io"],
    ],
  ] as const)("past the page cache: %s", (_name, options, wanted) =>
    expect(
      [old, guest.version].flatMap((version) =>
        modes.map((mode) => {
          try {
            const { transport, directIo } = plan({ mode, ...options }, { version }).transport;
            return directIo ? `${transport}, direct` : transport;
          } catch (error) {
            return (error as FixedramError).code;
          }
        }),
      ),
    ).toEqual([...wanted, ...wanted]),
  );

  test("asking for it is asking for multifd, however little memory there is", () =>
    expect(plan({ directIo: "on" }, { ramBytes: 2 ** 26 }).transport).toMatchObject({
      transport: "multifd",
      directIo: true,
    }));

  const at = (name: string, directIo = true) => ({ filesystem: { name, directIo } });
  const nine = { version: { major: 9, minor: 0, text: "9.0.4" }, parameters: ["max-bandwidth"] };
  const seven = { version: old, capabilities: without("mapped-ram"), parameters: ["max-bandwidth"] };
  const cells = (facts: Partial<PlanFacts>, options: Partial<SaveOptions>) =>
    modes.map((mode) => {
      try {
        const { transport, directIo } = plan({ mode, ...options }, facts).transport;
        return directIo ? `${transport}, direct` : transport;
      } catch (error) {
        return (error as FixedramError).code;
      }
    });
  const usual = ["multifd", "multifd", "stream"];
  const own = ["mapped-ram", "mapped-ram", refused];
  const none = [refused, refused, refused];
  const direct = ["mapped-ram, direct", "mapped-ram, direct", refused];

  const cached = ["usage.direct-io", "usage.direct-io", refused];

  /** By itself it is never QEMU's own file, whatever that would lie on. */
  test.each([
    ["7.2", "tmpfs", seven, false, usual, none, none],
    ["7.2", "ext4", seven, true, usual, none, none],
    ["7.2", "nfs", seven, false, usual, none, none],
    ["9.0", "tmpfs", nine, false, usual, own, cached],
    ["9.0", "ext4", nine, true, usual, own, cached],
    ["9.0", "nfs", nine, false, usual, own, cached],
    ["10.0", "tmpfs", {}, false, usual, own, own],
    ["10.0", "tmpfs", {}, true, usual, own, direct],
    ["10.0", "ext4", {}, true, usual, own, direct],
    ["10.0", "xfs", {}, true, usual, own, direct],
    ["10.0", "btrfs", {}, true, usual, own, direct],
    ["10.0", "nfs", {}, false, usual, own, own],
    ["10.0", "unknown", {}, false, usual, own, own],
  ] as const)(
    "QEMU %s, %s: by itself, its own file, past the page cache",
    (_version, name, facts, takes, ...wanted) => {
      const here = { ...facts, ...at(name, takes) };
      const asked = { transport: "mapped-ram" } as const;
      expect([
        cells(here, {}),
        cells(here, asked),
        cells(here, { ...asked, directIo: "on" }),
        cells(here, { ...asked, directIo: "off" }),
      ]).toEqual([...wanted, wanted[1]]);
    },
  );

  test.each([
    ["under a limit: QEMU keeps it while the guest runs", {}, { maxBandwidth: 5 }, [refused, "mapped-ram", refused]],
    ["being watched", {}, { watcher: { pages() {}, zeroPages() {}, laidOut() {} } }, none],
    ["a QEMU that cannot write there", { fileObstacle: "it is another user's" }, {}, none],
    ["a QEMU without multifd", { capabilities: without("multifd") }, {}, own],
    ["little memory", { ramBytes: 2 ** 26 }, {}, own],
    ["a Node without descriptors", { channelsTakeable: false }, {}, own],
    ["a busy machine", { busy: true }, {}, own],
    ["a paused guest", { runState: "paused" }, {}, ["mapped-ram", "mapped-ram", "guest.run-state"]],
  ] as const)("QEMU's own file, asked for: %s", (_name, facts, options, wanted) =>
    expect(cells(facts, { ...options, transport: "mapped-ram" })).toEqual(wanted),
  );

  test("QEMU's own file: a return path unless the guest is to stay stopped, and the words say why not", () => {
    const made = (then: SaveOptions["then"], runState = "running") =>
      plan({ transport: "mapped-ram", ...(then === undefined ? {} : { then }) }, { runState });
    for (const [then, runState, goesOn] of [
      ["resume", "running", true],
      ["resume", "paused", true],
      ["pause", "paused", true],
      ["pause", "running", false],
      ["quit", "running", false],
      ["quit", "paused", false],
    ] as const) {
      expect(made(then, runState), `${then}, ${runState}`).toMatchObject({
        returnPath: goesOn,
        failsAsPlanned: true,
        runsEarly: goesOn,
        cancelCrashes: false,
        capabilities: { "mapped-ram": true, multifd: false, "return-path": goesOn },
        parameters: { "zero-page-detection": "legacy", "direct-io": false },
      });
    }
    expect(plan({ transport: "mapped-ram", directIo: "on" })).toMatchObject({
      cancelCrashes: true,
      capabilities: { "mapped-ram": true, multifd: true, "return-path": true },
      parameters: { "multifd-channels": 2, "zero-page-detection": "multifd", "direct-io": true },
    });
    expect(plan({}).parameters).not.toHaveProperty("direct-io");
    expect(plan({})).toMatchObject({ failsAsPlanned: false, runsEarly: false });
    expect(plan({ mode: "background" })).toMatchObject({ failsAsPlanned: false, runsEarly: true });
    const on = (directIo: boolean) =>
      plan({ transport: "mapped-ram", directIo: "on" }, at("tmpfs", directIo)).transport.reason;
    expect(on(false)).toContain("tmpfs takes nothing past it");
    expect(on(true)).toContain("past the page cache");
  });

  test("it says why, and sets what multifd needs", () => {
    const made = plan({ transport: "multifd" });
    expect(made.transport.reason).toContain("2 channels");
    expect(plan({}).transport.reason).toContain("2 channels at once; it writes the file itself only when asked to");
    expect(plan({}, { capabilities: without("mapped-ram") }).transport.reason).not.toContain("itself");
    expect(plan({}, { ramBytes: 2 ** 26 }).transport.reason).toContain("little memory");
    expect(plan({}, { presentBytes: 2 ** 26 }).transport.reason).toContain("touched little");
    expect(plan({}, { capabilities: without("multifd") }).transport.reason).toContain("does not know multifd");
    expect(made.parameters).toMatchObject({
      "multifd-channels": 2,
      "multifd-compression": "none",
      "zero-page-detection": "multifd",
    });
    expect(plan({ mode: "background" }).transport.reason).toContain("background");
    expect(plan({ mode: "background" }).parameters).toMatchObject({ "zero-page-detection": "legacy" });
    expect(plan({ mode: "background" }).parameters).not.toHaveProperty("multifd-channels");
  });
});

test("QEMU on a big-endian host writes no file of ours itself: its bitmaps would stand in another order than ours", () => {
  expect(ownFileFacts(null, tmpdir(), true).fileObstacle).toContain("big-endian");
  expect(ownFileFacts(null, tmpdir(), false).fileObstacle).not.toContain("big-endian");
});
