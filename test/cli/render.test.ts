import { describe, expect, test } from "vitest";
import { count, duration, percent, plural, rate, size, wrap } from "../../src/cli/render/format.ts";
import { Pace, progressLine } from "../../src/cli/render/progress.ts";
import { argument, safe } from "../../src/cli/render/safe.ts";
import { wantsColor } from "../../src/cli/terminal.ts";
import { FixedramError } from "../../src/errors.ts";
import { MiB } from "./answers/guests.ts";
import { cli } from "./fakes.ts";

test("numbers as people read them", () => {
  expect([size(0), size(1023), size(1.5 * MiB), size(1024 ** 4)]).toEqual(["0 B", "1023 B", "1.5 MiB", "1 TiB"]);
  expect([count(1234567), plural(1, "page"), plural(0, "page"), plural(2000, "page")]).toEqual([
    "1,234,567",
    "1 page",
    "0 pages",
    "2,000 pages",
  ]);
  expect([0, 1, 99_999, 100_000].map((part) => percent(part, 100_000))).toEqual(["0 %", "<0.1 %", ">99.9 %", "100 %"]);
  expect(percent(0, 0)).toBe("0 %");
  expect(
    [0.4, 999, 1900, 59_940, 59_960, 60_000, 125_000, 3_599_900, 12_000_000, 86_400_000, 180_000_000].map(duration),
  ).toEqual([
    "0 ms",
    "999 ms",
    "1.9 s",
    "59.9 s",
    "1 min",
    "1 min",
    "2 min 5 s",
    "1 h",
    "3 h 20 min",
    "1 day",
    "2 days 2 h",
  ]);
  expect([rate(0, 5), rate(MiB, 0), rate(MiB, 500)]).toEqual(["", "", "2 MiB/s"]);
  expect(wrap("aa bb cc", 5)).toEqual(["aa bb", "cc"]);
});

test("text from elsewhere can't move the cursor or hide anything", () => {
  expect(safe("a\x1b[2J\r\n\t\x9b\u202e\u2028\ud800ü€😀")).toBe("a\\x1b[2J\\r\\n\\t\\x9b\\u202e\\u2028\\ud800ü€😀");
  expect([argument("-m"), argument("a b"), argument("it's"), argument(""), argument("$x")]).toEqual([
    "-m",
    "'a b'",
    "'it'\\''s'",
    "''",
    "'$x'",
  ]);
});

test("NO_COLOR wins over FORCE_COLOR, which wins over the terminal", () => {
  const tty = { write: () => true, isTTY: true };
  const pipe = { write: () => true };
  expect([wantsColor(tty, {}), wantsColor(pipe, {})]).toEqual([true, false]);
  expect([wantsColor(tty, { NO_COLOR: "1" }), wantsColor(tty, { NO_COLOR: "" })]).toEqual([false, true]);
  expect([wantsColor(pipe, { FORCE_COLOR: "1" }), wantsColor(tty, { FORCE_COLOR: "0" })]).toEqual([true, false]);
  expect(wantsColor(pipe, { FORCE_COLOR: "1", NO_COLOR: "1" })).toBe(false);
  expect(wantsColor(tty, { TERM: "dumb" })).toBe(false);
});

