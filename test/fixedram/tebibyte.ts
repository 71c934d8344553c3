/**
 * The proposal's own example, run in a process of its own so that its peak memory can be told: a block of 1 TiB, 10^6
 * scattered pages, the first and the last among them. argv: target file, number of pages. Prints one JSON object.
 */
import { readFileSync } from "node:fs";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { ExtentKind, ExtentList } from "../../src/pages/extents.ts";
import type { PageBatch } from "../../src/pages/sink.ts";
import { FileStore } from "../../src/storage/file-store.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { configuration, meta, pageSize, ramStart, tail } from "./sample.ts";

const pages = 2 ** 28;
const present = Number(process.argv[3] ?? 10 ** 6);
const out = process.argv[2] ?? "";

const pageOf = (i: number) => (i === present - 1 ? pages - 1 : Math.floor((i * pages) / present));

async function write(): Promise<number> {
  const writer = new FixedRamWriter(TargetFile.create(out), configuration(), ramStart(["pc.ram", pages]));
  const [block] = writer.blocks;
  if (block === undefined) throw new Error("no block");
  const count = 250;
  const chunk = new Uint8Array(count * (pageSize + 8));
  const words = new DataView(chunk.buffer);
  const batch: PageBatch = { block, count, pages: new Float64Array(count), offsets: new Uint32Array(count), chunk };
  for (let i = 0; i < present; i += count) {
    for (let k = 0; k < count; k++) {
      const offset = k * (pageSize + 8) + 8;
      batch.pages[k] = pageOf(i + k);
      batch.offsets[k] = offset;
      words.setFloat64(offset, pageOf(i + k) + 0.5);
    }
    writer.writePages(batch);
  }
  writer.tail(tail());
  await writer.finish(meta);
  return writer.streamEnd;
}

/** KiB, of this program alone: what getrusage tells has in it what the process that started us used. */
function peakKib(): number {
  return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1]);
}

const baseline = peakKib();
const startWrite = performance.now();
const streamEnd = await write();
const startOpen = performance.now();
const cpuBefore = process.cpuUsage();
const store = FileStore.open(out);
const file = await openFixedRam(store);
const startMap = performance.now();
const list = new ExtentList();
let data = 0;
let zero = 0;
let extents = 0;
let wrong = 0;
let last = 0;
const word = new Uint8Array(8);
const view = new DataView(word.buffer);
const check: [number, number][] = [];
for (let page = 0; page < pages; ) {
  list.clear();
  page += file.map.extents(0, page, pages - page, list);
  extents += list.length;
  for (let i = 0; i < list.length; i++) {
    const count = list.pages[i] ?? 0;
    if (list.kind[i] !== ExtentKind.data) zero += count;
    else {
      data += count;
      last = list.offset[i] ?? 0;
      if (data % 100 === 1 || data === present) check.push([list.first[i] ?? -1, last]);
    }
  }
}
const end = performance.now();
const { user, system } = process.cpuUsage(cpuBefore);
for (const [page, offset] of check) {
  store.readSync(word, offset);
  if (view.getFloat64(0) !== page + 0.5) wrong++;
}
const times = {
  write: startOpen - startWrite,
  open: startMap - startOpen,
  map: end - startMap,
  cpu: (user + system) / 1000,
};
const peak = peakKib();
const result = {
  baseline,
  peak,
  times,
  data,
  zero,
  extents,
  wrong,
  checked: check.length,
  last,
  streamEnd,
  end: file.streamEnd,
};
console.log(JSON.stringify({ ...result, seal: file.seal.state, size: store.size, allocated: store.allocated }));
