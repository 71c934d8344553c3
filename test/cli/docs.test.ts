import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { commands, exitCodes, programOptions } from "../../src/cli/definitions/index.ts";
import { manPage } from "../../src/cli/generate/man.ts";
import { cli, fakes } from "./fakes.ts";

const root = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");
const page = read("docs/cli.md");
const man = read("man/fixedram.1");

/** The part of a markdown text from one heading to the next of its rank. */
function section(heading: string): string {
  const [, after = ""] = page.split(`\n## ${heading}\n`);
  return after.split("\n## ")[0] ?? "";
}

const everywhere = ["json", "quiet", "help"];

describe.each(commands)("$name", (command) => {
  test("docs/cli.md, --help and the man page name the same options", async () => {
    const help = (await cli([command.name, "--help"])).stdout;
    const common = section("Options of every command");
    const inHelp = [...(help.split("\nExamples:")[0]?.matchAll(/^ {2}(?:-\w, )?--([\w-]+)/gm) ?? [])].map(
      (match) => match[1],
    );
    const inPage = [...section(command.name).matchAll(/^\| (?:`-\w`, )?`--([\w-]+)/gm)].map((match) => match[1]);
    const inCommon = [...common.matchAll(/`--([\w-]+)`/gm)].map((match) => match[1]);
    const names = command.options.map((option) => option.name);
    expect(inHelp).toEqual(names);
    expect(inPage).toEqual(names.filter((name) => !everywhere.includes(name)));
    for (const name of everywhere) expect(inCommon).toContain(name);
    const manual = man.split(`\n.SH ${command.name.toUpperCase()}\n`)[1]?.split("\n.SH ")[0] ?? "";
    for (const name of names) expect(manual).toContain(`\\-\\-${name.replaceAll("-", "\\-")}\\fR`);
    for (const option of command.options) {
      for (const choice of option.value?.choices ?? []) {
        for (const text of [help, section(command.name)]) expect(text).toContain(choice);
        expect(manual).toContain(choice.replaceAll("-", "\\-"));
      }
    }
  });

  test("--help has two examples that the parser takes", async () => {
    const help = (await cli(["help", command.name])).stdout;
    expect(command.examples).toHaveLength(2);
    for (const example of command.examples) {
      expect(help).toContain(example.command);
      const words = (/fixedram ([^|>)]*)/.exec(example.command)?.[1] ?? "").trim().split(" ");
      const { code, stderr } = await cli(words, fakes);
      const told = stderr.split("\n").filter((line) => line !== "" && !line.startsWith("note: "));
      expect([example.command, code, told]).toEqual([example.command, 0, []]);
    }
  });

  test("its JSON is documented field by field", async () => {
    const words = (/fixedram ([^|>)]*)/.exec(command.examples[0]?.command ?? "")?.[1] ?? "").trim().split(" ");
    const dashes = words.indexOf("--");
    const argv = dashes < 0 ? [...words, "--json"] : [...words.slice(0, dashes), "--json", ...words.slice(dashes)];
    const { schema, ...answer } = JSON.parse((await cli(argv, fakes)).stdout);
    expect(schema).toBe(`fixedram/${command.name}/1`);
    const [, after = ""] = page.split(`\n### ${schema}\n`);
    const fields = after.split("\n### ")[0] ?? "";
    for (const name of fieldNames(answer)) expect(fields, name).toMatch(new RegExp(`[\`.]${name}(\\[\\])?\``));
  });
});

/** Names of all fields, the deepest alone. */
function fieldNames(value: unknown): string[] {
  if (Array.isArray(value))
    return value.slice(0, 1).flatMap((each) => (typeof each === "object" ? fieldNames(each) : []));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const below = fieldNames(inner);
    return below.length === 0 ? [name] : below;
  });
}

test("fixedram --help, the man page and docs/cli.md list every command, exit code and option without a command", async () => {
  const { code, stdout } = await cli(["--help"]);
  expect(code).toBe(0);
  for (const command of commands) {
    expect(stdout).toContain(`  ${command.name} `);
    expect(page).toContain(`\nfixedram ${command.name}`);
    expect(man).toContain(`.B ${command.name}\n`);
  }
  for (const { code: number, text } of exitCodes) {
    expect(stdout).toMatch(new RegExp(`^  ${number} +${text.replace(/[()]/g, "\\$&")}$`, "m"));
    expect(page).toContain(`| ${number} | ${text} |`);
    expect(man).toContain(`.B ${number}\n`);
  }
  for (const option of programOptions) for (const text of [stdout, page]) expect(text).toContain(`--${option.name}`);
});

test("help for every command is the same by both ways, and fits 80 columns but for commands to be copied", async () => {
  for (const command of commands) {
    const { code, stdout } = await cli(["help", command.name]);
    expect(code).toBe(0);
    expect((await cli([command.name, "-h"])).stdout).toBe(stdout);
    for (const line of stdout.split("\n")) if (!line.startsWith("  fixedram ")) expect(line.length).toBeLessThan(80);
  }
});

describe("the man page", () => {
  test("is what the definitions give", () =>
    expect(man, "run: node --import tsx script/cli-files.ts").toBe(manPage(JSON.parse(read("package.json")).version)));

  const hasMan = spawnSync("man", ["--version"]).error === undefined;
  test.skipIf(!hasMan)("is read by man without a warning", () => {
    const path = fileURLToPath(new URL("man/fixedram.1", root));
    const { status, stderr, stdout } = spawnSync("man", ["-l", "--warnings", path], {
      encoding: "utf8",
      env: { ...process.env, MANWIDTH: "80" },
    });
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("SYNOPSIS");
  });
});

describe("docs/errors", () => {
  const sources = readdirSync(new URL("src", root), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  const areas = "stream|file|seal|qmp|qemu|guest|system|usage|interrupted|internal";
  /** Paths in QEMU's JSON and the like, which look the same. */
  const others = new Set(["file.driver", "file.filename", "qmp.sock", "qemu.option-removed"]);
  /** Put together in src from an area or a kind. */
  const used = new Set([
    ...["seal.number-too-large", "seal.out-of-bounds", "stream.out-of-bounds"],
    ...["folder", "pipe", "socket", "device"].map((kind) => `usage.target-is-${kind}`),
  ]);
  for (const name of sources) {
    for (const match of read(`src/${name}`).matchAll(new RegExp(`"((?:${areas})\\.[a-z0-9]+(?:-[a-z0-9]+)*)"`, "g"))) {
      const code = match[1] ?? "";
      if (!others.has(code)) used.add(code);
    }
  }
  const listed = new Map<string, string>();
  for (const name of readdirSync(new URL("docs/errors", root))) {
    for (const match of read(`docs/errors/${name}`).matchAll(/^- `([^`]+)`: (.*)$/gm)) {
      expect(listed.has(match[1] ?? ""), `${match[1]} is listed twice`).toBe(false);
      listed.set(match[1] ?? "", match[2] ?? "");
    }
  }

  test("list every code that the source has, and no other", () => {
    expect([...used].filter((code) => !listed.has(code)).sort(), "in src, not in docs/errors").toEqual([]);
    expect([...listed.keys()].filter((code) => !used.has(code)).sort(), "in docs/errors, not in src").toEqual([]);
  });

  test("say of each what to do", () => {
    for (const [code, text] of listed) expect(text.length, code).toBeGreaterThan(20);
  });
});
