import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { ConvertCall } from "../../src/cli/operations.ts";
import { encode, type Synthetic } from "../operations/synthetic.ts";
import { converted } from "./answers/files.ts";
import { cli, fakes } from "./fakes.ts";

test("the summary", async () => {
  const { code, stdout, stderr } = await cli(["convert", "old.stream", "web.fram"], fakes);
  expect([code, stderr]).toEqual([0, ""]);
  expect(`\n${stdout}`).toMatchInlineSnapshot(`
    "
    Converted old.stream (migration stream) to web.fram (fixed-ram)
      machine   pc-q35-7.2
      memory    131,072 pages: 54,016 data, 77,056 zero
      file      533 MiB, 211 MiB on disk
      time      420 ms, 502 MiB/s
      snapshot  6fd3a3c2-4f6e-4e1c-9f8e-0d5b8f3f2a11
      id        0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    "
  `);
});

test("of raw memory, and of a name that plays tricks", async () => {
  const raw = { ...converted, path: "out\x1b[2J", to: "raw" as const, uuid: null, id: null };
  const { stdout } = await cli(["convert", "a", "b", "--to", "raw"], { convert: async () => raw });
  expect(stdout).not.toContain("\x1b");
  expect(stdout).toContain("(raw memory)");
  expect(stdout).not.toMatch(/snapshot|\bid\b/);
});

test("options reach the operation", async () => {
  let given: ConvertCall | null = null;
  const convert = async (call: ConvertCall) => {
    given = call;
    return converted;
  };
  await cli(["convert", "a", "b", "--to", "libvirt-sparse", "--xml", "x.xml", "--force"], { convert });
  expect(given).toMatchObject({ input: "a", output: "b", to: "libvirt-sparse", xml: "x.xml", force: true });
});

test("standard output is the stream's alone", async () => {
  expect(await cli(["convert", "a", "-"], fakes)).toMatchObject({ code: 0, stdout: "", stderr: "" });
  for (const argv of [
    ["a", "-", "--json"],
    ["a", "b.fram", "--xml", "x"],
  ]) {
    const { code, stdout, stderr } = await cli(["convert", ...argv], fakes);
    expect([code, stdout + stderr]).toEqual([2, expect.stringContaining("usage.conflict")]);
  }
});

const small: Synthetic = {
  blocks: [["pc.ram", 64]],
  rounds: [
    [
      { kind: "zero", block: 0, page: 0, count: 64 },
      { kind: "page", block: 0, page: 5, fill: 7 },
    ],
  ],
};

/** bin/fixedram with these bytes on standard input, and what came out. */
async function piped(args: readonly string[], input: Uint8Array) {
  const bin = join(import.meta.dirname, "../../bin/fixedram");
  const child = spawn(process.execPath, [bin, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  const out: Buffer[] = [];
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const code = await new Promise((resolve) => child.once("close", resolve));
  return { code, stdout: Buffer.concat(out), stderr };
}

test.skipIf(!existsSync(join(import.meta.dirname, "../../dist/cli/main.cjs")))(
  "a stream from standard input into a file, and back to standard output",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "fixedram-pipe-"));
    try {
      const first = await piped(["convert", "-", join(folder, "a.fram")], encode(small));
      expect(first, first.stderr).toMatchObject({ code: 0, stderr: "" });
      const back = await piped(["convert", join(folder, "a.fram"), "-"], new Uint8Array(0));
      expect(back, back.stderr).toMatchObject({ code: 0, stderr: "" });
      const again = await piped(["convert", "-", join(folder, "b.fram"), "--json"], back.stdout);
      expect(JSON.parse(again.stdout.toString())).toMatchObject({ input: { container: "pipe" }, pages: { total: 64 } });
      // The first 1.25 MiB: head, bitmaps and pages.
      const [a, b] = ["a.fram", "b.fram"].map((name) =>
        readFileSync(join(folder, name)).subarray(0, 2 ** 20 + 2 ** 18),
      );
      expect(a?.equals(b ?? Buffer.alloc(0))).toBe(true);
      const broken = await piped(["convert", "-", join(folder, "c.fram")], encode(small).subarray(0, 3000));
      expect(broken.code).toBe(3);
      expect(readdirSync(folder).sort()).toEqual(["a.fram", "b.fram"]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);

test("a terminal is no stream", async () => {
  const { convertHere } = await import("../../src/cli/standard-streams.ts");
  const before = process.stdin.isTTY;
  process.stdin.isTTY = true;
  try {
    await expect(convertHere({ input: "-", output: "x.fram" })).rejects.toMatchObject({ code: "usage.terminal" });
  } finally {
    process.stdin.isTTY = before;
  }
});
