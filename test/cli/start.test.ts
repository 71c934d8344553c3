import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const dist = join(import.meta.dirname, "../../dist");

/** Loads a program as it is started, in a process of its own; whether V8 refused its code cache. */
function refused(program: string, ...flags: string[]): boolean | undefined {
  const script = `
    const { compile } = require(${JSON.stringify(join(dist, "start.cjs"))});
    const { script, run } = compile(${JSON.stringify(program)});
    run();
    console.log(String(script.cachedDataRejected));
  `;
  const said = execFileSync(process.execPath, [...flags, "-e", script], { encoding: "utf8", env: {} }).trim();
  return { true: true, false: false }[said];
}

describe.each(["cli/main", "operations/lazy/server"])("the built program %s", (name) => {
  const program = join(dist, `${name}.program.cjs`);

  test("is started with what V8 made of it at the build", () => {
    expect(refused(program)).toBe(false);
  });

  test("starts without that too, and under flags for which it was not made", () => {
    const bare = join(dist, `${name}.bare.cjs`);
    copyFileSync(program, bare);
    try {
      expect(refused(bare)).toBeUndefined();
    } finally {
      rmSync(bare);
    }
    expect(refused(program, "--no-opt", "--stress-lazy-source-positions")).toBe(true);
  });

  test("starts when it has been cut short", () => {
    const copy = join(dist, `${name}.cut.cjs`);
    copyFileSync(program, copy);
    const cache = readFileSync(`${program}.cache`);
    writeFileSync(`${copy}.cache`, cache.subarray(0, cache.length / 2));
    try {
      expect(refused(copy)).toBe(true);
    } finally {
      for (const path of [copy, `${copy}.cache`]) rmSync(path);
    }
  });
});
