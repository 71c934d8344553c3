/**
 * What a multifd channel costs, in figures that do not depend on the machine: calls of the system, bytes, garbage, and processor
 * time against a plain copy in the same run. docs/performance.md has the times.
 */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PerformanceObserver } from "node:perf_hooks";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PageHasher } from "../../../src/bytes/page-digest.ts";
import { planLayout } from "../../../src/fixedram/layout.ts";
import { PlacedPages } from "../../../src/fixedram/placed-pages.ts";
import { ThroughDigests } from "../../../src/fixedram/through-digests.ts";
import { encodePacketHeader, packetHeaderSize } from "../../../src/stream/multifd-packet.ts";
import { MultifdReader } from "../../../src/stream/multifd-reader.ts";

const PAGE = 4096;
const PER_PACKET = 128;
const PACKETS = 128;
const block = { index: 0, name: "pc.ram", length: 2 ** 30, pageSize: PAGE, pages: 2 ** 18 };

/** A file that counts: calls, bytes, and how many bytes came from another place than the channel's own buffer. */
class CountingFile {
  calls = 0;
  bytes = 0;
  foreign = 0;
  fd: number | null = null;
  home: ArrayBufferLike | null = null;

  write(bytes: Uint8Array, position: number): void {
    this.calls++;
    this.bytes += bytes.length;
    if (bytes.buffer !== this.home) this.foreign += bytes.length;
    if (this.fd !== null) writeSync(this.fd, bytes, 0, bytes.length, position % 2 ** 26);
  }

  writev(views: readonly Uint8Array[], position: number): void {
    let at = position;
    for (const view of views) {
      this.write(view, at);
      at += view.length;
    }
  }

  readBack(): number {
    return 0;
  }
}

function channel() {
  const file = new CountingFile();
  const hasher = new PageHasher(MultifdReader.bufferBytes(PAGE));
  const { blocks } = planLayout(100, [block]);
  const placed = new PlacedPages(file, blocks, () => true, new ThroughDigests(hasher, file, blocks));
  file.home = hasher.region.buffer;
  const reader = new MultifdReader(hasher.region, [block], {
    greeting: () => {},
    pages: (batch) => placed.writePages(batch),
    zeroPages: (of, first, count) => placed.zeroPages(of, first, count),
    sync: () => {},
  });
  reader.push(greeting);
  return { file, placed, reader };
}

const greeting = new Uint8Array(64);
new DataView(greeting.buffer).setUint32(0, 0x11223344);
new DataView(greeting.buffer).setUint32(4, 1);

/** A packet of 128 pages, `apart` from one to the next. */
function packet(first: number, apart = 1): Uint8Array {
  const bytes = new Uint8Array(packetHeaderSize(PAGE) + PER_PACKET * PAGE).fill(0x5a);
  const pages = Array.from({ length: PER_PACKET }, (_, i) => first + i * apart);
  encodePacketHeader(
    bytes.subarray(0, packetHeaderSize(PAGE)),
    { number: 1, sync: false, block: block.name, pages, zeroPages: [] },
    PAGE,
  );
  return bytes;
}

/** As a socket brings it: in pieces of up to 200 KiB, read into the reader's own buffer. */
function bring({ reader }: ReturnType<typeof channel>, bytes: Uint8Array): number {
  let reads = 0;
  for (let at = 0; at < bytes.length; reads++) {
    const count = Math.min(reader.room, 200 * 1024, bytes.length - at);
    reader.buffer.set(bytes.subarray(at, at + count), reader.end);
    reader.took(count);
    at += count;
  }
  return reads;
}

const packets = Array.from({ length: PACKETS }, (_, i) => packet(i * PER_PACKET));

describe("system calls and bytes", () => {
  test("adjacent pages: one write a packet and one for its digests, 8 bytes a page and nothing else beside the pages", () => {
    const one = channel();
    for (const each of packets) bring(one, each);
    // 2048 packets are 1 GiB: 4096 writes.
    expect(one.file.calls).toBe(2 * PACKETS);
    expect(one.file.bytes).toBe(PACKETS * PER_PACKET * (PAGE + 8));
    // Pages are written, and hashed, where the socket put them: no copy.
    expect(one.file.foreign).toBe(PACKETS * PER_PACKET * 8);
    expect(one.placed.written).toBe(PACKETS * PER_PACKET);
  });

  test("scattered pages: two writes each, no more", () => {
    const one = channel();
    bring(one, packet(0, 2));
    expect(one.file.calls).toBe(2 * PER_PACKET);
  });

  test("a packet takes as few reads as the socket's pieces allow", () => {
    const one = channel();
    expect(bring(one, packets[0] ?? new Uint8Array(0))).toBe(
      Math.ceil((packetHeaderSize(PAGE) + PER_PACKET * PAGE) / (200 * 1024)),
    );
  });
});

describe("garbage", () => {
  test("nothing is made for each page", async () => {
    const one = channel();
    for (const each of packets) bring(one, each);
    const perPage: number[] = [];
    for (let round = 0; round < 5; round++) {
      let collections = 0;
      const observer = new PerformanceObserver((list) => {
        collections += list.getEntries().length;
      });
      observer.observe({ entryTypes: ["gc"] });
      const before = process.memoryUsage().heapUsed;
      for (const each of packets) bring(one, each);
      const after = process.memoryUsage().heapUsed;
      await new Promise((resolve) => setTimeout(resolve, 10));
      observer.disconnect();
      // A collection in between would make the difference say nothing.
      if (collections === 0) perPage.push((after - before) / (PACKETS * PER_PACKET));
    }
    expect(perPage.length).toBeGreaterThan(0);
    // An object takes 24 bytes at least; views are made for each read and each write.
    expect(Math.min(...perPage)).toBeLessThan(24);
  });
});

describe("processor time", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "fixedram-calls-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("at most three times that of writing and hashing the same bytes", () => {
    const fd = openSync(join(folder, "pages"), "w");
    try {
      const one = channel();
      one.file.fd = fd;
      const plain = new PageHasher(PER_PACKET * PAGE);
      const digests = new Uint8Array(PER_PACKET * 8);
      const ours = () => packets.forEach((each) => void bring(one, each));
      const reference = () =>
        packets.forEach((each, i) => {
          plain.region.set(each.subarray(packetHeaderSize(PAGE)));
          plain.hash(plain.region, 0, PER_PACKET, PAGE, PAGE, digests, 0);
          writeSync(fd, plain.region, 0, plain.region.length, (i * plain.region.length) % 2 ** 26);
        });
      const ratios = Array.from({ length: 5 }, () => {
        const base = spent(reference);
        return spent(ours) / base;
      });
      // The best of five: a machine that is busy with other work only makes them worse.
      expect(Math.min(...ratios)).toBeLessThan(3);
    } finally {
      closeSync(fd);
    }
  });
});

/** Microseconds of this process's processor time. */
function spent(run: () => void): number {
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}
