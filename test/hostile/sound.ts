/** Sound files, written out from docs/format.md field by field; every defect starts from one of them. */
import { fromLatin1 } from "../../src/bytes/text.ts";
import { Marked, type Sound } from "./marked.ts";

export const PAGE = 4096;

export interface Device {
  readonly name: string;
  readonly id: number;
  readonly payload: Uint8Array;
  readonly instance?: number;
}

/** `globalstate` as QEMU writes it: u32 size, the run state and a NUL in 100 bytes. */
export function globalState(runState: string): Uint8Array {
  const payload = new Uint8Array(104);
  payload.set([0, 0, 0, runState.length + 1]);
  payload.set(fromLatin1(runState), 4);
  return payload;
}

export const devices: readonly Device[] = [
  { name: "timer", id: 7, payload: Uint8Array.of(0xde, 0xad, 0xbe, 0xef) },
  { name: "globalstate", id: 8, payload: globalState("running") },
];

export const early: Device = { name: "0000:00:03.0/virtio-mem-device-early", id: 9, payload: Uint8Array.of(1, 2, 3) };

export function vmdescOf(list: readonly Device[], pageSize = PAGE): unknown {
  return {
    configuration: { vmsd_name: "configuration", version: 1, fields: [] },
    page_size: pageSize,
    devices: list.map(({ name, instance = 0, payload }) => ({
      name,
      instance_id: instance,
      vmsd_name: name,
      version: 1,
      fields: [{ name: "data", type: "buffer", size: payload.length }],
    })),
  };
}

export interface Block {
  readonly name: string;
  readonly pages: number;
  /** Page index: what it is filled with; its first bytes are the index. */
  readonly present: Readonly<Record<number, number>>;
}

export const blocks: readonly Block[] = [
  { name: "pc.ram", pages: 16, present: { 0: 0x11, 1: 0x12, 5: 0x15, 15: 0x1f } },
  { name: "/rom@etc/acpi/tables", pages: 3, present: { 0: 0, 1: 0x21, 2: 0 } },
];

/** What a page holds: the byte all over, its index at the end. */
export function pageOf(page: number, fill: number, pageSize = PAGE): Uint8Array {
  const bytes = new Uint8Array(pageSize).fill(fill);
  if (fill !== 0) bytes[pageSize - 1] = page;
  return bytes;
}

export interface FrameOptions {
  readonly machine?: string;
  readonly capabilities?: readonly string[];
  readonly pageBits?: number;
  readonly uuid?: boolean;
}

export function frame(out: Marked, options: FrameOptions): Marked {
  const { machine = "pc-q35-10.0", capabilities = [], pageBits, uuid } = options;
  out.text("magic", "QEVM").u32("version", 3);
  out.u8("configuration", 7).u32("machine.length", machine.length).text("machine", machine);
  if (pageBits !== undefined) {
    out.u8("bits", 5).name("bits.name", "configuration/target-page-bits").u32("bits.version", 1);
    out.u32("bits.value", pageBits);
  }
  if (capabilities.length > 0) {
    out.u8("capabilities", 5).name("capabilities.name", "configuration/capabilities");
    out.u32("capabilities.version", 1).u32("capabilities.count", capabilities.length);
    capabilities.forEach((name, i) => {
      out.name(`capability${i}`, name);
    });
  }
  if (uuid === true) {
    out.u8("uuid", 5).name("uuid.name", "configuration/uuid").u32("uuid.version", 1);
    out.bytes(
      "uuid.value",
      Uint8Array.from({ length: 16 }, (_, i) => i * 17),
    );
  }
  return out;
}

export function section(out: Marked, mark: string, type: number, id: number, name: string, version: number): Marked {
  out.u8(mark, type).u32(`${mark}.id`, id).name(`${mark}.name`, name);
  return out.u32(`${mark}.instance`, 0).u32(`${mark}.version`, version);
}

