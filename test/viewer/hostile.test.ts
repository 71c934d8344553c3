/** A snapshot whose every text is meant for the browser, the terminal, or the memory of whoever looks at it. */
import { openSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { fromLatin1 } from "../../src/bytes/text.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";
import { fixedram, testFolder } from "../qemu/harness/index.ts";
import { type Opened, openBrowser, openMap, picture, startViewer } from "./browser.ts";

const script = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
const terminal = "\x1b]0;owned\x07\x1b[2J\x9b31m";
const folder = testFolder();
let browser: Opened;

beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(() => browser.context.close());
afterEach(async () => {
  await browser.page.goto("about:blank");
  browser.complaints.length = 0;
});

async function write(path: string, blocks: readonly (readonly [string, number])[]): Promise<void> {
  const writer = new FixedRamWriter(TargetFile.create(path), configuration(), ramStart(...blocks));
  for (const block of writer.blocks.slice(0, 3)) writer.writePages(batch(block, [[0, 0x3c]]));
  writer.tail(tail());
  await writer.finish({
    ...meta,
    guestName: script + terminal,
    machine: script,
    memoryMap: [],
    argv: { arguments: [script, terminal, "\u202egnp.exe"], redacted: false, fileDescriptors: [] },
    disks: [
      {
        ...meta.disks[0],
        device: script,
        path: `/${script}`,
        format: terminal,
        size: 1,
        mtime: script,
        inode: null,
        readOnly: false,
      },
    ],
  });
}

test("names and texts are shown, never run; escapes reach no terminal", async () => {
  const path = join(folder, `h${script.replaceAll("/", "")}.fram`);
  await write(path, [
    [script, 300],
    [terminal, 20],
    ["javascript:alert(1)", 5],
  ]);
  const { url } = await startViewer(path);
  const { page, complaints } = browser;
  await openMap(page, url);
  for (const key of ["p", "d", "c", "i"]) {
    await page.keyboard.press(key);
    await expect.poll(() => page.locator(".pane h2").count()).toBeGreaterThan(0);
  }
  const shown = await page.locator(".pane").innerText();
  expect(shown).toContain("<script>window.hacked=1</script>");
  expect(shown).toContain("\\x1b]0;owned\\x07\\x1b[2J\\x9b31m");
  expect(shown).toContain("\\u202egnp.exe");
  await picture(page, "hostile-dark");
  // A page full of "<" in a block with a name that is a script.
  await page.keyboard.press("/");
  await page.keyboard.type("<<<<<");
  await page.keyboard.press("Enter");
  await expect.poll(() => page.locator(".hits li").count(), { timeout: 20_000 }).toBeGreaterThan(10);
  expect(await page.locator(".hits").innerText()).toContain("<script>window.hacked=1</script>");
  expect(await page.evaluate("window.hacked")).toBe(undefined);
  expect(await page.evaluate("document.querySelectorAll('img, #app script').length")).toBe(0);
  expect(complaints).toEqual([]);
  const said = await fixedram(["view", join(folder, `missing${terminal}`)]);
  expect(said.code).toBe(5);
  expect(said.stderr.includes("\x1b")).toBe(false);
});

test("20000 blocks are drawn; a million are refused before anything is allocated for them", async () => {
  const path = join(folder, "many.fram");
  await write(
    path,
    Array.from({ length: 20_000 }, (_, i) => [`b${i}`, 1 + (i % 3)] as const),
  );
  const { url } = await startViewer(path);
  const { page, complaints } = browser;
  await openMap(page, url);
  await page.keyboard.press("i");
  await expect.poll(() => page.locator(".pane").innerText()).toContain("20,000 RAM blocks");
  await picture(page, "many-blocks-dark");
  expect(complaints).toEqual([]);

  // Header, configuration, the RAM section's START with MEM_SIZE, and a million entries of a byte's name and a page.
  const entries = 1_000_000;
  const head = Buffer.from("5145564d00000003070000000970632d693434306678", "hex");
  const start = Buffer.alloc(1 + 4 + 1 + 3 + 4 + 4 + 8);
  start.writeUInt8(0x01, 0);
  start.writeUInt32BE(2, 1);
  start.write("\x03ram", 5, "latin1");
  start.writeUInt32BE(0, 9);
  start.writeUInt32BE(4, 13);
  start.writeBigUInt64BE(BigInt(entries) * 4096n + 4n, 17);
  const list = Buffer.alloc(entries * 13);
  for (let i = 0; i < entries; i++) {
    list.writeUInt8(4, i * 13);
    list.writeUInt32BE(i + 0x41414141, i * 13 + 1);
    list.writeBigUInt64BE(4096n, i * 13 + 5);
  }
  const million = join(folder, "million.stream");
  writeFileSync(million, Buffer.concat([head, start, list]));
  const refused = await fixedram(["view", million, "--json"]);
  expect(refused.code).toBe(3);
  expect(JSON.parse(refused.stdout)).toMatchObject({ error: { code: "stream.too-many-blocks" } });
});

test("a damaged seal is said, and nothing in it is believed", async () => {
  const path = join(folder, "damaged-seal.fram");
  await write(path, [["pc.ram", 300]]);
  const info = JSON.parse((await fixedram(["info", path, "--json"])).stdout) as { sizes: { apparent: number } };
  const fd = openSync(path, "r+");
  // The record's own text, which the directory's digest covers.
  const all = Buffer.alloc(info.sizes.apparent);
  readSync(fd, all, 0, all.length, 0);
  const at = all.indexOf(fromLatin1('"qemuVersion"'));
  expect(at).toBeGreaterThan(0);
  writeSync(fd, Buffer.from("Q"), 0, 1, at + 1);
  const { url } = await startViewer(path);
  const { page, complaints } = browser;
  await openMap(page, url);
  expect(await page.locator(".seal").innerText()).toBe("damaged");
  await page.keyboard.press("i");
  await expect.poll(() => page.locator(".pane").innerText()).toContain("damaged since");
  expect(await page.locator(".pane").innerText()).not.toContain("owned");
  expect(complaints).toEqual([]);
});