describe("errors", () => {
  const failing = (error: unknown, env: Record<string, string> = {}, argv: string[] = []) =>
    cli(["info", "x", ...argv], { info: async () => Promise.reject(error) }, { env });

  test("say what, where, in whose words, and what to do", async () => {
    const error = new FixedramError("qemu.load-failed", "QEMU could not load the snapshot", {
      path: "we\x1bb.fram",
      offset: 1_048_576,
      block: "pc.r\xe4m",
      page: 12_345,
      expected: "4096",
      found: "8192",
      said: "qemu: Unknown ramblock\nqemu: load of migration failed\n",
      hint: "Give it the same machine type and RAM size as at the save: the info command shows both of them.",
    });
    const { code, stdout, stderr } = await failing(error);
    expect([code, stdout]).toEqual([4, ""]);
    expect(`\n${stderr}`).toMatchInlineSnapshot(`
      "
      error: QEMU could not load the snapshot [qemu.load-failed]
        found: 8192
        expected: 4096
        at: we\\x1bb.fram, byte 1,048,576 (0x100000), block pc.r\\xe4m, page 12,345
        QEMU says: qemu: Unknown ramblock
          qemu: load of migration failed
        try: Give it the same machine type and RAM size as at the save: the info
             command shows both of them.
      "
    `);
    expect(JSON.parse((await failing(error, {}, ["--json"])).stdout)).toEqual({
      schema: "fixedram/info/1",
      error: error.toJSON(),
    });
  });

  test("tell QEMU's words from the system's", async () => {
    const said = async (code: string, words: string) =>
      (await failing(new FixedramError(code, "m", { said: words }))).stderr.split("\n")[1];
    expect(await said("qmp.no-socket", "connect ENOENT /run/x")).toBe("  the system says: connect ENOENT /run/x");
    expect(await said("system.disk-full", "no space left")).toBe("  the system says: no space left");
    expect(await said("qmp.command", "Migration is disabled")).toBe("  QEMU says: Migration is disabled");
  });

  test.each([
    ["usage.x", 2],
    ["stream.x", 3],
    ["file.x", 3],
    ["seal.x", 3],
    ["qmp.x", 4],
    ["qemu.x", 4],
    ["guest.x", 4],
    ["system.x", 5],
    ["interrupted.x", 130],
  ])("%s exits with %d", async (code, exit) => expect((await failing(new FixedramError(code, "m"))).code).toBe(exit));

  test("a fault of our own asks for a report and shows no stack", async () => {
    const { code, stderr } = await failing(new TypeError("x is not a function"));
    expect(code).toBe(5);
    expect(`\n${stderr}`).toMatchInlineSnapshot(`
      "
      error: something went wrong inside fixedram [internal.error]
        found: TypeError: x is not a function
        try: Please report this with the command you ran; FIXEDRAM_DEBUG=1 shows
             where it happened.
      "
    `);
    expect((await failing("thrown text")).stderr).toContain("found: thrown text");
  });

  test("FIXEDRAM_DEBUG=1 shows where it happened", async () =>
    expect((await failing(new TypeError("x"), { FIXEDRAM_DEBUG: "1" })).stderr).toMatch(
      /TypeError: x\n {6}at .*render\.test/,
    ));

  test("after a signal the exit code is the signal's, and what the operation says about the guest is kept", async () => {
    const signals = {
      abort: AbortSignal.abort(),
      received: () => "SIGTERM" as const,
      handOver: () => undefined,
      hold: () => () => undefined,
    };
    const save = async () => Promise.reject(new FixedramError("guest.x", "the guest runs on"));
    const { code, stderr } = await cli(["save", "x", "--qmp", "q"], { save }, { signals });
    expect(code).toBe(143);
    expect(stderr).toBe("error: ended by SIGTERM [interrupted.signal]\n  found: the guest runs on\n");
  });
});

describe("the progress line", () => {
  const bar = (share: number) => `[${share}]`;
  const at = (bytes: number, elapsed: number, more = {}) => ({
    phase: "ram" as const,
    bytes,
    total: 512 * MiB,
    round: 1,
    elapsed,
    ...more,
  });

  test("has rate and time left once there is something to measure", () => {
    const pace = new Pace();
    expect(progressLine(at(0, 100), pace, bar, 100)).toBe("memory      [0]    0 %  0 B of 512 MiB");
    expect(progressLine(at(128 * MiB, 1100), pace, bar, 100)).toBe(
      "memory      [0.25]   25 %  128 MiB of 512 MiB  128 MiB/s  3.0 s left",
    );
    expect(progressLine(at(512 * MiB, 4100, { round: 2 }), pace, bar, 100)).toBe(
      "memory      [1]  100 %  512 MiB of 512 MiB  128 MiB/s  round 2",
    );
  });

  test("measures each phase by itself, knows no share without a total, and fits the line", () => {
    const pace = new Pace();
    pace.note(at(512 * MiB, 4000));
    expect(progressLine(at(0, 4100, { phase: "sync", total: 0 }), pace, bar, 100)).toBe("to disk   ");
    expect(progressLine(at(128 * MiB, 9000), new Pace(), bar, 20)).toHaveLength(19);
    expect(progressLine(at(600 * MiB, 9000), new Pace(), bar, 80)).toContain("100 %");
  });
});