export function footer(out: Marked, mark: string, id: number): Marked {
  return out.u8(`${mark}.footer`, 0x7e).u32(`${mark}.footer.id`, id);
}

export interface TailOptions {
  readonly devices?: readonly Device[];
  /** Sections before the RAM's PARTs, which the vmdesc lists too. */
  readonly early?: readonly Device[];
  /** Replaces what describes the devices; null: there is none. */
  readonly vmdesc?: string | null;
  readonly pageSize?: number;
}

export function deviceTail(out: Marked, options: TailOptions): Marked {
  const list = options.devices ?? devices;
  for (const { name, id, payload, instance = 0 } of list) {
    out.u8(name, 4).u32(`${name}.id`, id).name(`${name}.name`, name).u32(`${name}.instance`, instance);
    out.u32(`${name}.version`, 1).bytes(`${name}.payload`, payload);
    footer(out, name, id);
  }
  out.u8("eof", 0);
  if (options.vmdesc === null) return out;
  const json = options.vmdesc ?? JSON.stringify(vmdescOf([...(options.early ?? []), ...list], options.pageSize));
  return out.u8("vmdesc", 6).u32("vmdesc.length", json.length).text("vmdesc.json", json);
}

export interface MappedOptions extends FrameOptions, TailOptions {
  readonly blocks?: readonly Block[];
  readonly pageSize?: number;
  /** Where the stream begins in its file; what stands before it. */
  readonly before?: Uint8Array;
  readonly part?: boolean;
  readonly switchover?: boolean;
  /** With x-ignore-shared. */
  readonly guestAddress?: boolean;
  readonly bigEndian?: boolean;
  readonly end?: boolean;
}

/** A mapped-ram file as QEMU writes it, but its pages at multiples of the page size instead of 1 MiB. */
export function mapped(options: MappedOptions = {}): Sound {
  const { pageSize = PAGE } = options;
  const list = options.blocks ?? blocks;
  const out = new Marked().bytes("before", options.before ?? new Uint8Array(0));
  frame(out, { capabilities: ["mapped-ram"], ...options });
  section(out, "ram", 1, 2, "ram", 4);
  out.u64("total", list.reduce((sum, { pages }) => sum + pages * pageSize, 0) + 4);
  list.forEach((block, i) => {
    const { name, pages } = block;
    const bitmap = new Uint8Array(Math.ceil(pages / 64) * 8);
    for (const page of Object.keys(block.present).map(Number)) {
      const byte = Math.floor(page / 8);
      const place = options.bigEndian === true ? byte - (byte % 8) + 7 - (byte % 8) : byte;
      bitmap[place] = (bitmap[place] ?? 0) | (1 << (page % 8));
    }
    out.name(`block${i}.name`, name).u64(`block${i}.length`, pages * pageSize);
    if (options.guestAddress === true) out.u64(`block${i}.address`, i * 2 ** 32);
    const bitmapOffset = out.length + 28;
    const pagesOffset = Math.ceil((bitmapOffset + bitmap.length) / pageSize) * pageSize;
    out.u32(`block${i}.version`, 1).u64(`block${i}.pageSize`, pageSize);
    out.u64(`block${i}.bitmapOffset`, bitmapOffset).u64(`block${i}.pagesOffset`, pagesOffset);
    out.bytes(`block${i}.bitmap`, bitmap).upTo(pagesOffset);
    for (let page = 0; page < pages; page++) {
      const fill = block.present[page];
      out.bytes(`block${i}.page${page}`, fill === undefined ? new Uint8Array(pageSize) : pageOf(page, fill, pageSize));
    }
  });
  out.u64("ram.eos", 0x10);
  footer(out, "ram", 2);
  if (options.part !== false) {
    out.u8("part", 2).u32("part.id", 2).u64("part.eos", 0x10);
    footer(out, "part", 2);
  }
  if (options.switchover !== false) out.u8("switchover", 8).u16("switchover.command", 11).u16("switchover.length", 0);
  if (options.end !== false) {
    out.u8("end", 3).u32("end.id", 2).u64("end.eos", 0x10);
    footer(out, "end", 2);
  }
  return deviceTail(out, options).finish();
}

