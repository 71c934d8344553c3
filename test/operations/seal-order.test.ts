/** Files of a big-endian host: sealed as what they are, never as what they are not, and read by that seal. */
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { byteOfPage } from "../../src/fixedram/byte-order.ts";
import { convert } from "../../src/operations/convert.ts";
import { diff } from "../../src/operations/diff.ts";
import { info } from "../../src/operations/inspect.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import { repair } from "../../src/operations/repair.ts";
import { requireVerified } from "../../src/operations/resume/verified.ts";
import { seal } from "../../src/operations/seal.ts";
import { verify } from "../../src/operations/verify.ts";
import { libvirtHead, mapped, PAGE } from "../hostile/sound.ts";
import { contents, failure } from "./synthetic.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-order-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);

const present: Record<number, number> = {};
for (let page = 3; page < 640; page += page % 50 < 20 ? 1 : 30) present[page] = (page % 250) + 1;
const blocks = [
  { name: "pc.ram", pages: 640, present },
  { name: "rom", pages: 5, present: { 0: 0, 2: 8, 3: 0 } },
];

function write(name: string, order: "little" | "big", before?: Uint8Array): string {
  writeFileSync(
    at(name),
    mapped({ blocks, bigEndian: order === "big", ...(before === undefined ? {} : { before }) }).bytes,
  );
  return at(name);
}

/** Types of the seal's sections, critical ones with a mark; and the order. */
async function sealOf(file: string) {
  await using snapshot = await openSnapshot(file);
  const { seal: found } = snapshot.seal;
  const types = found?.sections.map(({ type, critical }) => `${type}${critical ? "!" : ""}`).join(" ");
  return { types, bigEndian: [found?.bigEndian, snapshot.bigEndian], loadable: snapshot.loadable !== null };
}

async function pagesOf(file: string): Promise<Record<string, string>> {
  await using snapshot = await openSnapshot(file);
  return contents(snapshot.map);
}

