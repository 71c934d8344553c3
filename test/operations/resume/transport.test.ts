import { expect, test } from "vitest";
import {
  chooseTransport,
  mayHoldData,
  otherLength,
  type TransportFacts,
  zeroPagesWanted,
} from "../../../src/operations/resume/transport.ts";
import type { GuestFacts, MemoryBackend } from "../../../src/qemu/inspect.ts";

const plain: MemoryBackend = { id: "pc.ram", size: 2 ** 30, shared: false, type: "memory-backend-ram", path: null };
const file: MemoryBackend = { ...plain, type: "memory-backend-file", path: "/dev/shm/x" };
const facts = {
  version: { text: "10.0.2" },
  capabilities: { "mapped-ram": false },
  backends: [plain],
  ignoreShared: false,
  readable: true,
  bigEndian: false,
  loadable: true,
  otherLength: null,
} as TransportFacts;

test.each<[string, Partial<TransportFacts>, "mapped-ram" | "stream", string]>([
  ["QEMU 10", {}, "mapped-ram", "QEMU 10.0.2 reads the file itself"],
  ["no backend named", { backends: [] }, "mapped-ram", "reads the file itself"],
  ["a QEMU that does not know it", { capabilities: {} }, "stream", "does not know mapped-ram"],
  ["shared memory left out", { ignoreShared: true }, "stream", "shared memory"],
  ["memory in a file", { backends: [plain, file] }, "stream", "may not start as zeros"],
  ["memory shared with others", { backends: [{ ...plain, shared: true }] }, "stream", "may not start as zeros"],
  ["memory in a file of unknown path", { backends: [{ ...plain, type: "memory-backend-file" }] }, "stream", "zeros"],
  [
    "a file whose pages have no fixed place",
    { loadable: false } as Partial<TransportFacts>,
    "stream",
    "no fixed place",
  ],
  ["bitmaps of a big-endian host", { bigEndian: true, loadable: false }, "stream", "big-endian"],
  ["a block of another length", { otherLength: "pc.ram" }, "stream", "RAM block pc.ram has another length here"],
  ["a file QEMU's user may not read", { readable: false }, "stream", "may not read"],
])("%s", (_name, change, transport, reason) => {
  const choice = chooseTransport({ ...facts, ...change });
  expect(choice.transport).toBe(transport);
  expect(choice.reason).toContain(reason);
});

test("zero pages are sent into every block but main RAM that starts as zeros", () => {
  const block = (name: string, length = 4096) => ({ index: 0, name, length, pageSize: 4096, pages: length / 4096 });
  const guest = (backends: MemoryBackend[], mainBlocks: string[]) =>
    zeroPagesWanted({ memory: { backends, mainBlocks } } as unknown as GuestFacts);
  expect(guest([plain], ["pc.ram"])(block("pc.ram"))).toBe(false);
  expect(guest([plain], ["pc.ram"])(block("vga.vram", 2 ** 30))).toBe(true);
  expect(guest([file], ["pc.ram"])(block("pc.ram"))).toBe(true);
  // Nothing known: large blocks are main RAM.
  expect(guest([], [])(block("pc.ram", 2 ** 30))).toBe(false);
  expect(guest([], [])(block("pc.bios"))).toBe(true);
  expect([mayHoldData(plain), mayHoldData(file)]).toEqual([false, true]);
});

test("blocks are compared by name and length; one that the destination lacks is QEMU's to name", () => {
  const there = (used: number) => [{ name: "pc.ram", used }];
  const block = { index: 0, name: "pc.ram", length: 8192, pageSize: 4096, pages: 2 };
  expect(otherLength([{ block }], there(8192))).toBeNull();
  expect(otherLength([{ block }], there(4096))).toBe("pc.ram");
  expect(otherLength([{ block }], there(16384))).toBe("pc.ram");
  expect(otherLength([{ block: { ...block, name: "vga.vram" } }], there(4096))).toBeNull();
});
