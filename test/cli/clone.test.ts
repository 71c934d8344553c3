import { expect, test } from "vitest";
import { liveClones } from "../../src/cli/render/clone.ts";
import { colorsFor } from "../../src/cli/render/colors.ts";
import type { CloneOptions, CloneStatus } from "../../src/operations/clone.ts";
import { cloned, clonedInPart } from "./answers/guests.ts";
import { cli } from "./fakes.ts";

test("the command line becomes options; every clone is in the answer", async () => {
  let seen: CloneOptions | null = null;
  const clone = async (options: CloneOptions) => {
    seen = options;
    return cloned;
  };
  const { code, stdout } = await cli(
    ["clone", "web.fram", "-n", "8", "--overlay-dir", "/o", "--around", "4", "--verify", "--", "qemu", "-m", "1G"],
    { clone },
  );
  expect(seen).toMatchObject({
    ...{ file: "web.fram", count: 8, overlayDir: "/o", around: 4, verify: true, command: ["qemu", "-m", "1G"] },
  });
  expect(code).toBe(0);
  expect(stdout).toContain("/tmp/fixedram-clones-a, removed at the end");
  expect(stdout).toMatch(/^ +1 +loaded +4711 +12 ms +100 % of 211 MiB/m);
  expect(stdout).toContain("1  --qmp /run/fixedram-a/qmp.sock");
});

test("one that failed is named, and its failure is the exit code; one that was killed counts as QEMU's", async () => {
  const some = await cli(["clone", "web.fram", "-n", "2"], { clone: async () => clonedInPart });
  expect(some.code).toBe(4);
  expect(some.stdout).toMatch(/2 clones of .*, 1 failed/);
  expect(some.stdout).toContain("clone 2: failed: QEMU ended before it could be spoken to (code 1) (Address in use)");
  expect(some.stdout).toContain("all RAM in");
  const { result } = clonedInPart;
  const lost = { ...result, clones: result.clones.filter(({ state }) => state === "failed") };
  const none = await cli(["clone", "web.fram", "-n", "1"], { clone: async () => ({ ...clonedInPart, result: lost }) });
  expect(none.stdout).not.toContain("all RAM in");
  const end = { code: null, signal: "SIGKILL" };
  const clones = cloned.clones.map((each): CloneStatus => ({ ...each, state: "ended", end }));
  expect((await cli(["clone", "web.fram", "-n", "1"], { clone: async () => ({ ...cloned, clones }) })).code).toBe(4);
});

test.each([
  [["clone", "web.fram"], "usage.missing-option"],
  [["clone", "web.fram", "-n", "0"], "usage.bad-number"],
  [["clone", "web.fram", "-n", "257"], "usage.bad-number"],
  [["clone", "web.fram", "-n", "2", "--"], "usage.missing-argument"],
])("%j is refused", async (words, error) => {
  const dashes = words.indexOf("--");
  const argv = dashes < 0 ? [...words, "--json"] : [...words.slice(0, dashes), "--json", ...words.slice(dashes)];
  const { code, stdout } = await cli(argv);
  expect([code, JSON.parse(stdout).error.code]).toEqual([2, error]);
});

test("changes of state are told as they come, as lines or as JSON", async () => {
  const [first] = cloned.clones;
  if (first === undefined) throw new Error("no clone");
  const clone = async ({ onClone }: CloneOptions) => {
    for (const state of ["starting", "loading", "running", "running", "loaded"] as const)
      onClone?.({ ...first, state });
    return cloned;
  };
  const { stderr } = await cli(["clone", "web.fram", "-n", "1"], { clone });
  expect(stderr.split("\n").filter((line) => line.includes("clone 1:"))).toEqual([
    "note: clone 1: its QEMU starts",
    "note: clone 1: QEMU answers after 140 ms, pid 4711",
    "note: clone 1: the guest runs after 12 ms",
    "note: clone 1: all of its memory is in after 1.3 s",
  ]);
  const json = await cli(["clone", "web.fram", "-n", "1", "--json"], { clone });
  const states = json.stderr
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string; state: string });
  expect(states.map(({ type, state }) => `${type} ${state}`)).toEqual(
    ["starting", "loading", "running", "loaded"].map((state) => `clone ${state}`),
  );
});

test("on a terminal the table is drawn over itself, and taken away for what else is said", () => {
  let text = "";
  const output = { write: (more: string | Uint8Array) => (text += String(more)), isTTY: true, columns: 100 };
  const view = liveClones(output, colorsFor(output, { NO_COLOR: "1" }));
  const [first] = cloned.clones;
  if (first === undefined) throw new Error("no clone");
  view.note({ ...first, state: "running" });
  expect(text).toMatch(/clone +state.*\n +1 +running/);
  view.pause();
  expect(text.endsWith("\x1b[2A\x1b[J")).toBe(true);
  text = "";
  view.pause();
  expect(text).toBe("");
});
