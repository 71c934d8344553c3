import { describe, expect, test } from "vitest";
import { commands } from "../../src/cli/definitions/index.ts";
import { resume } from "../../src/operations/resume.ts";
import { save } from "../../src/operations/save.ts";
import { cli } from "./fakes.ts";

async function complaint(...argv: string[]): Promise<string> {
  // The real ones: which options go together is theirs to say, before they touch anything.
  const { code, stdout, stderr } = await cli(argv, { save, resume });
  expect(code).toBe(2);
  expect(stdout).toBe("");
  return `\n${stderr}`.replace(commands.map(({ name }) => name).join(", "), "(every command)");
}

describe("what is wrong with the command line is said in our words, with what was probably meant", () => {
  test("a misspelt command", async () =>
    expect(await complaint("sav")).toMatchInlineSnapshot(`
    "
    error: there is no command sav [usage.unknown-command]
      try: Did you mean save?
    "
  `));
  test("an unknown command", async () =>
    expect(await complaint("frobnicate")).toMatchInlineSnapshot(`
      "
      error: there is no command frobnicate [usage.unknown-command]
        expected: (every command)
        try: fixedram --help shows what there is.
      "
    `));
  test("help on an unknown command", async () =>
    expect(await complaint("help", "frobnicate")).toMatchInlineSnapshot(`
      "
      error: there is no command frobnicate [usage.unknown-command]
        expected: (every command)
        try: fixedram --help shows what there is.
      "
    `));
  test("no command", async () =>
    expect(await complaint()).toMatchInlineSnapshot(`
      "
      error: a command is missing [usage.missing-command]
        expected: (every command)
        try: fixedram --help shows what there is.
      "
    `));
  test("a misspelt option", async () =>
    expect(await complaint("save", "x", "--qpm", "z")).toMatchInlineSnapshot(`
      "
      error: fixedram save has no option --qpm [usage.unknown-option]
        try: Did you mean --qmp?
      "
    `));
  test("a missing argument", async () =>
    expect(await complaint("save")).toMatchInlineSnapshot(`
    "
    error: OUT is missing [usage.missing-argument]
      try: fixedram save web.fram --qmp /run/web.qmp
    "
  `));
  test("a missing option", async () =>
    expect(await complaint("save", "x")).toMatchInlineSnapshot(`
    "
    error: --qmp is missing [usage.missing-option]
      expected: --qmp SOCKET
      try: fixedram save web.fram --qmp /run/web.qmp
    "
  `));
  test("a missing value", async () =>
    expect(await complaint("save", "x", "--qmp")).toMatchInlineSnapshot(`
    "
    error: --qmp wants a value [usage.missing-value]
      expected: --qmp SOCKET
      try: fixedram save --help shows what there is.
    "
  `));
  test("an empty value", async () =>
    expect(await complaint("save", "x", "--qmp", "")).toMatchInlineSnapshot(`
      "
      error: --qmp is empty [usage.empty]
        try: Often a variable of the shell's that is not set: give a real value.
      "
    `));
  test("an empty argument", async () =>
    expect(await complaint("info", "")).toMatchInlineSnapshot(`
      "
      error: FILE is empty [usage.empty]
        try: Often a variable of the shell's that is not set: give a real value.
      "
    `));
  test("too many arguments", async () =>
    expect(await complaint("info", "a", "b")).toMatchInlineSnapshot(`
    "
    error: there are more arguments than fixedram info takes [usage.extra-argument]
      try: fixedram info --help shows what there is.
    "
  `));
  test("a QEMU command without --", async () =>
    expect(await complaint("resume", "a", "qemu")).toMatchInlineSnapshot(`
    "
    error: there are more arguments than fixedram resume takes [usage.extra-argument]
      try: A QEMU command stands after --: fixedram resume FILE -- QEMU-COMMAND
           ...
    "
  `));
  test("nothing after --", async () =>
    expect(await complaint("resume", "a", "--")).toMatchInlineSnapshot(`
    "
    error: there is no QEMU command after -- [usage.missing-argument]
      expected: fixedram resume FILE -- QEMU-COMMAND ...
    "
  `));
  test("an unknown value", async () =>
    expect(await complaint("save", "x", "--qmp", "y", "--mode", "fast")).toMatchInlineSnapshot(`
      "
      error: --mode knows no such value [usage.bad-choice]
        found: fast
        expected: stop, live, background
      "
    `));
  test("an unknown shell", async () =>
    expect(await complaint("completions", "ksh")).toMatchInlineSnapshot(`
    "
    error: SHELL knows no such value [usage.bad-choice]
      found: ksh
      expected: bash, zsh, fish, powershell
    "
  `));
  test("a bad size", async () =>
    expect(await complaint("save", "x", "--qmp", "y", "--max-bandwidth", "-5M")).toMatchInlineSnapshot(`
      "
      error: --max-bandwidth is not a size [usage.bad-size]
        found: -5M
        expected: a number and a unit, such as 500M, 1.5GiB or 64K; at least one byte
      "
    `));
  test("a bad time", async () =>
    expect(await complaint("save", "x", "--qmp", "y", "--mode", "live", "--max-time", "30")).toMatchInlineSnapshot(`
      "
      error: --max-time is not a length of time [usage.bad-time]
        found: 30
        expected: numbers with units, such as 30s, 5m, 1h30m or 500ms; more than nothing
      "
    `));
  test("a bad number", async () =>
    expect(await complaint("map", "x", "--width", "3")).toMatchInlineSnapshot(`
    "
    error: --width is not a number that fits [usage.bad-number]
      found: 3
      expected: a whole number, 10 at least, 10000 at most
    "
  `));
  test("live options with another mode", async () =>
    expect(await complaint("save", "x", "--qmp", "y", "--max-time", "30s")).toMatchInlineSnapshot(`
      "
      error: --max-time is for --mode live only [usage.live-only]
        found: --mode stop
        try: With --mode stop the guest stands still and there is one pass: nothing
             to limit. Leave --max-time out, or use --mode live.
      "
    `));
  test("background and quit", async () =>
    expect(await complaint("save", "x", "--qmp", "y", "--mode", "background", "--then", "quit")).toMatchInlineSnapshot(`
      "
      error: --then quit does not go with --mode background [usage.background-then]
        expected: --then resume, or another mode
        try: A background snapshot shows the guest as it was at the start, and the
             guest runs on meanwhile: what it did since would be in no file. Use
             --mode stop or --mode live.
      "
    `));
  test("two QEMUs for one guest", async () =>
    expect(await complaint("resume", "x", "--qmp", "y", "--run-recorded", "--", "qemu")).toMatchInlineSnapshot(`
      "
      error: the guest can go into one QEMU only [usage.conflict]
        found: --qmp and --run-recorded and a QEMU command after --
        expected: one of --qmp, --run-recorded and a QEMU command after --
      "
    `));
});

