/** Nothing that a file, its name or its record holds reaches a terminal as it is: no escape sequence, no control or direction mark. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { operations } from "../../src/cli/main.ts";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import { sealInPlace } from "../../src/fixedram/seal-in-place.ts";
import { cli } from "../cli/fakes.ts";
import { MemoryFile, meta } from "../fixedram/sample.ts";
import { readVectors } from "./all.ts";
import { libvirtHead, mapped, stream } from "./sound.ts";

const evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u0085\x7f";
/** The same with what only text, not bytes, can hold. */
const worse = `${evil}\u202e\u2066\u200f\u2028`;
/** Everything but line feeds that moves, colours, hides or turns what is shown. */
const raw = /[^\P{Cc}\n]|[\p{Zl}\p{Zp}\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-terminal-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

class SyncedFile extends MemoryFile {
  async sync(): Promise<void> {}
}

const devices = [
  { name: evil, id: 7, payload: Uint8Array.of(1, 2, 3, 4) },
  { name: "globalstate", id: 8, payload: new Uint8Array(104).fill(0x1b, 4) },
];
const blocks = [
  { name: evil, pages: 5, present: { 0: 1, 3: 2 } },
  { name: `rom${evil}`, pages: 2, present: { 1: 3 } },
];

async function files(): Promise<Record<string, Uint8Array>> {
  const file = mapped({ machine: evil, capabilities: ["mapped-ram", evil], devices, blocks });
  const store = new SyncedFile();
  store.write(file.bytes, 0);
  const disk = { device: worse, path: worse, format: worse, size: 1, mtime: worse, inode: worse, readOnly: true };
  const record = {
    ...meta,
    tool: { name: worse, version: worse },
    qemuVersion: worse,
    accelerator: worse,
    machine: worse,
    guestName: worse,
    runState: worse,
    cpu: { model: worse, flags: [worse] },
    argv: { arguments: ["qemu", worse], redacted: false, fileDescriptors: [] },
    disks: [disk],
    memoryMap: [{ start: 0, length: 4096, block: evil, offset: 0 }],
    [worse]: worse,
  };
  await sealInPlace(store, await openFixedRam(store), record);
  const sealed = store.bytes();
  const damaged = sealed.slice();
  damaged.fill(9, file.at("block0.page3"), file.at("block0.page3") + 10);
  damaged.fill(0x1b, file.at(`${evil}.payload`), file.at(`${evil}.payload`) + 2);
  const head = libvirtHead();
  const xml = head.at("xml") + "<domain type='qemu'><name>".length;
  const image = Uint8Array.from([...head.bytes, ...stream({ machine: evil, devices }).bytes]);
  image.set([0x1b, 0x5b, 0x32, 0x4a, 0x9b], xml);
  return {
    "mapped.bin": file.bytes,
    "sealed.fram": sealed,
    "damaged.fram": damaged,
    "half.fram": sealed.slice(0, -128),
    "stream.bin": stream({ machine: evil, devices }).bytes,
    "image.bin": image,
    "text.bin": Uint8Array.from(worse, (letter) => letter.charCodeAt(0)),
  };
}

const commands = (path: string, out: string): string[][] => [
  ["info", path],
  ["map", path],
  ["map", path, "--block", worse],
  ["verify", path, "--deep"],
  ["verify", path, "--id", worse],
  ["devices", path],
  ["devices", path, worse],
  ["cpus", path],
  ["read", path, "0", "64"],
  ["read", path, "0", "64", "--string"],
  ["translate", path, "0x1000"],
  ["diff", path, path],
  ["export", path, `${out}.core`],
  ["repair", path],
  ["seal", path],
  ["convert", path, `${out}.fram`, "--force"],
  ["convert", path, `${out}.stream`, "--to", "stream", "--force"],
  ["convert", path, `${out}.img`, "--to", "libvirt-sparse", "--force"],
  ["convert", path, `${out}-raw`, "--to", "raw", "--force"],
];

async function quiet(argv: string[], columns?: number): Promise<void> {
  const { stdout, stderr, code } = await cli(
    argv,
    operations,
    columns === undefined ? {} : { columns, env: { NO_COLOR: "1" } },
  );
  const shown = `${stdout}${stderr}`;
  const found = raw.exec(shown);
  expect(
    found === null ? null : [argv, JSON.stringify(shown.slice(Math.max(0, found.index - 40), found.index + 40))],
  ).toBeNull();
  expect(stderr, argv.join(" ")).not.toContain("internal.error");
  expect(stdout, argv.join(" ")).not.toContain("internal.error");
  expect(code).toBeLessThan(6);
}

describe("names, records, XML and device state that hold escape sequences", () => {
  test.each(["mapped.bin", "sealed.fram", "damaged.fram", "half.fram", "stream.bin", "image.bin", "text.bin"])(
    "%s",
    async (name) => {
      const bytes = (await files())[name];
      if (bytes === undefined) throw new Error("no file");
      let turn = 0;
      for (const more of [[], ["--json"]]) {
        const path = join(folder, `${turn}\x1b[31m${name}`);
        for (const argv of commands(path, join(folder, `${turn}-${name}`))) {
          // Repair and seal change it.
          writeFileSync(path, bytes);
          await quiet([...argv, ...more], turn === 0 ? 80 : undefined);
        }
        turn++;
      }
      await quiet(["info", `${folder}/${worse}`]);
      await quiet([worse]);
      await quiet(["info", "x", `--${worse}`]);
      await quiet(["convert", join(folder, `0\x1b[31m${name}`), `${folder}/no${worse}/x`]);
    },
    120_000,
  );
});

test("what is escaped is shown, not left out", async () => {
  const path = join(folder, "shown.fram");
  writeFileSync(path, (await files())["sealed.fram"] ?? "");
  const { stdout } = await cli(["info", path], operations);
  for (const shown of ["\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\x85\\x7f", "\\u202e\\u2066"])
    expect(stdout).toContain(shown);
  expect(raw.test(worse)).toBe(true);
});

test("no vector makes a command say something raw, or fail in a way that was not foreseen", async () => {
  const path = join(folder, "vector");
  for (const vector of readVectors()) {
    if (vector.bytes.length > 2 ** 20) continue;
    writeFileSync(path, vector.bytes);
    for (const command of process.env["FIXEDRAM_LONG"] === "1" ? ["info", "map", "devices", "cpus"] : ["info"])
      await quiet([command, path]);
  }
  expect(existsSync(`${path}.index`)).toBe(false);
}, 300_000);
