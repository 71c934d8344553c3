/** What goes on, watched in a real browser: a real guest that resumes lazily, and one that is saved while it works. */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
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
  const slowly = ["--push-rate", "15M", "--around", "4", "--prefetch", "none"];
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
  await run.until("stderr", /"code":"running"/);
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