export interface StreamOptions extends FrameOptions, TailOptions {
  readonly before?: Uint8Array;
  readonly commands?: boolean;
  readonly dirtyBitmap?: boolean;
  readonly encoded?: boolean;
  readonly end?: boolean;
  readonly guestAddress?: boolean;
}

/** zlib that stores instead of packing: the same bytes whatever packs. */
export function stored(data: Uint8Array): Uint8Array {
  let [a, b] = [1, 0];
  for (const byte of data) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  const out = new Marked().u16(null, 0x7801).u8(null, 1);
  out.bytes(null, Uint8Array.of(data.length % 256, data.length >> 8, ~data.length & 255, (~data.length >> 8) & 255));
  return out.bytes(null, data).u16(null, b).u16(null, a).finish().bytes;
}

/** A stream as it goes through a pipe, with every kind of record: its blocks are those of {@link blocks}. */
export function stream(options: StreamOptions = {}): Sound {
  const out = new Marked().bytes("before", options.before ?? new Uint8Array(0));
  const pageSize = options.pageSize ?? PAGE;
  frame(out, { machine: "pc-i440fx-7.2", ...options });
  if (options.commands === true) {
    out.u8("path", 8).u16("path.command", 1).u16("path.length", 0);
    out.u8("ping", 8).u16("ping.command", 2).u16("ping.length", 4).u32("ping.value", 1);
    out.u8("advise", 8).u16("advise.command", 3).u16("advise.length", 16);
    out.u64("advise.summary", PAGE).u64("advise.page", PAGE);
  }
  if (options.dirtyBitmap === true) {
    section(out, "dirty", 1, 3, "dirty-bitmap", 1);
    out
      .u8("dirty.flags", 0x1c)
      .name("dirty.node", "drive0")
      .name("dirty.bitmap", "backup")
      .u32(null, 65536)
      .u8(null, 0);
    out.u8("dirty.eos", 1);
    footer(out, "dirty", 3);
  }
  ramStart(out, options, pageSize);
  for (const { name, id, payload } of options.early ?? []) {
    section(out, "early", 4, id, name, 1).bytes("early.payload", payload);
    footer(out, "early", id);
  }
  rounds(out, options, pageSize);
  return deviceTail(out, options).finish();
}

function ramStart(out: Marked, options: StreamOptions, pageSize: number): void {
  section(out, "ram", 1, 2, "ram", 4);
  out.u64("total", blocks.reduce((sum, { pages }) => sum + pages * pageSize, 0) + 4);
  blocks.forEach(({ name, pages }, i) => {
    out.name(`block${i}.name`, name).u64(`block${i}.length`, pages * pageSize);
    if (options.guestAddress === true) out.u64(`block${i}.address`, i * 2 ** 32);
  });
  out.u64("ram.eos", 0x10);
  footer(out, "ram", 2);
}

