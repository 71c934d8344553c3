/** The code in docs/guides/library.md does what it says. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";
import { encode } from "../operations/synthetic.ts";

const root = join(import.meta.dirname, "../..");
const guide = readFileSync(join(root, "docs/guides/library.md"), "utf8");
const blocks = [...guide.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");

test("there are blocks", () => expect(blocks.length).toBe(3));

test.each(blocks.map((code, i) => [i + 1, code] as const))("block %i runs", async (_number, code) => {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-guide-"));
  try {
    const path = join(folder, "in.stream");
    const rounds = [[{ kind: "page", block: 0, page: 3, fill: 7 } as const]];
    writeFileSync(path, encode({ blocks: [["pc.ram", 64]], rounds }));
    const said: unknown[] = [];
    const imports = [...code.matchAll(/import (\{[^}]*\}) from "([^"]+)";\n/g)].map(
      ([, names, from]) => `const ${names} = await load("${from}");\n`,
    );
    const body = imports.join("") + code.replaceAll(/import [^;]*;\n/g, "");
    const { outputText } = ts.transpileModule(`export default async (load, path, out, console) => {${body}};`, {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
    });
    const file = join(folder, "block.mjs");
    writeFileSync(file, outputText);
    const { default: run } = await import(/* @vite-ignore */ file);
    const load = (name: string) => (name === "fixedram" ? import("../../src/index.ts") : import(name));
    await run(load, path, join(folder, "out.fram"), { log: (...words: unknown[]) => said.push(...words) });
    expect(said.length).toBeGreaterThan(0);
    if (code.includes("convert(")) expect(existsSync(join(folder, "out.fram"))).toBe(true);
    if (code.includes("walk(")) expect(said).toEqual([4096]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
