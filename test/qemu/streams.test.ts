import { describe, expect, test } from "vitest";
import { StreamReader } from "../../src/stream/reader.ts";
import { parseVmdesc, payloadLength } from "../../src/stream/vmdesc.ts";
import { errorOf, hex, Recorder, read, rewrite } from "../stream/helpers.ts";
import { loadStream, makeStream, QEMU_10, qemuVersion, type StreamWish } from "../stream/qemu-streams.ts";

const version = qemuVersion();
if (version === null) console.warn("skipped: no qemu-system-x86_64, so no real streams to read");

const devices = ["-device", "virtio-net-pci", "-device", "virtio-rng-pci", "-device", "qemu-xhci", "-smp", "2"];
const wishes: [name: string, wish: StreamWish, machine: RegExp][] = [
  ["pc", { machine: "pc" }, /^pc-i440fx-/],
  ["q35", { machine: "q35" }, /^pc-q35-/],
  ["microvm", { machine: "microvm" }, /^microvm/],
  [
    "q35 with devices, 2 CPUs and a uuid",
    {
      machine: "q35",
      arguments: [...devices, "-uuid", "00112233-4455-6677-8899-aabbccddeeff"],
      capabilities: ["validate-uuid"],
    },
    /^pc-q35-/,
  ],
  [
    "pc with postcopy commands, over a socket that closes only at the end",
    { machine: "pc", capabilities: ["postcopy-ram", "dirty-bitmaps"], socket: true },
    /^pc-i440fx-/,
  ],
  ["microvm with x-ignore-shared", { machine: "microvm", capabilities: ["x-ignore-shared"] }, /^microvm/],
  ["pc with xbzrle", { machine: "pc", capabilities: ["xbzrle"] }, /^pc-i440fx-/],
  ["pc of 2.4, the oldest with a configuration", { machine: "pc-i440fx-2.4" }, /^pc-i440fx-2.4$/],
];

describe.skipIf(version === null)(`real streams of ${version}`, () => {
  test.concurrent.each(wishes)("%s", async (_name, wish, machine) => {
    const stream = await makeStream(wish);
    const { recorder, reader } = read(stream, [1 << 20]);
    expect(reader.complete).toBe(true);
    expect(reader.position).toBe(stream.length);
    const records = recorder.records;
    const configuration = records.find((r) => r.kind === "configuration");
    expect(configuration?.machine).toMatch(machine);

    // Each section has the length that its description gives, and what is known of two of them holds.
    const vmdesc = records.find((r) => r.kind === "vmdesc");
    const sections = records.filter((r) => r.kind === "device");
    const described = parseVmdesc(vmdesc?.bytes ?? new Uint8Array(0)).devices;
    expect(sections.map((s) => [s.name, s.payload.length])).toEqual(described.map((d) => [d.name, payloadLength(d)]));
    const globalstate = sections.find((s) => s.name === "globalstate")?.payload;
    // u32 length, name, padding: docs/format.md.
    expect(hex(globalstate?.subarray(0, 14) ?? new Uint8Array(0))).toBe(
      `0000000a${Buffer.from("prelaunch\0").toString("hex")}`,
    );
    expect(sections.find((s) => s.name === "timer")?.payload.length).toBe(24);

    // Every page of every block was given, as data or zero.
    const given = new Set(recorder.events.flatMap((e) => ("page" in e ? [`${e.block} ${e.page}`] : [])));
    expect(given.size).toBe(reader.blocks.reduce((sum, block) => sum + block.pages, 0));

    expect(hex(rewrite(stream, [4099])) === hex(stream)).toBe(true);
    const renumbered = rewrite(stream, [1 << 20], { renumber: true });
    expect(renumbered.length).toBe(stream.length);
    const ids = read(renumbered).recorder.records.flatMap((r) => (r.kind === "footer" ? [r.sectionId] : []));
    expect(Math.max(...ids)).toBe(new Set(ids).size);
    expect(JSON.stringify(read(stream, [61, 4096, 3]).recorder.events)).toBe(JSON.stringify(recorder.events));
  });

  test.concurrent("the end of a real stream is seen with its last byte, pushed one by one", async () => {
    const stream = await makeStream({ machine: "microvm" });
    const reader = new StreamReader(new Recorder());
    for (let at = 0; at < stream.length; at++) {
      expect(reader.complete).toBe(false);
      expect(reader.push(stream.subarray(at, at + 1))).toBe(1);
    }
    expect(reader.complete).toBe(true);
  });

  test.concurrent("a stream with other section ids loads, one with a byte too few in a section does not", async () => {
    const wish = { machine: "q35" };
    const stream = await makeStream(wish);
    const renumbered = rewrite(stream, [1 << 20], { renumber: true });
    expect(hex(renumbered) === hex(stream)).toBe(false);
    expect(await loadStream(wish, renumbered)).toBe("completed");
    const name = Buffer.from(stream).indexOf("globalstate");
    const damaged = Buffer.concat([stream.subarray(0, name + 30), stream.subarray(name + 31)]);
    expect(await loadStream(wish, damaged)).not.toBe("completed");
  });

  test.concurrent("a background snapshot, which has no END", async () => {
    const wish = { machine: "pc", capabilities: ["background-snapshot"], running: true };
    const stream = await makeStream(wish).catch((error: Error) => error);
    if (stream instanceof Error) {
      // Without write-protecting userfaultfd QEMU refuses the capability; anything else is a failure.
      expect(stream.message).toMatch(/[Bb]ackground-snapshot/);
      console.warn(`skipped: ${stream.message}`);
      return;
    }
    const { recorder } = read(stream, [4096]);
    expect(recorder.kinds()).not.toContain("ram-end");
    expect(recorder.kinds()).toContain("ram-part");
    expect(recorder.kinds().at(-1)).toBe("vmdesc");
    expect(hex(rewrite(stream)) === hex(stream)).toBe(true);
  });

  test.concurrent("a machine without a configuration section is named", async () => {
    const stream = await makeStream({ machine: "pc-i440fx-2.3" }).catch((error: Error) => error);
    if (stream instanceof Error) {
      expect(stream.message).toBe("QEMU ended before the migration");
      console.warn("skipped: this QEMU has no machine type as old as 2.3");
      return;
    }
    expect(errorOf(() => read(stream)).code).toBe("stream.no-configuration");
  });
});

