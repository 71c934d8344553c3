/** What goes on, watched in a real browser: a real guest that resumes lazily, and one that is saved while it works. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import type { SaveResult } from "../../src/operations/save.ts";
import { QmpClient } from "../../src/qmp/client.ts";
import { swatches } from "../../src/viewer/shared/palette.ts";
import {
  type Guest,
  qemu,
  Serial,
  type Status,
  startFixedram,
  startGuest,
  testFolder,
  verdictOf,
} from "../qemu/harness/index.ts";
import { expectWell, resumeCommand, save } from "../qemu/support/steps.ts";
import { colorsOf, expectColor, type Opened, openBrowser, openMap, picture } from "./browser.ts";

const folder = testFolder();
const file = join(folder, "guest.fram");
let guest: Guest;
let before: Status;
let browser: Opened;

beforeAll(async () => {
  guest = await startGuest({ qemu: qemu("new"), kind: "boot", memory: 256, still: 96, dirtyRate: 200 });
  before = await guest.ready(30_000);
  browser = await openBrowser();
});
afterAll(() => browser.context.close());
beforeEach(() => {
  browser.complaints.length = 0;
});
afterEach(async () => {
  const complaints = [...browser.complaints];
  await browser.page.goto("about:blank");
  expect(complaints).toEqual([]);
});

const page = () => browser.page;
const text = (selector: string) => page().locator(selector).innerText();

/** A command with `--view`, and the page's address as soon as it is told. */
async function startViewing(args: readonly string[]) {
  const { child, ended } = startFixedram(args);
  const heard = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (said: string) => {
      heard[name] += said;
    });
  }
  const until = async (name: "stdout" | "stderr", pattern: RegExp): Promise<string> => {
    let found: RegExpExecArray | null = null;
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        found = pattern.exec(heard[name]);
        if (found !== null) resolve();
      };
      child[name].on("data", look);
      ended.then((run) => reject(new Error(`fixedram ended with ${run.code}: ${run.stdout}${run.stderr}`)), reject);
      look();
    });
    return found?.[1] ?? found?.[0] ?? "";
  };
  const url = await until("stderr", /"code":"view","message":"([^"]+)"/);
  return { url, until, ended, interrupt: () => void child.kill("SIGINT") };
}

