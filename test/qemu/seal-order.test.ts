/**
 * Files of a big-endian host, made of real ones by turning the words of their bitmaps: refused until one says what they are, sealed
 * as that, and resumed, the guest's own verdict deciding. And real ones of this host, which are never refused.
 */
import { openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { swapBitmapWords } from "../../src/bytes/bitmap.ts";
import { fitsOtherOrder } from "../../src/fixedram/order-check.ts";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import type { ConvertResult } from "../../src/operations/convert.ts";
import type { SnapshotInfo } from "../../src/operations/inspect.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import type { SealResult } from "../../src/operations/seal.ts";
import type { VerifyResult } from "../../src/operations/verify.ts";
import { FileStore } from "../../src/storage/file-store.ts";
import {
  fixedram,
  type Guest,
  type GuestOptions,
  hasQemu,
  qemu,
  qemus,
  startGuest,
  testFolder,
} from "./harness/index.ts";
import { lazily } from "./support/lazy.ts";
import { type MappedWish, writeMapped } from "./support/mapped.ts";
import { expectWell, loadStock, long, refused, resume } from "./support/steps.ts";

async function answer<T>(...args: readonly string[]): Promise<T> {
  const run = await fixedram([...args, "--json"]);
  expect(run, run.stdout + run.stderr).toMatchObject({ code: 0 });
  return JSON.parse(run.stdout) as T;
}

let number = 0;

async function mapped(wish: MappedWish, options: Partial<GuestOptions> = {}) {
  const guest = await startGuest({ qemu: qemu("new"), kind: "boot", zeroing: true, ...options });
  const before = await guest.ready(20_000);
  const file = join(testFolder(), `guest-${number++}.mapped`);
  await writeMapped(guest, file, wish);
  return { guest, before, file };
}

/** The same file as a big-endian host would have written it. */
async function turned(file: string): Promise<string> {
  const bytes = readFileSync(file);
  const snapshot = await openSnapshot(file);
  const { streamEnd, libvirt } = snapshot;
  for (const { block, mapped: place } of snapshot.ramStart.blocks) {
    const at = place?.bitmapOffset ?? 0;
    swapBitmapWords(bytes.subarray(at, at + Math.ceil(block.pages / 64) * 8));
  }
  await snapshot.close();
  if (libvirt !== null) bytes.subarray(16, 92).swap32();
  const big = `${file}.big`;
  writeFileSync(big, bytes.subarray(0, streamEnd));
  return big;
}

/** Whether the file is refused when it is read in this order. @param whole only blocks without bits behind their end tell */
async function isRefused(file: string, bigEndianBitmaps: boolean, whole = false): Promise<boolean> {
  const store = FileStore.open(file);
  try {
    const opened = await openFixedRam(store, { bigEndianBitmaps });
    const kept = <T>(list: readonly T[]): T[] =>
      list.filter((_, i) => !whole || (opened.blocks[i]?.block.pages ?? 1) % 64 === 0);
    const { blocks, bitmaps, lastWords } = opened;
    return await fitsOtherOrder({
      ...opened,
      blocks: kept(blocks),
      bitmaps: kept(bitmaps),
      lastWords: kept(lastWords),
    });
  } finally {
    await store.close();
  }
}

async function goesOn(loaded: Guest, before: Parameters<typeof expectWell>[1]): Promise<void> {
  const qmp = await loaded.qmp();
  if (((await qmp.execute("query-status")) as { status: string }).status !== "running") await qmp.execute("cont");
  expectWell(await loaded.verdict(), before);
  await loaded.kill();
}

const multifd = { capabilities: ["multifd"], parameters: { "multifd-channels": 2 } };
const unlooked = { "zero-page-detection": "none" };
const kinds: readonly {
  name: string;
  wish: MappedWish;
  options?: Partial<GuestOptions>;
  zeros?: boolean;
  long?: boolean;
}[] = [
  { name: "plain, stopped", wish: { stop: true } },
  { name: "multifd", wish: multifd },
  { name: "live, with stale pages", wish: { rounds: 3 } },
  { name: "live, multifd", wish: { ...multifd, rounds: 2 }, options: { machine: "pc-q35-9.0" }, long: true },
  {
    name: "zero pages looked for by the main thread",
    wish: { ...multifd, parameters: { ...multifd.parameters, "zero-page-detection": "legacy" } },
    long: true,
  },
  { name: "zero pages not looked for", wish: { stop: true, parameters: unlooked }, zeros: true },
  {
    name: "zero pages not looked for, live, multifd",
    wish: { ...multifd, rounds: 2, parameters: { ...multifd.parameters, ...unlooked } },
    zeros: true,
  },
];

describe.skipIf(!hasQemu("new"))("files that QEMU writes", () => {
  test.each(kinds.filter((kind) => long || kind.long !== true))(
    "$name: refused in the other order, never in their own",
    async ({ wish, options, zeros = false }) => {
      const { file } = await mapped(wish, options);
      const big = await turned(file);
      for (const [path, order] of [
        [file, false],
        [big, true],
      ] as const) {
        for (const whole of [false, true]) expect(await isRefused(path, order, whole)).toBe(false);
        // Where every bit is set, the same pages are present in both orders but for blocks that end within a word.
        for (const whole of [false, true]) expect(await isRefused(path, !order, whole)).toBe(!(whole && zeros));
      }
      const { error, code } = await refused(["seal", big, "--json"]);
      expect([error.code, code]).toEqual(["file.byte-order", 3]);
      expect((await answer<SealResult>("seal", file)).bigEndian).toBe(false);
      expect((await answer<SealResult>("seal", big, "--big-endian")).bigEndian).toBe(true);
      expect((await fixedram(["diff", file, big, "--json"])).code).toBe(0);
    },
  );
});

describe.skipIf(!hasQemu("new"))("a file of a big-endian host", () => {
  test("is sealed, checked and converted, and every QEMU resumes it, lazily too", async () => {
    const saved = await mapped({ stop: true });
    const big = await turned(saved.file);
    const usual = await answer<SnapshotInfo>("info", saved.file);
    // Without a seal the page server is told what was said here.
    const unsealed = await lazily(saved.guest, big, qemu("new"), { args: ["--big-endian"] });
    await unsealed.execute("cont");
    expectWell(await unsealed.verdict(), saved.before);
    await unsealed.quit();
    const { id } = await answer<SealResult>("seal", big, "--big-endian");
    expect(await answer<SnapshotInfo>("info", big)).toMatchObject({ bitmapOrder: "big", blocks: usual.blocks });
    expect(await answer<VerifyResult>("verify", big, "--deep", "--id", id)).toMatchObject({ ok: true });
    for (const one of qemus()) {
      const resumed = await resume(saved.guest, big, one, { args: ["--verify"] });
      expect(resumed.result.transport).not.toBe("mapped-ram");
      if (one.label === "new") expect(resumed.result.transportReason).toContain("big-endian");
      await resumed.execute("cont");
      expectWell(await resumed.verdict(), saved.before);
      await resumed.quit();
      const lazy = await lazily(saved.guest, big, one, { args: ["--verify"] });
      await lazy.execute("cont");
      expectWell(await lazy.verdict(), saved.before);
      await lazy.quit();
    }
    const out = join(testFolder(), "out.fram");
    const { pages } = await answer<ConvertResult>("convert", big, out);
    expect(pages?.data).toBeGreaterThan(1000);
    expect((await answer<SnapshotInfo>("info", out)).bitmapOrder).toBe("little");
    expect((await fixedram(["diff", big, out, "--json"])).code).toBe(0);
    await goesOn(await loadStock(saved.guest.options, out, "multifd"), saved.before);
    // The boot sector's page at 0x7c00 is there in every guest.
    const ram = usual.blocks.find(({ present }) => present > 1000);
    writeSync(openSync(big, "r+"), Uint8Array.of(0x5a, 0xa5), 0, 2, (ram?.pagesOffset ?? 0) + 7 * 4096 + 0xc03);
    const damaged = await fixedram(["verify", big, "--deep", "--json"]);
    expect(damaged.code).toBe(1);
    expect(JSON.parse(damaged.stdout).problems).toMatchObject([
      { code: "seal.damaged-page", block: ram?.name, page: 7, pages: 1 },
    ]);
    expect((await refused(["resume", big, "--verify", "--json", "--", "/bin/false"])).error.code).toBe(
      "seal.damaged-page",
    );
  });

  test("in an image of libvirt's, whose header tells the order: sealed and resumed without a word", async () => {
    const saved = await mapped({ rounds: 2 });
    const [xml, image] = [join(testFolder(), "domain.xml"), join(testFolder(), "guest.img")];
    writeFileSync(xml, "<domain type='qemu'><name>guest</name></domain>\n");
    await answer("convert", saved.file, image, "--to", "libvirt-sparse", "--xml", xml);
    const big = await turned(image);
    expect(await answer<SealResult>("seal", big)).toMatchObject({ bigEndian: true });
    expect(await answer<VerifyResult>("verify", big, "--deep")).toMatchObject({ ok: true, container: "libvirt" });
    expect((await fixedram(["diff", image, big, "--json"])).code).toBe(0);
    const resumed = await resume(saved.guest, big, qemu("new"));
    expect(resumed.result.transport).not.toBe("mapped-ram");
    expectWell(await resumed.verdict(), saved.before);
    await resumed.quit();
  });
});
