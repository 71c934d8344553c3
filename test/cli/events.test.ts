/** Where --events goes: what is named there holds up nothing, and is never the snapshot. */
import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  linkSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openEvents } from "../../src/cli/events.ts";
import type { Activity } from "../../src/operations/resume-lazy.ts";
import { lazilyResumed } from "./answers/guests.ts";
import { cli } from "./fakes.ts";

const one: Activity = ["fault", 0, 17, 1, 1000.12345, 23.4];
const line = '{"time":1000.123,"kind":"fault","block":0,"page":17,"pages":1,"took":23}\n';

function scene(): { readonly folder: string; readonly file: string } {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-events-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "web.fram");
  writeFileSync(file, "a guest");
  return { folder, file };
}

test("a file is emptied, and gets a line for each", () => {
  const { folder, file } = scene();
  const path = join(folder, "events");
  writeFileSync(path, "x".repeat(10_000));
  const events = openEvents(path, file);
  events.write([one, one]);
  expect(events.close()).toBe(0);
  expect(readFileSync(path, "utf8")).toBe(line + line);
});

test("the snapshot is refused under any of its names, and is as it was", async () => {
  const { folder, file } = scene();
  const other = join(folder, "other");
  linkSync(file, other);
  for (const path of [file, other]) {
    const words = ["resume", file, "--lazy", "--json", "--events", path, "--", "qemu"];
    const run = await cli(words, { resumeLazy: async () => lazilyResumed });
    expect(run.code).toBe(2);
    expect(JSON.parse(run.stdout)).toMatchObject({ error: { code: "usage.same-file", path } });
  }
  expect(readFileSync(file, "utf8")).toBe("a guest");
});

test("a pipe without a reader, or with one that stalls, is not waited for: whole lines come, the rest is counted", async () => {
  const { folder, file } = scene();
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  const batches = 500;
  let came = "";
  const resumeLazy = async (options: { readonly onActivity?: (batch: readonly Activity[]) => void }) => {
    const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const drain = () => {
      const buffer = Buffer.alloc(1 << 20);
      for (let got = 1; got > 0; ) {
        try {
          got = readSync(read, buffer);
          came += buffer.toString("utf8", 0, got);
        } catch {
          return;
        }
      }
    };
    for (let i = 0; i < batches; i++) options.onActivity?.(Array.from({ length: 10 }, () => one));
    drain();
    options.onActivity?.([one]);
    drain();
    closeSync(read);
    return lazilyResumed;
  };
  const run = await cli(["resume", file, "--lazy", "--events", path, "--qmp", "q"], { resumeLazy });
  expect(run.code, run.stderr).toBe(0);
  const lines = came.length / line.length;
  expect(came).toBe(line.repeat(lines));
  expect(lines).toBeGreaterThan(100);
  expect(run.stderr).toContain(`${10 * batches + 1 - lines} events are missing`);
});