test("a lazy resume is seen to its end, and scrubbed back", { timeout: 240_000 }, async () => {
  await save(guest, file);
  const { argv, serialPath } = resumeCommand({ ...guest.options });
  // What the guest prints also goes to QEMU's standard output.
  const place = argv.findIndex((word) => word.startsWith("socket,id=serial0"));
  const both = ["-chardev", "stdio,id=out", "-chardev", "hub,id=serial0,chardevs.0=line,chardevs.1=out"];
  const command = [
    ...argv.slice(0, place),
    (argv[place] ?? "").replace("id=serial0", "id=line"),
    ...both,
    ...argv.slice(place + 1),
  ];
  const slowly = ["--push-rate", "2M", "--around", "4", "--prefetch", "none"];
  const run = await startViewing([
    "resume",
    file,
    "--lazy",
    "--json",
    "--view",
    "--no-open",
    ...slowly,
    "--",
    ...command,
  ]);
  await openMap(page(), run.url);
  expect(await text('.modes [aria-selected="true"]')).toBe("Live");
  const pid = Number(await run.until("stderr", /"code":"running","message":"[^"]*QEMU's pid (\d+)/));
  onTestFinished(() => {
    if (existsSync(`/proc/${pid}`)) process.kill(pid, "SIGKILL");
  });
  for (const name of ["waiting", "pushed"] as const) await expectColor(page(), swatches[name].dark);
  const faulted = page().locator(".legend button", { hasText: "faulted" }).locator(".figure");
  await expect.poll(async () => Number((await faulted.innerText()).replaceAll(",", ""))).toBeGreaterThan(0);
  await expect.poll(() => text(".timeline .going")).toBe("going on");
  const serial = await Serial.connect(serialPath, 10_000);
  const asked = verdictOf(serial, "boot");
  await picture(page(), "live-resume-dark");
  await expect.poll(() => text(".timeline .good"), { timeout: 60_000 }).toBe("All of the guest's memory is in.");
  const answer = JSON.parse(await run.until("stdout", /^\{.*\}$/m)) as {
    faults: { served: number };
    process: { qmp: string };
  };
  const faults = page().locator(".timeline dl div", { hasText: "faults" }).locator("dd");
  expect(Number((await faults.innerText()).replaceAll(",", ""))).toBe(answer.faults.served);
  await picture(page(), "live-resume-end-dark");
  const waiting = [1, 3, 5].map((at) => Number.parseInt(swatches.waiting.dark.slice(at, at + 2), 16)).join(",");
  await expect.poll(async () => (await colorsOf(page())).get(waiting) ?? 0).toBe(0);
  // Back, by hand: what came later is not in yet.
  await page().keyboard.press("Escape");
  for (let i = 0; i < 60; i++) await page().keyboard.press(",");
  await expectColor(page(), swatches.waiting.dark);
  await picture(page(), "live-resume-back-dark");
  const then = Number((await faults.innerText()).replaceAll(",", ""));
  expect(then).toBeLessThan(answer.faults.served);
  await page().keyboard.press("Space");
  await expect.poll(async () => Number((await faults.innerText()).replaceAll(",", ""))).toBeGreaterThan(then);
  await page().locator(".timeline button", { hasText: "To the end" }).click();
  expect(await text(".timeline .time")).not.toContain("×");
  // Reloaded, it is all there again.
  await page().reload();
  await expect.poll(async () => Number((await faults.innerText()).replaceAll(",", ""))).toBe(answer.faults.served);
  await page().keyboard.press("t");
  await expectColor(page(), swatches.pushed.light);
  await picture(page(), "live-resume-end-light");
  await page().keyboard.press("t");
  expectWell(await asked, before);
  const qmp = await QmpClient.connect(answer.process.qmp);
  await qmp.execute("quit").catch(() => {});
  qmp.close();
  await run.until("stderr", /"code":"view-stays"/);
  expect((await fetch(run.url)).status).toBe(200);
  run.interrupt();
  expect((await run.ended).code).toBe(0);
});

test("a live save is seen to its end: pages as they come, those that come again, its rounds, and then the file", {
  timeout: 240_000,
}, async () => {
  const out = join(folder, "live.fram");
  const busily = ["--mode", "live", "--max-rounds", "4", "--max-bandwidth", "60M"];
  const run = await startViewing(["save", out, "--qmp", guest.qmpPath, "--json", "--view", "--no-open", ...busily]);
  await page().goto(run.url);
  await page().waitForSelector(".timeline .going");
  expect(await text('.modes [aria-selected="true"]')).toBe("Rewrites");
  expect(await text("header")).toContain("being saved");
  await page().keyboard.press("i");
  await expect.poll(() => text(".pane")).toContain("Snapshot");
  await page().keyboard.press("d");
  await expect.poll(() => text(".pane")).toMatch(/still being saved|Devices/);
  await page().keyboard.press("Escape");
  await picture(page(), "live-save-dark");
  await expect.poll(() => text(".timeline .good"), { timeout: 120_000 }).toContain("The snapshot is on disk");
  const { pages, rounds } = JSON.parse(await run.until("stdout", /^\{.*\}$/m)) as SaveResult;
  const figure = async (label: string) => {
    const shown = await page().locator(".legend button", { hasText: label }).locator(".figure").innerText();
    return Number(shown.replaceAll(",", ""));
  };
  expect(rounds).toBeGreaterThan(1);
  expect(await figure("again and again")).toBe(pages.rewritten);
  expect((await figure("once")) + (await figure("zero"))).toBeGreaterThanOrEqual(pages.total);
  // Now the file is there, and can be looked into.
  await expect.poll(() => text("header")).toContain("in the file");
  await picture(page(), "live-save-end-dark");
  await page().keyboard.press("1");
  await expectColor(page(), swatches.data.dark);
  await page().keyboard.press("d");
  await expect.poll(() => text(".pane")).toContain("Devices");
  await page().reload();
  await page().waitForSelector(".timeline .good");
  expect(await page().locator(".modes button").count()).toBeGreaterThan(3);
  await page().keyboard.press("t");
  await picture(page(), "live-save-end-light");
  await page().keyboard.press("t");
  run.interrupt();
  expect((await run.ended).code).toBe(0);
});

test("a save that fails says so on the page, and ends", async () => {
  const out = join(folder, "given-up.fram");
  const slowly = ["--mode", "live", "--max-bandwidth", "2M"];
  const run = await startViewing(["save", out, "--qmp", guest.qmpPath, "--json", "--view", "--no-open", ...slowly]);
  await page().goto(run.url);
  await page().waitForSelector(".timeline .going");
  run.interrupt();
  expect((await run.ended).code).toBe(130);
  await expect.poll(() => page().locator(".timeline .bad, .toast").count()).toBeGreaterThan(0);
  browser.complaints.length = 0;
});