const version10 = qemuVersion(QEMU_10);
if (version10 === null) console.warn("skipped: script/setup has not put a QEMU with mapped-ram into .cache");

describe.skipIf(version10 === null)(`streams that only ${version10} writes`, () => {
  test.concurrent("mapped-ram: the reader hops from block to block", async () => {
    const file = await makeStream({ qemu: QEMU_10, machine: "q35", capabilities: ["mapped-ram"] });
    const { recorder, reader } = read(file, [65536]);
    expect(reader.position).toBe(file.length);
    const start = recorder.records.find((r) => r.kind === "ram-start");
    expect(start?.blocks.length).toBeGreaterThan(5);
    for (const { mapped } of start?.blocks ?? []) {
      expect(mapped).toMatchObject({ version: 1, pageSize: 4096 });
      expect((mapped?.pagesOffset ?? 1) % 2 ** 20).toBe(0);
    }
    expect(recorder.records.filter((r) => r.kind === "device").length).toBeGreaterThan(20);
    // What the writer puts between the pages and bitmaps is what QEMU put there.
    const written = rewrite(file, [65536]);
    expect(written.length).toBe(file.length);
    expect(written.every((byte, at) => byte === 0 || byte === file[at])).toBe(true);
    expect(JSON.stringify(read(written, [9]).recorder.events)).toBe(JSON.stringify(recorder.events));
  });

  test.concurrent("virtio-mem writes early sections", async () => {
    const memory = (id: string) => `memory-backend-ram,id=${id},size=16M`;
    const device = (id: string, at: string) => `virtio-mem-pci,id=v${id},memdev=${id},requested-size=4M,addr=${at}`;
    const pair = [
      "-object",
      memory("m0"),
      "-object",
      memory("m1"),
      "-device",
      device("m0", "5"),
      "-device",
      device("m1", "6"),
    ];
    const stream = await makeStream({
      qemu: QEMU_10,
      machine: "pc",
      arguments: ["-m", "size=16M,maxmem=1G", ...pair],
    });
    const { recorder } = read(stream, [1 << 16]);
    const early = recorder.records.filter((r) => r.kind === "device" && r.early);
    expect(early).toHaveLength(2);
    expect(JSON.stringify(read(stream, [1]).recorder.events)).toBe(JSON.stringify(recorder.events));
    expect(hex(rewrite(stream)) === hex(stream)).toBe(true);
  });
});
