import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { commands } from "../../src/cli/definitions/index.ts";
import { completionScript, type Shell, shells } from "../../src/cli/generate/completions.ts";
import { cli } from "./fakes.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-completions-"));
  mkdirSync(join(folder, "snaps dir"));
  for (const name of ["a b.fram", "web.fram", "web.qmp", "notes.txt"]) writeFileSync(join(folder, name), "");
  for (const shell of shells) writeFileSync(join(folder, `.${shell}`), completionScript(shell));
});
afterAll(() => rmSync(folder, { recursive: true }));

function has(program: string): boolean {
  return spawnSync(program, ["--version"]).error === undefined;
}

/** What bash offers for these words, the last of which is being typed; split as bash splits them. */
function bash(...words: string[]): string[] {
  const harness = `source ./.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fixedram; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const out = execFileSync("bash", ["--norc", "-c", harness, "bash", "fixedram", ...words], {
    cwd: folder,
    encoding: "utf8",
  });
  return out
    .split("\n")
    .filter((line) => line !== "")
    .sort();
}

describe("bash", () => {
  test("commands", () => {
    expect(bash("")).toEqual([...commands.map(({ name }) => name), "help"].sort());
    expect(bash("res")).toEqual(["resume"]);
    expect(bash("--")).toEqual(["--help", "--version"]);
    expect(bash("help", "sa")).toEqual(["save"]);
  });
  test("options of the command", () => {
    expect(bash("save", "--max")).toEqual(["--max-bandwidth", "--max-rounds", "--max-time"]);
    expect(bash("map", "web.fram", "--w")).toEqual(["--width"]);
    expect(bash("info", "--w")).toEqual([]);
  });
  test("values, after a space and after =", () => {
    expect(bash("save", "--mode", "")).toEqual(["background", "live", "stop"]);
    expect(bash("save", "--mode", "=", "l")).toEqual(["live"]);
    expect(bash("save", "--mode", "=")).toEqual(["background", "live", "stop"]);
    expect(bash("save", "--max-time", "")).toEqual([]);
    expect(bash("completions", "z")).toEqual(["zsh"]);
  });
  test("files, of the kind that is wanted, blanks and all", () => {
    expect(bash("info", "")).toEqual(["a b.fram", "snaps dir", "web.fram"]);
    expect(bash("save", "--qmp", "web")).toEqual(["web.fram", "web.qmp"]);
    expect(bash("save", "--socket-dir", "s")).toEqual(["snaps dir"]);
  });
  test("after -- a command of its own", () => {
    expect(bash("resume", "web.fram", "--", "bas")).toContain("bash");
    expect(bash("resume", "web.fram", "--", "qemu", "-drive", "no")).toEqual(["notes.txt"]);
    expect(bash("resume", "web.fram", "--", "qemu", "--pau")).toEqual([]);
  });
  test("nothing is found twice with bash -u, and the script is quiet when it is read", () => {
    expect(
      spawnSync("bash", ["--norc", "-uc", "source ./.bash && complete -p fixedram"], { cwd: folder, encoding: "utf8" }),
    ).toMatchObject({
      stdout: "complete -F _fixedram fixedram\n",
      stderr: "",
    });
  });
});

/** Tests for shells that are not everywhere: skipped, not passed, where they are missing. */
describe.skipIf(!has("fish"))("fish", () => {
  const fish = (line: string): string[] => {
    const out = execFileSync("fish", ["-N", "-c", `source ./.fish; complete -C '${line}'`], {
      cwd: folder,
      encoding: "utf8",
    });
    return out
      .split("\n")
      .filter((each) => each !== "")
      .map((each) => each.split("\t")[0] ?? "");
  };
  test("commands, options, values, files", () => {
    expect(fish("fixedram res")).toEqual(["resume"]);
    expect(fish("fixedram save --max")).toEqual(["--max-bandwidth", "--max-rounds", "--max-time"]);
    expect(fish("fixedram save --mode ").sort()).toEqual(["background", "live", "stop"]);
    // fish puts the wanted suffix first and the rest behind it.
    expect(fish("fixedram info w")[0]).toBe("web.fram");
    expect(fish("fixedram resume web.fram -- qemu no")).toEqual(["notes.txt"]);
  });
});

describe.skipIf(!has("zsh"))("zsh", () => {
  test("the script is read without a word", () =>
    expect(
      spawnSync("zsh", ["-fc", "autoload -Uz compinit && compinit -u -D && source ./.zsh && echo $_comps[fixedram]"], {
        cwd: folder,
        encoding: "utf8",
      }),
    ).toMatchObject({ stdout: "_fixedram\n", stderr: "" }));
});

test("the command prints the script, and the files in completions/ are what it prints", async () => {
  const names: Record<Shell, string> = {
    bash: "fixedram.bash",
    zsh: "_fixedram",
    fish: "fixedram.fish",
    powershell: "fixedram.ps1",
  };
  for (const shell of shells) {
    const { code, stdout, stderr } = await cli(["completions", shell]);
    expect([code, stderr]).toEqual([0, ""]);
    const file = readFileSync(new URL(`../../completions/${names[shell]}`, import.meta.url), "utf8");
    expect(file, "run: node --import tsx script/cli-files.ts").toBe(stdout);
    expect(JSON.parse((await cli(["completions", shell, "--json"])).stdout)).toEqual({
      schema: "fixedram/completions/1",
      shell,
      script: stdout,
    });
  }
});