describe("a mapped-ram file of a big-endian host", () => {
  test("is refused unless one says so, then sealed in place, and needs no word from then on", async () => {
    const file = write("big", "big");
    const before = readFileSync(file);
    const refused = await failure(() => seal({ file }));
    expect(refused).toMatchObject({ code: "file.byte-order", details: { path: file } });
    expect(refused.details.hint).toMatch(/--big-endian.*--little-endian/);
    for (const open of [
      () => info(file),
      () => convert({ input: file, output: at("x.fram") }),
      () => openSnapshot(file),
    ])
      expect((await failure(open)).code).toBe("file.byte-order");
    expect(readFileSync(file).equals(before)).toBe(true);
    const result = await seal({ file, bigEndian: true });
    expect(result.bigEndian).toBe(true);
    expect(readFileSync(file).subarray(0, before.length).equals(before)).toBe(true);
    expect(await sealOf(file)).toEqual({
      types: "META BORD! BLKS RGNS NODS",
      bigEndian: [true, true],
      loadable: false,
    });
    for (const bigEndian of [{}, { bigEndian: true }])
      expect(await verify({ file, deep: true, id: result.id, ...bigEndian })).toMatchObject({
        ok: true,
        sealState: "sealed",
        problems: [],
      });
    const little = write("little", "little");
    await seal({ file: little });
    expect(await sealOf(little)).toMatchObject({
      types: "META BLKS RGNS NODS",
      bigEndian: [false, false],
      loadable: true,
    });
    expect(await pagesOf(file)).toEqual(await pagesOf(little));
    expect((await info(file)).bitmapOrder).toBe("big");
    expect((await info(file)).blocks).toEqual((await info(little)).blocks);
    expect(await diff({ a: file, b: little, trustSeals: true })).toMatchObject({ same: true });
  });

  test("converted, it is an ordinary file: as it was, and the pages are the same", async () => {
    const file = write("big", "big");
    await seal({ file, bigEndian: true });
    await convert({ input: file, output: at("out.fram") });
    expect(await sealOf(at("out.fram"))).toEqual({
      types: "META BLKS RGNS NODS",
      bigEndian: [false, false],
      loadable: true,
    });
    expect(await pagesOf(at("out.fram"))).toEqual(await pagesOf(file));
    await convert({ input: at("out.fram"), output: at("stream"), to: "stream" });
    expect(await pagesOf(at("stream"))).toEqual(await pagesOf(file));
    await using snapshot = await openSnapshot(at("out.fram"));
    expect(snapshot.meta?.["converted"]).toHaveLength(1);
  });

  test("every damage to it is named as it is of an ordinary file", async () => {
    const files = { little: write("little", "little"), big: write("big", "big") };
    for (const [order, file] of Object.entries(files)) await seal({ file, bigEndian: order === "big" });
    const { blocks: places } = await info(files.big);
    const [ram, rom] = places.map(({ bitmapOffset, pagesOffset }) => ({
      bitmap: bitmapOffset ?? 0,
      pages: pagesOffset ?? 0,
    }));
    const turned = async (order: "little" | "big", damages: readonly Damage[]) => {
      const bytes = readFileSync(files[order]);
      const file = at("damaged");
      for (const { block, page, what } of damages) {
        const place = block === 0 ? ram : rom;
        const offset =
          what === "bit"
            ? (place?.bitmap ?? 0) + byteOfPage(page, order === "big")
            : (place?.pages ?? 0) + page * PAGE + 77;
        bytes[offset] = (bytes[offset] ?? 0) ^ (what === "bit" ? 1 << (page % 8) : 0x40);
      }
      writeFileSync(file, bytes);
      const { problems } = await verify({ file, deep: true });
      // A bit's offset is where it stands in that order.
      return problems.map((problem) =>
        problem.code === "seal.damaged-bitmap"
          ? {
              ...problem,
              offset:
                problem.page === undefined ? 0 : (problem.offset ?? 0) - byteOfPage(problem.page, order === "big"),
            }
          : problem,
      );
    };
    type Damage = { block: number; page: number; what: "bit" | "page" };
    const cases: Damage[][] = [
      [{ block: 0, page: 5, what: "page" }],
      [{ block: 0, page: 5, what: "bit" }],
      [{ block: 0, page: 0, what: "bit" }],
      [{ block: 0, page: 639, what: "bit" }],
      [{ block: 1, page: 3, what: "bit" }],
      [{ block: 1, page: 4, what: "bit" }],
      [
        { block: 0, page: 56, what: "page" },
        { block: 0, page: 600, what: "bit" },
        { block: 1, page: 2, what: "page" },
      ],
    ];
    for (const damages of cases) {
      const found = await turned("big", damages);
      expect(found).toEqual(await turned("little", damages));
      for (const { page } of damages) expect(found.some((problem) => problem.page === page)).toBe(true);
    }
  });

  test("without a seal it is told by verify, which looks at the rest all the same", async () => {
    const file = write("big", "big");
    expect(await verify({ file })).toMatchObject({
      ok: false,
      container: "mapped-ram",
      sealState: "none",
      problems: [{ code: "file.byte-order" }],
    });
    expect(await verify({ file, bigEndian: true })).toMatchObject({ ok: true, sealState: "none", problems: [] });
    expect(await verify({ file, bigEndian: false })).toMatchObject({ ok: true });
  });

  test("a seal that tells it no more is named, with its damage", async () => {
    const file = write("big", "big");
    await seal({ file, bigEndian: true });
    const bytes = readFileSync(file);
    const section = bytes.indexOf("FRAMBORD");
    bytes[section + 19] = 0;
    writeFileSync(file, bytes);
    const refused = await failure(() => info(file));
    expect([refused.code, refused.details.path]).toEqual(["file.byte-order", file]);
    expect(refused.details.hint).toMatch(/\[seal\.damaged-section\].*verify.*--big-endian/);
    expect(refused.details.hint).not.toContain("fixedram seal");
    expect((await info(file, { bigEndian: true })).bitmapOrder).toBe("big");
  });

  test("a cut vmdesc is cut off it as off any other", async () => {
    const file = write("big", "big");
    truncateSync(file, statSync(file).size - 5);
    const { repaired, sizes } = await repair({ file });
    expect([repaired, sizes.after]).toEqual(["vmdesc", readFileSync(file).length]);
    expect(await verify({ file, bigEndian: true })).toMatchObject({ ok: true });
    expect(await seal({ file, bigEndian: true })).toMatchObject({ bigEndian: true });
  });

  test("half a seal is taken away, and it is resumed in the order that one says", async () => {
    const file = write("big", "big");
    const { size } = statSync(file);
    await seal({ file, bigEndian: true });
    truncateSync(file, statSync(file).size - 128);
    expect(await verify({ file })).toMatchObject({
      sealState: "half",
      problems: [{ code: "file.byte-order" }, { code: "seal.half" }],
    });
    await requireVerified({ file, bigEndian: true });
    expect(await repair({ file })).toMatchObject({ repaired: "half-seal", sizes: { after: size } });
    expect(await seal({ file, bigEndian: true })).toMatchObject({ bigEndian: true });
    expect(await repair({ file })).toMatchObject({ repaired: "nothing" });
  });
});

