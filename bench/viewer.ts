/**
 * The viewer in Debian's Chromium, by itself: `node --import tsx bench/viewer.ts [GIB]`. One JSON object: milliseconds from asking for the page until
 * its first map is whole (each load anew), and frames while the map is panned and zoomed, at three zoom levels.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { FixedRamWriter } from "../src/fixedram/writer.ts";
import { TargetFile } from "../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../test/fixedram/sample.ts";

const loads = 9;
const panTime = 3000;

/** A guest of `gib` GiB with 64 MiB of data in 4096 stretches all over it: many extents, little to write. */
async function makeGuest(path: string, gib: number): Promise<void> {
  const pages = gib * 2 ** 18;
  const writer = new FixedRamWriter(
    TargetFile.create(path),
    configuration(),
    ramStart(["pc.ram", pages], ["vga", 4096]),
  );
  const [ram] = writer.blocks;
  if (ram === undefined) throw new Error("no block");
  const apart = pages / 4096;
  for (let i = 0; i < 4096; i++)
    writer.writePages(
      batch(
        ram,
        [0, 1, 2, 3].map((k): [number, number] => [i * apart + k, (i % 250) + 1]),
      ),
    );
  writer.tail(tail());
  const memoryMap = [{ start: 0, length: pages * 4096, block: "pc.ram", offset: 0 }];
  await writer.finish({ ...meta, memoryMap });
}

async function startViewer(file: string) {
  const command = [join(import.meta.dirname, "../bin/fixedram"), "view", file, "--no-open", "--json"];
  const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "inherit"] });
  const text = await new Promise<string>((resolve) =>
    child.stdout.once("data", (chunk: Buffer) => resolve(String(chunk))),
  );
  return { url: (JSON.parse(text) as { url: string }).url, stop: () => child.kill("SIGINT") };
}

async function firstMap(page: Page, url: string): Promise<number> {
  await page.goto("about:blank");
  await page.goto(url);
  await page.waitForSelector("html[data-drawn]", { state: "attached" });
  return Number(await page.evaluate("document.documentElement.dataset.drawn"));
}

/** Pans to and fro for a while, a step each frame. Returns the milliseconds between frames. */
async function pan(page: Page): Promise<number[]> {
  return page.evaluate<number[]>(`new Promise((resolve) => {
    const canvas = document.querySelector("canvas.map");
    const gaps = [];
    const began = performance.now();
    let last = began;
    const turn = (now) => {
      gaps.push(now - last);
      last = now;
      const step = Math.floor((now - began) / 500) % 2 === 0 ? 9 : -9;
      canvas.dispatchEvent(new WheelEvent("wheel", { deltaX: step, shiftKey: true, bubbles: true, cancelable: true }));
      if (now - began < ${panTime}) requestAnimationFrame(turn);
      else resolve(gaps.slice(2));
    };
    requestAnimationFrame(turn);
  })`);
}

function summary(gaps: readonly number[]) {
  const sorted = [...gaps].sort((a, b) => a - b);
  const at = (part: number) => Number((sorted[Math.floor((sorted.length - 1) * part)] ?? 0).toFixed(1));
  const whole = gaps.reduce((sum, gap) => sum + gap, 0);
  return { perSecond: Number(((gaps.length / whole) * 1000).toFixed(1)), p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

const gib = Number(process.argv[2] ?? 4);
const folder = mkdtempSync(join(tmpdir(), "fixedram-bench-viewer-"));
try {
  const file = join(folder, "guest.fram");
  await makeGuest(file, gib);
  const viewer = await startViewer(file);
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"],
  });
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
  const first: number[] = [];
  for (let i = 0; i < loads; i++) first.push(await firstMap(page, viewer.url));
  const frames: Record<string, object> = {};
  for (const [name, keys] of [
    ["all of it", 0],
    ["16 times nearer", 4],
    ["128 times nearer", 3],
  ] as const) {
    for (let i = 0; i < keys; i++) await page.keyboard.press("+");
    await page.waitForTimeout(600);
    frames[name] = summary(await pan(page));
  }
  const median = [...first].sort((a, b) => a - b)[Math.floor(loads / 2)];
  console.log(
    JSON.stringify({
      gib,
      processors: availableParallelism(),
      load: loadavg()[0],
      firstMap: { median, all: first },
      frames,
    }),
  );
  await browser.close();
  viewer.stop();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
