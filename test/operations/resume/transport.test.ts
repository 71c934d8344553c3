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
  version: { major: 10, minor: 0, text: "10.0.2" },
  machine: "pc-q35-10.0",
  channels: false,
  capabilities: { "mapped-ram": false, multifd: false },
  backends: [plain],
  ignoreShared: false,
  readable: true,
  otherOrder: null,
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
  ["bitmaps of a big-endian host", { otherOrder: "big", loadable: false }, "stream", "big-endian"],
  ["our bitmaps on a big-endian host", { otherOrder: "little", loadable: false }, "stream", "little-endian"],
  ["a block of another length", { otherLength: "pc.ram" }, "stream", "RAM block pc.ram has another length here"],
  ["a file QEMU's user may not read", { readable: false }, "stream", "may not read"],
])("%s", (_name, change, transport, reason) => {
  const choice = chooseTransport({ ...facts, ...change });
  expect(choice.transport).toBe(transport);
  expect(choice.reason).toContain(reason);
});

const old = { version: { major: 7, minor: 2, text: "7.2.22" }, capabilities: { multifd: false }, channels: true };
const mine = { backends: [file], channels: true };

test.each<[string, Partial<TransportFacts>, "multifd" | "stream", boolean?]>([
  ["QEMU 7.2", old, "multifd", false],
  ["QEMU 7.2, whatever the machine is called", { ...old, machine: "microvm" }, "multifd", false],
  [
    "QEMU 8.2 with a type of its own",
    { ...old, version: { major: 8, minor: 2, text: "" }, machine: "pc-q35-8.2" },
    "multifd",
    true,
  ],
  [
    "QEMU 8.2 with the type of 8.0",
    { ...old, version: { major: 8, minor: 2, text: "" }, machine: "pc-q35-8.0" },
    "multifd",
    false,
  ],
  [
    "QEMU 8.2 with a type without a version",
    { ...old, version: { major: 8, minor: 2, text: "" }, machine: "microvm" },
    "stream",
  ],
  ["QEMU 10, memory in a file", mine, "multifd", true],
  ["QEMU 10, memory in a file, an old type", { ...mine, machine: "pc-i440fx-7.2" }, "multifd", false],
  ["QEMU without multifd", { ...old, capabilities: {} }, "stream"],
  ["threads that cannot read or write", { ...old, channels: false }, "stream"],
  ["pages without fixed places", { ...old, loadable: false }, "stream"],
  ["a block of another length", { ...old, otherLength: "pc.ram" }, "stream"],
])("channels: %s", (_name, change, transport, flush) => {
  const choice = chooseTransport({ ...facts, ...change });
  expect([choice.transport, choice.flush]).toEqual([transport, flush]);
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