test("each live option is refused with each other mode", async () => {
  for (const mode of ["stop", "background"]) {
    for (const option of [
      ["--max-time", "30s"],
      ["--max-rounds", "3"],
      ["--on-limit", "abort"],
    ]) {
      const { code, stderr } = await cli(["save", "x", "--qmp", "y", "--mode", mode, ...option], { save });
      expect([code, stderr]).toEqual([
        2,
        expect.stringContaining(`${option[0]} is for --mode live only [usage.live-only]`),
      ]);
    }
  }
});

test("with --json a complaint is an object on standard output, of the command that was meant", async () => {
  const { code, stdout, stderr } = await cli(["map", "x", "--json", "--width", "x"]);
  expect([code, stderr]).toEqual([2, ""]);
  expect(JSON.parse(stdout)).toEqual({
    schema: "fixedram/map/1",
    error: {
      code: "usage.bad-number",
      message: "--width is not a number that fits",
      found: "x",
      expected: "a whole number, 10 at least, 10000 at most",
    },
  });
  expect(JSON.parse((await cli(["--json", "frob"])).stdout)).toMatchObject({ schema: "fixedram/error/1" });
});

test("--json after -- is QEMU's, not ours", async () => {
  const { stdout, stderr } = await cli(["resume", "x", "--qmp", "y", "--", "qemu", "--json"], { resume });
  expect(stdout).toBe("");
  expect(stderr).toContain("usage.conflict");
});

test("what the parser complains about in words we do not know is passed on", async () => {
  const { CommanderError } = await import("commander");
  const { usageError } = await import("../../src/cli/usage.ts");
  const error = usageError(
    new CommanderError(1, "commander.conflictingOption", "error: these two do not go"),
    "save",
    [],
  );
  expect(error.toJSON()).toEqual({
    code: "usage.wrong",
    message: "these two do not go",
    hint: "fixedram save --help shows what there is.",
  });
});
