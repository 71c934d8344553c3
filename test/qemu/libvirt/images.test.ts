/** Save images as libvirt makes them, and what libvirt makes of ours. The guest verifies its own memory and has the last word. */
import { spawn } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeSeal } from "../../../src/fixedram/seal.ts";
import { openLegacy } from "../../../src/legacy/reader.ts";
import { encodeLibvirtHeader, type LibvirtFormat, type LibvirtHeader } from "../../../src/libvirt/header.ts";
import { openLibvirt, pumpLibvirt, readLibvirtHeader } from "../../../src/libvirt/reader.ts";
import { writeLibvirtSparse } from "../../../src/libvirt/writer.ts";
import type { RamBlock } from "../../../src/pages/block.ts";
import type { PageBatch } from "../../../src/pages/sink.ts";
import type { Store } from "../../../src/pages/store.ts";
import { FileStore } from "../../../src/storage/file-store.ts";
import { ScratchFile } from "../../../src/storage/scratch-file.ts";
import { TargetFile } from "../../../src/storage/target-file.ts";
import type { StreamEvents } from "../../../src/stream/events.ts";
import type { StreamRecord } from "../../../src/stream/records.ts";
import { meta } from "../../fixedram/sample.ts";
import { fixedram, type Status, testFolder } from "../harness/index.ts";
import { processesWith } from "../support/processes.ts";
import { expectWell, long } from "../support/steps.ts";
import { type Domain, Libvirt, libvirtTools, whyNoLibvirt } from "./harness.ts";

const missing = whyNoLibvirt();
if (missing !== undefined) console.warn(`not tested: ${missing}`);
process.env.PATH = `${process.env.PATH ?? ""}${delimiter}${libvirtTools}`;

interface Kind {
  readonly name: string;
  readonly format: LibvirtFormat;
  readonly options: readonly string[];
  readonly paused?: boolean;
}
const plain = (["raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse"] as const).map((format) => ({
  name: format,
  format,
  options: ["--image-format", format],
}));
const sparse = (name: string, ...options: string[]): Kind => ({
  name,
  format: "sparse",
  options: ["--image-format", "sparse", ...options],
});
const kinds: readonly Kind[] = [
  ...plain,
  sparse("sparse, 4 channels", "--parallel-channels", "4"),
  sparse("sparse, O_DIRECT", "--bypass-cache"),
  ...(long ? [sparse("sparse, 2 channels, O_DIRECT [long]", "--parallel-channels", "2", "--bypass-cache")] : []),
  { ...sparse("sparse, paused", "--paused"), paused: true },
];