function rounds(out: Marked, options: StreamOptions, pageSize: number): void {
  const [ram = "", rom = ""] = blocks.map(({ name }) => name);
  const page = (mark: string, index: number, fill: number, block: string | null) => {
    out.u64(mark, index * pageSize + (block === null ? 0x28 : 0x08));
    if (block !== null) out.name(`${mark}.block`, block);
    out.bytes(`${mark}.bytes`, pageOf(index, fill, pageSize));
  };
  out.u8("part0", 2).u32("part0.id", 2);
  page("page0", 0, 0x11, ram);
  page("page1", 1, 0x12, null);
  out.u64("zero2", 2 * pageSize + 0x22).u8("zero2.fill", 0);
  out.u64("zero3", 3 * pageSize + 0x22).u8("zero3.fill", 0);
  out.u64("flush", 0x200).u64("hook", 0x80).u64("part0.eos", 0x10);
  footer(out, "part0", 2);
  if (options.dirtyBitmap === true) {
    out.u8("dirty1", 2).u32("dirty1.id", 3).u8("dirty1.flags", 0x40).u64(null, 0).u32(null, 128);
    out.u64("dirty1.size", 8).bytes("dirty1.data", new Uint8Array(8).fill(0xaa));
    out.u8(null, 0x42).u64(null, 128).u32(null, 128).u8("dirty1.eos", 1);
    footer(out, "dirty1", 3);
  }
  out.u8("part1", 2).u32("part1.id", 2);
  if (options.encoded === true) {
    // 3 bytes kept, 2 changed; on page 1 as round 0 sent it, on page 2, which is zero, and twice on one page.
    out
      .u64("xbzrle1", pageSize + 0x60)
      .u8("xbzrle1.encoding", 1)
      .u16("xbzrle1.length", 4);
    out.bytes("xbzrle1.data", Uint8Array.of(3, 2, 0xfe, 0xff));
    out
      .u64("xbzrle2", 2 * pageSize + 0x60)
      .u8(null, 1)
      .u16(null, 5)
      .bytes(null, Uint8Array.of(0x80, 1, 2, 7, 8));
    const packed = stored(pageOf(4, 0x14, pageSize));
    out
      .u64("zlib4", 4 * pageSize + 0x120)
      .u32("zlib4.length", packed.length)
      .bytes("zlib4.data", packed);
    out
      .u64(null, 4 * pageSize + 0x60)
      .u8(null, 1)
      .u16(null, 3)
      .bytes(null, Uint8Array.of(0, 1, 0xee));
  }
  page("rom1", 1, 0x21, rom);
  out.u64("part1.eos", 0x10);
  footer(out, "part1", 2);
  if (options.dirtyBitmap === true) {
    out.u8("dirty2", 3).u32("dirty2.id", 3).u8("dirty2.flags", 0x21);
    footer(out, "dirty2", 3);
  }
  if (options.end === false) return;
  out.u8("switchover", 8).u16("switchover.command", 11).u16("switchover.length", 0);
  out.u8("end", 3).u32("end.id", 2);
  // The block of the record before carries over from the PART.
  page("rom2", 2, 0x22, null);
  page("page15", 15, 0x1f, ram);
  page("page0again", 0, 0x31, null);
  out.u64("end.eos", 0x10);
  footer(out, "end", 2);
}

/** libvirt's header, XML and cookie (docs/format.md, "libvirt's save image"); what follows is the stream. */
export function libvirtHead(options: { format?: number; big?: boolean; cookie?: boolean } = {}): Sound {
  const xml = "<domain type='qemu'><name>guest</name></domain>";
  const cookie = options.cookie === false ? null : "<cookie/>";
  const data = new Marked().text("xml", xml).u8("xml.nul", 0);
  const cookieOffset = cookie === null ? 0 : data.length;
  if (cookie !== null) data.text("cookie", cookie).u8("cookie.nul", 0);
  data.bytes("padding", new Uint8Array(64));
  const out = new Marked().text("libvirt", "LibvirtQemudSave");
  const word = (name: string, value: number) => {
    const bytes = Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
    out.bytes(name, options.big === true ? bytes : bytes.reverse());
  };
  word("libvirt.version", 2);
  word("libvirt.data", data.length);
  word("libvirt.running", 1);
  word("libvirt.format", options.format ?? 0);
  word("libvirt.cookie", cookieOffset);
  out.bytes("libvirt.unused", new Uint8Array(56));
  const base = out.length;
  const inner = data.finish();
  for (const [name, { offset, size }] of inner.fields) out.fields.set(name, { offset: base + offset, size });
  return out.bytes(null, inner.bytes).finish();
}
