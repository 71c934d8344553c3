/** The page in a real browser, on snapshots that a real QEMU's guest was saved to in this run. */
import { execFileSync } from "node:child_process";
import { openSync, readSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { hexAddress } from "../../src/bytes/text.ts";
import type { DiffResult } from "../../src/operations/diff.ts";
import type { SnapshotInfo } from "../../src/operations/inspect.ts";
import { swatches } from "../../src/viewer/shared/palette.ts";
import { fixedram, qemu, startGuest, testFolder } from "../qemu/harness/index.ts";
import { save } from "../qemu/support/steps.ts";
import { colorsOf, expectColor, type Opened, openBrowser, openMap, picture, startViewer } from "./browser.ts";

const folder = testFolder();
const before = join(folder, "before.fram");
const after = join(folder, "after.fram");
interface SearchAnswer {
  readonly count: number;
  readonly hits: readonly { readonly block: string; readonly offset: number }[];
}
let browser: Opened;
let known: SnapshotInfo;

beforeAll(async () => {
  // 4 GiB on q35: there is a hole below 4 GiB. The guest rewrites some of its memory all the time.
  const guest = await startGuest({ qemu: qemu("new"), kind: "boot", machine: "q35", memory: 4096, smp: 2 });
  await guest.ready(30_000);
  await save(guest, before);
  await save(guest, after, "--then", "quit");
  await guest.exited;
  known = JSON.parse((await fixedram(["info", after, "--json"])).stdout) as SnapshotInfo;
  browser = await openBrowser();
});
afterAll(() => browser.context.close());
beforeEach(() => {
  browser.complaints.length = 0;
});
afterEach(async () => {
  const complaints = [...browser.complaints];
  await browser.page.goto("about:blank");
  await browser.page.setViewportSize({ width: 1280, height: 720 });
  expect(complaints).toEqual([]);
});

const ram = () => known.blocks.find(({ name }) => name === "pc.ram");
const { page } = {
  get page() {
    return () => browser.page;
  },
};
const press = async (...keys: string[]) => {
  for (const key of keys) await page().keyboard.press(key);
};
const goTo = async (address: string) => {
  await press("g");
  await page().locator("dialog.go input").fill(address);
  await press("Enter");
};
const text = (selector: string) => page().locator(selector).innerText();
const hash = () => new URLSearchParams(new URL(page().url()).hash.slice(1));
const drawn = swatches.data.dark;

test("the map shows what is there, at three zoom levels, in both themes, small and large", async () => {
  const { url } = await startViewer(after);
  await openMap(page(), url);
  await expectColor(page(), drawn);
  await picture(page(), "all-dark");
  await press("t");
  await expectColor(page(), swatches.data.light);
  await picture(page(), "all-light");
  await press("t");
  await expectColor(page(), drawn);
  await goTo("0x400000");
  await press("Escape");
  await expectColor(page(), drawn);
  await picture(page(), "pages-dark");
  await press("+", "+", "+", "+");
  await expect.poll(async () => (await colorsOf(page())).size).toBeGreaterThan(100);
  await picture(page(), "bytes-dark");
  await press("0", "o", "2");
  await expectColor(page(), swatches.structured.dark);
  await picture(page(), "content-hilbert-dark");
  await page().setViewportSize({ width: 2560, height: 1440 });
  await expectColor(page(), swatches.structured.dark);
  await picture(page(), "large-dark");
});

test("a change of the system's colours is followed at once, until some were chosen here", async () => {
  const { url } = await startViewer(after);
  await openMap(page(), url);
  const theme = () => page().evaluate<string | undefined>("document.documentElement.dataset.theme");
  await expectColor(page(), drawn);
  await page().emulateMedia({ colorScheme: "light" });
  await expect.poll(theme).toBe("light");
  await expectColor(page(), swatches.data.light);
  await page().emulateMedia({ colorScheme: "dark" });
  await expectColor(page(), drawn);
  await press("t");
  await expect.poll(theme).toBe("light");
  await page().emulateMedia({ colorScheme: "light" });
  await page().emulateMedia({ colorScheme: "dark" });
  expect(await theme()).toBe("light");
});

test("keys do everything, and the address carries what is shown", async () => {
  const { url } = await startViewer(after);
  await openMap(page(), url);
  await press("ArrowRight", "ArrowRight", "ArrowRight");
  await expect.poll(() => hash().get("at")).toBe("0x2000");
  await press("3", "o", "Enter");
  await expect.poll(() => Object.fromEntries(hash())).toMatchObject({ mode: "seal", order: "hilbert", pane: "page" });
  expect(Number(hash().get("zoom"))).toBeGreaterThan(1);
  await press("?");
  expect(await text("dialog.help")).toContain("go to an address");
  await press("Escape", "d");
  await expect.poll(() => text(".pane h2")).toContain("Devices");
  await press("c");
  await expect.poll(() => text(".pane h2")).toContain("CPUs 2");
  await press("i");
  await expect.poll(() => text(".pane h2")).toBe("Snapshot");
  await expect.poll(() => hash().get("pane")).toBe("snapshot");
  const link = page().url();
  const second = await browser.context.newPage();
  await openMap(second, link);
  expect(await second.locator('.modes [aria-selected="true"]').innerText()).toBe("Seal");
  expect(await second.locator(".pane h2").innerText()).toBe("Snapshot");
  expect(new URL(second.url()).hash).toBe(new URL(link).hash);
  await second.close();
  await press("Escape");
  await goTo("nonsense");
  expect(await text("dialog.go [role=alert]")).toContain("no number");
});

test("a click shows the page's bytes; they scroll to the block's end, select, and are copied", async () => {
  const { url } = await startViewer(after);
  await openMap(page(), url);
  await goTo("page 1024");
  const bytes = Buffer.alloc(16);
  readSync(openSync(after, "r"), bytes, 0, 16, (ram()?.pagesOffset ?? 0) + 1024 * 4096);
  const wanted = [...bytes].map((byte) => byte.toString(16).padStart(2, "0"));
  const first = page().locator(".hex .rows .row .bytes").first();
  await expect.poll(async () => (await first.locator("span").allInnerTexts()).join(" ")).toBe(wanted.join(" "));
  expect(await text(".where")).toContain("0x0040_0000");
  // All 16 stand on one line.
  const cells = await first.locator("span").all();
  const lines = await Promise.all(cells.map(async (cell) => (await cell.boundingBox())?.y));
  expect([lines.length, new Set(lines).size]).toEqual([16, 1]);
  await expect.poll(() => text(".inspector")).toContain(String(bytes.readBigUInt64LE()));
  await page().locator(".hex .rows").focus();
  for (let i = 0; i < 3; i++) await press("Shift+ArrowRight");
  await press("Control+c");
  expect(await page().evaluate("navigator.clipboard.readText()")).toBe(wanted.slice(0, 4).join(" "));
  await goTo("page 1048575");
  await page().locator(".hex .rows").focus();
  await press("End");
  await expect.poll(() => text(".where")).toContain("0xffff_ffff");
  await expect.poll(() => page().locator(".hex .rows .offset").allInnerTexts()).toContain("ffff_fff0");
  await expect.poll(() => text(".where")).toContain(hexAddress(2 ** 32 + 2 ** 31 - 1));
});

test("pointing tells what is there, the legend filters", async () => {
  const { url } = await startViewer(after);
  await openMap(page(), url);
  const box = await page().locator("canvas.map").boundingBox();
  if (box === null) throw new Error("no map");
  await page().mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await expect.poll(() => text(".tip")).toMatch(/pc\.ram page [\d,]+[\s\S]*offset 0x/);
  await page().locator(".legend button", { hasText: "data" }).click();
  await page().mouse.move(5, 5);
  await expect.poll(async () => (await colorsOf(page())).get([0x4f, 0xa3, 0xdc].join(",")) ?? 0).toBe(0);
  await page().mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page().mouse.wheel(0, -800);
  await page().mouse.down();
  await page().mouse.move(box.x + box.width / 2 + 200, box.y + box.height / 2 + 30, { steps: 5 });
  await page().mouse.up();
  await expect.poll(() => Number(hash().get("zoom"))).toBeGreaterThan(1);
});

test("devices as trees with a filter, CPUs, and a register's address followed through the page tables", async () => {
  const { url } = await startViewer(after);
  await openMap(page(), url);
  await press("d");
  await page().locator(".filter input[type=search]").fill("cpu_common");
  await page().locator(".tree button").first().click();
  await expect.poll(() => text(".tree table")).toMatch(/halted/);
  await picture(page(), "devices-dark");
  await press("Escape", "c");
  await expect.poll(() => text(".pane")).toMatch(/rip/);
  await picture(page(), "cpus-dark");
  const rip = page().locator("tr", { hasText: /^rip/ }).locator(".link");
  const address = BigInt((await rip.innerText()).replaceAll("_", ""));
  await rip.click();
  // The boot guest maps its memory one to one.
  await expect.poll(() => text(".where")).toContain(`physical ${hexAddress(address)}`);
});

test("a search lists what fixedram search finds, on the map and one after the other; it is in the link", async () => {
  const { url } = await startViewer(after);
  const known = JSON.parse((await fixedram(["search", after, "SeaBIOS", "--json"])).stdout) as SearchAnswer;
  expect(known.count).toBeGreaterThan(1);
  await openMap(page(), url);
  await press("/");
  await page().keyboard.type("seabios");
  await page().locator(".finder label", { hasText: "either case" }).click();
  await page().locator(".finder input[type=search]").focus();
  await press("Enter");
  await expect.poll(() => text(".finder [role=status]"), { timeout: 30_000 }).toContain(" hits in ");
  const places = await page().locator(".hits .place").allInnerTexts();
  const wanted = known.hits.map(({ block, offset }) => `${block} ${hexAddress(offset)}`);
  expect(wanted.filter((place) => !places.some((each) => each.startsWith(place)))).toEqual([]);
  expect((await page().locator(".hits mark").first().innerText()).toLowerCase()).toBe("seabios");
  await expectColor(page(), "#ff7ad9");
  await press("Enter");
  await expect.poll(() => page().locator(".hits [aria-current]").count()).toBe(1);
  await page().locator(".hits [aria-current] button").click();
  const [place = ""] = /0x[0-9a-f]+/.exec(places[0] ?? "") ?? [];
  await expect.poll(() => text(".where")).toContain(`offset ${place}`);
  await press("/");
  await expect.poll(() => Object.fromEntries(hash())).toMatchObject({ pane: "search", find: "seabios", as: "text-i" });
  await picture(page(), "search-dark");
  await press("Escape", "n", "t");
  await picture(page(), "search-light");
  await press("t");
  const link = page().url();
  await page().goto("about:blank");
  await openMap(page(), link);
  await press("/");
  await expect.poll(() => page().locator(".hits li").count(), { timeout: 30_000 }).toBe(places.length);
  await page().locator(".finder button", { hasText: "Expression" }).click();
  await page().locator(".finder input[type=search]").fill("(((");
  await press("Enter");
  await expect.poll(() => text(".finder [role=alert]")).toContain("can't be looked for");
});

test("a check of every page finds the one that was damaged, and the map shows it", async () => {
  const damaged = join(folder, "damaged.fram");
  execFileSync("cp", ["--sparse=always", after, damaged]);
  const fd = openSync(damaged, "r+");
  const at = (ram()?.pagesOffset ?? 0) + 1030 * 4096 + 7;
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  writeSync(fd, Buffer.of((byte[0] ?? 0) ^ 0xff), 0, 1, at);
  const { url } = await startViewer(damaged);
  await openMap(page(), url);
  await press("i");
  await page().locator("button", { hasText: "Check every page" }).click();
  await expect.poll(() => text(".result"), { timeout: 30_000 }).toMatch(/Damaged[\s\S]*page 1,030/);
  await page().locator(".problems .link").first().click();
  await press("3");
  await expectColor(page(), swatches.damaged.dark);
  await picture(page(), "damaged-dark");
  expect(await page().locator('.filemap rect[fill="#ff5b3a"]').count()).toBe(1);
});

test("two moments of one guest: the changed pages are those that diff finds, their bytes side by side", async () => {
  const { url } = await startViewer(after, before);
  const diff = JSON.parse((await fixedram(["diff", before, after, "--json"])).stdout) as DiffResult;
  expect(diff.pages.changed).toBeGreaterThan(0);
  await openMap(page(), url);
  const figure = page().locator(".legend button", { hasText: "changed" }).locator(".figure");
  await expect.poll(() => figure.innerText(), { timeout: 30_000 }).toBe(diff.pages.changed.toLocaleString("en-US"));
  await goTo("0x400000");
  await expectColor(page(), swatches.changed.dark);
  await expect.poll(() => page().locator(".hex .differs").count()).toBeGreaterThan(0);
  await picture(page(), "changes-dark");
  // The other one's own map, with the same pages marked.
  await press("x");
  await expect.poll(() => text("header .file")).toMatch(/^before\.fram[\s\S]*against after\.fram/);
  await expectColor(page(), swatches.changed.dark);
  await expect.poll(() => text(".hex .names")).toContain("here: before.fram");
  await expect.poll(() => page().locator(".hex .differs").count()).toBeGreaterThan(0);
  expect(await figure.innerText()).toBe(diff.pages.changed.toLocaleString("en-US"));
  await expect.poll(() => hash().get("side")).toBe("1");
  await picture(page(), "changes-other-dark");
  await press("x");
  await expect.poll(() => text("header .file")).toMatch(/^after\.fram/);
  await press("Escape", "d");
  await page().locator(".filter input[type=checkbox]").check();
  await expect.poll(() => page().locator(".tree .mark").count()).toBeGreaterThan(0);
});

describe("nobody else", () => {
  test("gets anything without the token, from another origin, in a frame, or by another name", async () => {
    const { url } = await startViewer(after);
    const { origin, port } = new URL(url);
    expect((await fetch(`${origin}/`)).status).toBe(403);
    expect((await fetch(`${origin}/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/api/snapshot`)).status).toBe(403);
    const other = createServer((_, response) => {
      response.writeHead(200, { "content-type": "text/html" });
      response.end("<!doctype html><title>other</title><body></body>");
    });
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const { port: otherPort } = other.address() as AddressInfo;
    await page().goto(`http://127.0.0.1:${otherPort}/`);
    const tried = await page().evaluate(`(async () => {
      const fetched = await fetch("${url}api/snapshot").then(() => "read", () => "refused");
      const live = await fetch("${url}api/live").then(() => "read", () => "refused");
      const searched = await fetch("${url}api/search?pattern=a").then(() => "read", () => "refused");
      const blind = await fetch("${url}api/snapshot", { mode: "no-cors" }).then((r) => r.type, () => "refused");
      const script = await new Promise((resolve) => {
        const element = document.createElement("script");
        element.src = "${url}app.js";
        element.onload = () => resolve("ran");
        element.onerror = () => resolve("refused");
        document.body.append(element);
      });
      const frame = document.createElement("iframe");
      frame.src = "${url}";
      document.body.append(frame);
      await new Promise((resolve) => { frame.onload = resolve; });
      let framed = "refused";
      try { framed = frame.contentDocument === null ? "refused" : "read"; } catch {}
      return { fetched, live, searched, blind, script, framed };
    })()`);
    const refusals = { fetched: "refused", live: "refused", searched: "refused" };
    expect(tried).toEqual({ ...refusals, blind: "refused", script: "refused", framed: "refused" });
    browser.complaints.length = 0;
    await page().goto(url.replace("127.0.0.1", "localhost"));
    await page().waitForSelector("html[data-drawn]", { state: "attached" });
    browser.complaints.length = 0;
    other.closeAllConnections();
    other.close();
    expect(port).not.toBe("0");
  });
});

test("Ctrl-C ends it, and the page says so", async () => {
  const { url, stop } = await startViewer(after);
  await openMap(page(), url);
  expect(await stop()).toBe(130);
  await press("d");
  await expect.poll(() => text(".pane")).toContain("The viewer has ended");
  browser.complaints.length = 0;
});