describe.skipIf(missing !== undefined)("libvirt", () => {
  let libvirt: Libvirt;
  let domain: Domain;
  let folder: string;
  /** Before the first save: the guest's boot, and a counter that every image is past. */
  let first: Status;
  /** What `virsh dumpxml --migratable --security-info` says. */
  let dumped: Uint8Array;
  let copies = 0;

  const imageOf = (name: string) => join(folder, `${name.replace(/\W+/g, "-")}.img`);
  /** A copy that may be changed. */
  const copyOf = (name: string) => {
    copies++;
    const path = join(folder, `copy-${copies}.img`);
    copyFileSync(imageOf(name), path);
    return path;
  };
  const headerOf = async (path: string): Promise<LibvirtHeader> => await withStore(path, readLibvirtHeader);

  beforeAll(async () => {
    folder = join(testFolder(), "images");
    mkdirSync(folder);
    libvirt = await Libvirt.start();
    domain = await libvirt.define();
    first = await domain.start();
    dumped = Buffer.from(await libvirt.virsh("dumpxml", "--migratable", "--security-info", domain.name));
    for (const [i, kind] of kinds.entries()) {
      await domain.save(imageOf(kind.name), ...kind.options);
      // Each one is restored by libvirt itself, so that a bad image is not taken for a bad reader of ours.
      if (i < kinds.length - 1) await domain.restore(imageOf(kind.name));
    }
  }, 120_000);
  afterAll(async () => {
    await libvirt?.stop();
  });

  /** libvirt restores it, the guest is well, and goes on from the image's state. */
  async function restores(path: string, options: readonly string[] = []): Promise<void> {
    await domain.restore(path, ...options);
    try {
      expectWell(await domain.verdict(), first);
      expect(await domain.state()).toBe("running");
    } finally {
      await domain.destroy();
    }
  }

  async function refused(path: string): Promise<string> {
    return await libvirt.virsh("restore", path).then(
      () => "restored",
      (error: { stderr?: string }) => error.stderr ?? String(error),
    );
  }

  describe.each(kinds)("an image of libvirt's: $name", ({ name, format, paused = false }) => {
    test("its header, as virsh sees it", async () => {
      const path = imageOf(name);
      const header = await headerOf(path);
      const little = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
      expect(header).toMatchObject({ version: 2, format, wasRunning: !paused, byteOrder: little ? "little" : "big" });
      const shown = await libvirt.virsh("save-image-dumpxml", "--security-info", path);
      const xml = Buffer.from(header.xml).toString("utf8");
      expect(xml.trim()).toBe(Buffer.from(dumped).toString("utf8").trim());
      // virsh adds the devices that go without saying.
      const lines = shown.split("\n");
      let at = 0;
      for (const line of xml.trim().split("\n")) at = lines.indexOf(line, at) + 1 || Number.NaN;
      expect(at, `${xml}\nnot in order in\n${shown}`).toBeGreaterThan(10);
      expect(xml).toContain("<description>gäst — 客</description>");
      const cookie = Buffer.from(header.cookie ?? []).toString("utf8");
      expect(cookie).toMatch(/^<cookie>[\s\S]*<\/cookie>\n$/);
      expect(header.cookieOffset).toBe(header.xml.length + 1);
      expect(header.dataLength).toBe(header.xml.length + 1 + Buffer.byteLength(cookie) + 1 + 65536);
    });

    if (format === "sparse")
      test("its pages have places", async () => {
        await withStore(imageOf(name), async (store) => {
          const opened = await openLibvirt(store, { openStreamAt: never });
          if (opened.kind !== "sparse") throw new Error(opened.kind);
          const { file, header } = opened;
          expect(file.streamBase).toBe(header.streamBase);
          expect(file.streamEnd).toBe(store.size);
          expect(file.seal.state).toBe("none");
          const ram = file.blocks.find(({ block }) => block.name === "pc.ram");
          expect(ram?.block.length).toBe(64 * 2 ** 20);
          expect(file.bitmaps[ram?.block.index ?? -1]?.count()).toBeGreaterThan(512);
          for (const { pagesOffset } of file.blocks) expect(pagesOffset % 2 ** 20).toBe(0);
        });
      });
    else
      test("its stream is read to its end", async () => {
        await withStore(imageOf(name), async (store) => {
          const header = await readLibvirtHeader(store);
          const seen = new Counter();
          const length = await pumpLibvirt(store, header, seen);
          expect(seen.last).toBe("vmdesc");
          expect(seen.pageCount).toBeGreaterThan(512);
          expect(seen.pageCount + seen.zeroCount).toBeGreaterThanOrEqual(64 * 256);
          if (format === "raw") expect(header.streamBase + length).toBe(store.size);
        });
      });
  });

  describe("an image of ours", () => {
    test.each([
      ["as it was", "sparse", () => ({})],
      ["sealed", "sparse", () => ({ meta })],
      ["with virsh dumpxml's XML, without a cookie", "sparse, O_DIRECT", () => ({ xml: dumped, cookie: null })],
    ])("%s", async (what, from, choices) => {
      const path = join(folder, `ours ${what}.img`);
      await withStore(imageOf(from), async (store) => {
        const opened = await openLibvirt(store, { openStreamAt: never });
        if (opened.kind !== "sparse") throw new Error(opened.kind);
        const { xml, cookie } = opened.header;
        await writeLibvirtSparse(TargetFile.create(path), opened.file, { xml, cookie, wasRunning: true, ...choices() });
      });
      expect(statSync(path).blocks * 512).toBeLessThan(statSync(path).size);
      const shown = await libvirt.virsh("save-image-dumpxml", "--security-info", path);
      expect(shown).toBe(await libvirt.virsh("save-image-dumpxml", "--security-info", imageOf(from)));
      await restores(path);
      await restores(path, ["--parallel-channels", "2", "--bypass-cache"]);
    });

    test("from the pages of a raw one", async () => {
      const path = join(folder, "ours from raw.img");
      await withStore(imageOf("raw"), async (store) => {
        const openStreamAt = (stream: Store, base: number) =>
          openLegacy(stream, { base, scratch: () => ScratchFile.create(folder) });
        const opened = await openLibvirt(store, { openStreamAt });
        if (opened.kind !== "raw") throw new Error(opened.kind);
        const { header, stream } = opened;
        expect(stream.streamEnd).toBe(store.size);
        await writeLibvirtSparse(TargetFile.create(path), stream, { ...header, meta });
        await stream.close();
      });
      await restores(path);
    });

    test("that was not running waits", async () => {
      const path = join(folder, "ours paused.img");
      await withStore(imageOf("sparse"), async (store) => {
        const opened = await openLibvirt(store, { openStreamAt: never });
        if (opened.kind !== "sparse") throw new Error(opened.kind);
        const { xml, cookie } = opened.header;
        await writeLibvirtSparse(TargetFile.create(path), opened.file, { xml, cookie, wasRunning: false });
      });
      await domain.restore(path);
      expect(await domain.state()).toBe("paused");
      await libvirt.virsh("resume", domain.name);
      expectWell(await domain.verdict(), first);
      await domain.destroy();
    });
  });

  describe("the command line", () => {
    test.each(["raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse"])(
      "a %s image to a sparse one, by way of a fixed-ram file",
      async (from) => {
        const image = join(folder, `cli ${from}.img`);
        const fram = join(folder, `cli ${from}.fram`);
        await command("convert", imageOf(from), fram);
        // What libvirt keeps went into the record and comes out of it.
        await command("convert", fram, image, "--to", "libvirt-sparse");
        const shown = await libvirt.virsh("save-image-dumpxml", "--security-info", image);
        expect(shown).toBe(await libvirt.virsh("save-image-dumpxml", "--security-info", imageOf(from)));
        await restores(image);
      },
    );

    test("a sparse image straight to a sparse one", async () => {
      const image = join(folder, "cli straight.img");
      await command("convert", imageOf("sparse"), image, "--to", "libvirt-sparse");
      expect(await command("verify", image, "--deep")).toMatchObject({
        ok: true,
        container: "libvirt",
        sealState: "sealed",
      });
      await restores(image, ["--parallel-channels", "2"]);
    });

    test("an image that was sealed in place is verified, and restored by virsh", async () => {
      const path = copyOf("sparse");
      const { id } = await command("seal", path);
      expect(await command("verify", path, "--deep", "--id", String(id))).toMatchObject({
        ok: true,
        container: "libvirt",
      });
      await restores(path);
      await restores(path, ["--parallel-channels", "2", "--bypass-cache"]);
    });

    test.each(plain.map(({ name }) => name))("info and verify of a %s image", async (name) => {
      const found = await command("info", imageOf(name));
      expect(found).toMatchObject({ container: "libvirt", libvirt: { format: name, wasRunning: true } });
      const shown = found as { libvirt: { xml: string; cookie: string } };
      expect(shown.libvirt.xml.trim()).toBe(Buffer.from(dumped).toString("utf8").trim());
      expect(shown.libvirt.cookie).toContain("</cookie>");
      const { stdout } = await fixedram(["info", imageOf(name)]);
      expect(stdout).toContain("<description>gäst — 客</description>");
      expect(await command("verify", imageOf(name))).toMatchObject({ ok: true, sealState: "none" });
    });

    test("an unfinished image is refused by name", async () => {
      const path = copyOf("sparse");
      const file = await open(path, "r+");
      await file.write("LibvirtQemudPart", 0);
      await file.close();
      for (const args of [
        ["info", path],
        ["convert", path, join(folder, "x.fram")],
        ["verify", path],
      ]) {
        const { code, stdout } = await fixedram([...args, "--json"]);
        expect([code, JSON.parse(stdout).error.code]).toEqual([3, "file.unfinished"]);
      }
    });
  });

  describe("bytes behind the stream", () => {
    test.each(["sparse", "raw"])("%s: a seal is ignored", async (name) => {
      const path = copyOf(name);
      const { streamBase } = await headerOf(path);
      const end = statSync(path).size;
      const seal = encodeSeal(streamBase, end, meta);
      truncateSync(path, seal.offset);
      appendFileSync(path, seal.sections);
      truncateSync(path, seal.trailerOffset);
      appendFileSync(path, seal.trailer);
      if (name === "sparse") {
        const state = await withStore(path, async (store) => {
          const opened = await openLibvirt(store, { openStreamAt: never });
          return opened.kind === "sparse" ? opened.file.seal.state : opened.kind;
        });
        expect(state).toBe("sealed");
      } else {
        await withStore(path, async (store) => {
          const length = await pumpLibvirt(store, await readLibvirtHeader(store), new Counter());
          expect(streamBase + length).toBe(end);
        });
      }
      await restores(path);
    });

    test("gzip: libvirt refuses them", async () => {
      const path = copyOf("gzip");
      appendFileSync(path, Buffer.alloc(5000, 0xaa));
      expect(await refused(path)).not.toBe("restored");
      expect(await libvirt.virsh("domstate", domain.name)).toContain("shut off");
    });
  });

  describe("what docs/format.md says of the header", () => {
    async function patched(change: (header: Buffer) => void, name = "sparse"): Promise<string> {
      const path = copyOf(name);
      const file = await open(path, "r+");
      const header = Buffer.alloc(92);
      await file.read(header, 0, 92, 0);
      change(header);
      await file.write(header, 0, 92, 0);
      await file.close();
      return path;
    }

    test("big-endian numbers are restored", async () => {
      const path = await patched((header) => header.subarray(16, 92).swap32());
      expect(await headerOf(path)).toMatchObject({ byteOrder: "big", version: 2, format: "sparse" });
      await restores(path);
    });

    test("version 1 is restored", async () => {
      const path = await patched((header) => header.writeUInt32LE(1, 16));
      expect((await headerOf(path)).version).toBe(1);
      await restores(path);
    });

    test.each([
      ["unfinished", (header: Buffer) => header.write("LibvirtQemudPart"), /incomplete/, "file.unfinished"],
      ["version 3", (header: Buffer) => header.writeUInt32LE(3, 16), /version/, "file.libvirt-version"],
      ["format 7", (header: Buffer) => header.writeUInt32LE(7, 28), /compress|format/, "file.libvirt-format"],
      ["another magic", (header: Buffer) => header.write("X"), /magic/, "file.not-libvirt"],
    ])("%s: libvirt and we refuse it", async (_what, change, words, code) => {
      const path = await patched(change);
      expect(await refused(path)).toMatch(words);
      await expect(headerOf(path)).rejects.toMatchObject({ code });
    });

    test("save-image-define changes the XML in place, the stream stays", async () => {
      const path = copyOf("sparse");
      const before = await headerOf(path);
      const shown = await libvirt.virsh("save-image-dumpxml", "--security-info", path);
      const edited = join(folder, "edited.xml");
      writeFileSync(edited, shown.replace("gäst — 客", `longer ${"x".repeat(3000)}`));
      await libvirt.virsh("save-image-define", path, edited);
      const after = await headerOf(path);
      expect(Buffer.from(after.xml).toString("utf8")).toContain("x".repeat(3000));
      expect(after.cookie).toEqual(before.cookie);
      expect(after.streamBase).toBe(before.streamBase);
      expect(after.cookieOffset).toBeGreaterThan(before.cookieOffset);
      await restores(path);
    });

    test("our encoder gives libvirt's own bytes", async () => {
      const path = imageOf("zstd");
      const header = await headerOf(path);
      const encoded = Buffer.from(encodeLibvirtHeader(header));
      encoded.write("LibvirtQemudSave");
      expect(encoded.equals(readFileSync(path).subarray(0, header.streamBase))).toBe(true);
    });
  });

  test("a test run that is killed leaves nothing running or mounted", async () => {
    const script = fileURLToPath(new URL("start-and-wait.ts", import.meta.url));
    const child = spawn(process.execPath, ["--import", "tsx", script], { stdio: ["ignore", "pipe", "inherit"] });
    const [pid = "", name = ""] = await new Promise<string[]>((resolve, reject) => {
      child.stdout.on("data", (text: Buffer) => resolve(text.toString().trim().split(" ")));
      child.once("exit", (code) => reject(new Error(`ended with ${code}`)));
    });
    expect(processesWith(`guest=${name},`)).toHaveLength(1);
    const mounts = readFileSync("/proc/self/mountinfo", "utf8");
    child.kill("SIGKILL");
    for (const end = performance.now() + 10_000; existsSync(`/proc/${pid}/stat`) && performance.now() < end; ) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(processesWith(`guest=${name},`)).toEqual([]);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(mounts);
  });
});

/** A command that ends well; its answer. */
async function command(...args: readonly string[]): Promise<Record<string, unknown>> {
  const run = await fixedram([...args, "--json"]);
  expect(run, run.stdout + run.stderr).toMatchObject({ code: 0 });
  return JSON.parse(run.stdout);
}

function never(): Promise<never> {
  return Promise.reject(new Error("this image is not raw"));
}

async function withStore<T>(path: string, work: (store: FileStore) => Promise<T>): Promise<T> {
  const store = FileStore.open(path);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

class Counter implements StreamEvents {
  pageCount = 0;
  zeroCount = 0;
  last = "";

  record({ kind }: StreamRecord): void {
    this.last = kind;
  }
  pages({ count }: PageBatch): void {
    this.pageCount += count;
  }
  zeroPages(_block: RamBlock, _first: number, count: number): void {
    this.zeroCount += count;
  }
  encoded(): void {
    throw new Error("libvirt switches no page encoding on");
  }
}