test("bits that stand behind a block's end alone are no empty file of QEMU's", async () => {
  for (const order of ["little", "big"] as const) {
    const one = mapped({ blocks: [{ name: "pc.ram", pages: 1, present: { 0: 7 } }], bigEndian: order === "big" });
    writeFileSync(at("one"), one.bytes);
    const refused = await failure(() => seal({ file: at("one"), bigEndian: order === "little" }));
    expect(refused).toMatchObject({
      code: "file.empty-bitmaps",
      details: { found: expect.stringContaining("behind") },
    });
    expect(refused.details.hint).toContain("--big-endian");
    expect(await seal({ file: at("one"), bigEndian: order === "big" })).toMatchObject({ pages: 1 });
  }
});

describe("what one says", () => {
  test("of a file whose seal says otherwise is refused, whatever one does with it", async () => {
    const files = [write("little", "little"), write("big", "big")];
    for (const [i, file] of files.entries()) {
      await seal({ file, bigEndian: i === 1 });
      const wrong = { bigEndian: i === 0 };
      const found = [
        () => seal({ file, ...wrong }),
        () => verify({ file, ...wrong }),
        () => info(file, wrong),
        () => requireVerified({ file, ...wrong }),
        () => convert({ input: file, output: at("x.fram"), ...wrong }),
      ];
      for (const each of found) {
        const error = await failure(each);
        expect([error.code, error.exitCode, error.details.path]).toEqual(["usage.byte-order", 2, file]);
      }
      expect((await failure(() => seal({ file, bigEndian: i === 1 }))).code).toBe("seal.already");
    }
    expect((await failure(() => diff({ a: files[0] ?? "", b: files[1] ?? "", bigEndian: true }))).code).toBe(
      "usage.byte-order",
    );
    expect(await diff({ a: files[0] ?? "", b: files[1] ?? "" })).toMatchObject({ same: true });
  });

  test("of an ordinary file, that it is big-endian, is not believed; that a big-endian one is ordinary, is", async () => {
    const little = write("little", "little");
    expect((await failure(() => seal({ file: little, bigEndian: true }))).code).toBe("file.byte-order");
    await seal({ file: little, bigEndian: false });
    const big = write("big", "big");
    await seal({ file: big, bigEndian: false });
    expect(await sealOf(big)).toMatchObject({ bigEndian: [false, false] });
    expect(await pagesOf(big)).not.toEqual(await pagesOf(little));
  });
});

describe("a sparse image of libvirt", () => {
  test("tells its order: it is sealed so, and read so even where its header is written anew on another host", async () => {
    const file = write("image", "big", libvirtHead({ format: 6, big: true }).bytes);
    const pages = await pagesOf(file);
    expect(await seal({ file })).toMatchObject({ bigEndian: true });
    expect(await sealOf(file)).toMatchObject({ types: "META BORD! BLKS RGNS NODS", bigEndian: [true, true] });
    expect(await verify({ file, deep: true })).toMatchObject({ ok: true, container: "libvirt", sealState: "sealed" });
    const bytes = readFileSync(file);
    bytes.set(libvirtHead({ format: 6 }).bytes);
    writeFileSync(file, bytes);
    expect(await pagesOf(file)).toEqual(pages);
    expect((await info(file)).libvirt?.byteOrder).toBe("little");
    expect((await verify({ file, deep: true })).ok).toBe(true);
  });

  test("is refused where its header does not fit its pages", async () => {
    for (const order of ["little", "big"] as const) {
      const file = write("image", order, libvirtHead({ format: 6, big: order === "little" }).bytes);
      expect((await failure(() => seal({ file }))).code).toBe("file.byte-order");
      expect(await seal({ file, bigEndian: order === "big" })).toMatchObject({ bigEndian: order === "big" });
    }
  });
});
