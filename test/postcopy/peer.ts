/**
 * The destination's half of postcopy, as QEMU plays it, in memory: takes the bytes of the migration stream, keeps pages, complains about
 * whatever QEMU would fail with. Written against QEMU's documents and not against src/, so that it can disagree.
 */
import { ReturnMessage } from "../../src/postcopy/return-path.ts";

export interface PeerBlock {
  readonly name: string;
  readonly pages: number;
  /** Target pages in a host page. */
  readonly unit: number;
}

export const PAGE = 64;

type State = "setup" | "advised" | "listening" | "running" | "ended";

export class Peer {
  readonly blocks: readonly PeerBlock[];
  /** Content of each page that was placed. */
  readonly placed: Map<number, Uint8Array>[];
  state: State = "setup";
  discardedRanges = 0;
  /** The connection broke, and no source has taken over yet: nothing is asked for. */
  paused = false;
  /** Sends on the return path. */
  reply: (bytes: Uint8Array) => void = () => {};
  /** Bytes that have come, whole messages cut off in front. */
  #bytes = Buffer.alloc(0);
  #block = -1;
  #assembling: { block: number; unit: number; pages: Uint8Array[] } | null = null;
  #lastAsked = "";

  constructor(blocks: readonly PeerBlock[]) {
    this.blocks = blocks;
    this.placed = blocks.map(() => new Map());
  }

  push(chunk: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    for (;;) {
      const taken = this.#message();
      if (taken === 0) return;
      this.#bytes = this.#bytes.subarray(taken);
    }
  }

  /** The connection broke: what was half received is lost, a huge page half put together too. */
  broke(): void {
    this.#bytes = Buffer.alloc(0);
    this.#block = -1;
    this.#assembling = null;
    this.#lastAsked = "";
    this.paused = true;
  }

  has(block: number, page: number): boolean {
    return this.placed[block]?.has(page) ?? false;
  }

  /** Asks for the host page that a page lies in. */
  request(block: number, page: number): Uint8Array {
    const { name, unit } = this.#of(block);
    const start = Math.floor(page / unit) * unit * PAGE;
    const named = name !== this.#lastAsked;
    this.#lastAsked = name;
    const bytes = Buffer.alloc(16 + (named ? 1 + name.length : 0));
    bytes.writeUInt16BE(named ? ReturnMessage.requestPagesNamed : ReturnMessage.requestPages);
    bytes.writeUInt16BE(bytes.length - 4, 2);
    bytes.writeBigUInt64BE(BigInt(start), 4);
    bytes.writeUInt32BE(unit * PAGE, 12);
    if (named) {
      bytes.writeUInt8(name.length, 16);
      bytes.write(name, 17, "latin1");
    }
    return bytes;
  }

  #of(block: number): PeerBlock {
    const found = this.blocks[block];
    if (found === undefined) throw new Error(`no block ${block}`);
    return found;
  }

  /** Bytes of the message in front, which was handled; 0: it is not all there. */
  #message(): number {
    const bytes = this.#bytes;
    if (bytes.length === 0 || this.state === "ended") return 0;
    const type = bytes[0];
    if (type === 0x51) return bytes.length < 8 ? 0 : this.#header();
    if (type === 7) return this.#configuration();
    if (type === 8) return this.#command();
    if (type === 1) return this.#start();
    if (type === 2 || type === 3) return this.#pages(type === 3);
    if (type === 0) {
      this.state = "ended";
      return 1;
    }
    throw new Error(`a section of type ${type} in state ${this.state}`);
  }

  #header(): number {
    if (this.#bytes.toString("latin1", 0, 4) !== "QEVM" || this.state !== "setup")
      throw new Error("a header out of place");
    return 8;
  }

  #configuration(): number {
    if (this.#bytes.length < 5) return 0;
    const length = 5 + this.#bytes.readUInt32BE(1);
    if (this.#bytes.length < length) return 0;
    if (this.#bytes.toString("latin1", 0, length + 64).includes("mapped-ram"))
      throw new Error("mapped-ram in the stream");
    return length;
  }

  #command(): number {
    const bytes = this.#bytes;
    if (bytes.length < 5) return 0;
    const command = bytes.readUInt16BE(1);
    const length = bytes.readUInt16BE(3);
    const end = 5 + length;
    if (bytes.length < end) return 0;
    const data = bytes.subarray(5, end);
    switch (command) {
      case 1:
        return end;
      case 2:
        this.#say(ReturnMessage.pong, data);
        return end;
      case 3:
        if (length !== 16) throw new Error("ADVISE without page sizes");
        this.state = "advised";
        return end;
      case 6:
        this.#discard(data);
        return end;
      case 7: {
        const size = data.readUInt32BE(0);
        if (bytes.length < end + size) return 0;
        this.#package(bytes.subarray(end, end + size));
        return end + size;
      }
      case 9:
        if (!this.paused) throw new Error("RESUME of a migration that runs");
        this.paused = false;
        this.#say(ReturnMessage.resumeAck, Buffer.from([0, 0, 0, 1]));
        return end;
      case 10: {
        this.#bitmap(data.toString("latin1", 1, 1 + (data[0] ?? 0)));
        return end;
      }
      default:
        throw new Error(`command ${command} in state ${this.state}`);
    }
  }

  #package(bytes: Buffer): void {
    if (this.state !== "advised") throw new Error(`a package in state ${this.state}`);
    if (this.discardedRanges === 0) throw new Error("nothing was discarded: QEMU would wait for ever");
    if (bytes.readUInt16BE(1) !== 4) throw new Error("a package that does not begin with LISTEN");
    const tail = bytes.subarray(bytes.length - 5);
    if (tail[0] !== 8 || tail.readUInt16BE(1) !== 5) throw new Error("a package that does not end with RUN");
    this.state = "running";
  }

  #discard(data: Buffer): void {
    if (this.state !== "advised") throw new Error(`RAM_DISCARD in state ${this.state}`);
    const length = data[1] ?? 0;
    const block = this.blocks.findIndex(({ name }) => name === data.toString("latin1", 2, 2 + length));
    for (let at = 3 + length; at < data.length; at += 16) {
      const first = Number(data.readBigUInt64BE(at)) / PAGE;
      const count = Number(data.readBigUInt64BE(at + 8)) / PAGE;
      const { unit } = this.#of(block);
      if (first % unit !== 0 || count % unit !== 0) throw new Error("a range that is no whole host page");
      for (let page = first; page < first + count; page++) this.placed[block]?.delete(page);
      this.discardedRanges++;
    }
  }

  #start(): number {
    const bytes = this.#bytes;
    const head = 1 + 4 + 1 + (bytes[5] ?? 0) + 8;
    if (bytes.length < head + 8) return 0;
    let left = Number(bytes.readBigUInt64BE(head)) - 4;
    let at = head + 8;
    const names: string[] = [];
    while (left > 0) {
      if (bytes.length < at + 1 || bytes.length < at + 9 + (bytes[at] ?? 0) + 8) return 0;
      const length = bytes[at] ?? 0;
      const name = bytes.toString("latin1", at + 1, at + 1 + length);
      names.push(name);
      left -= Number(bytes.readBigUInt64BE(at + 1 + length));
      at += 9 + length;
      const known = this.blocks.find((block) => block.name === name);
      if (known === undefined) throw new Error(`block ${name} is not ours`);
      if (known.unit === 1) continue;
      if (Number(bytes.readBigUInt64BE(at)) !== known.unit * PAGE) throw new Error(`page size of ${name}`);
      at += 8;
    }
    if (bytes.length < at + 13) return 0;
    if (names.length !== this.blocks.length) throw new Error("blocks are missing");
    return at + 13;
  }

  #pages(last: boolean): number {
    const bytes = this.#bytes;
    // Only a whole section is looked at: what is taken of it must not be taken again.
    const end = this.#sectionEnd();
    if (end === 0) return 0;
    let at = 5;
    for (;;) {
      const word = Number(bytes.readBigUInt64BE(at));
      const flags = word % PAGE;
      const page = (word - flags) / PAGE;
      at += 8;
      if (flags === 16) break;
      if (last) throw new Error("a page in the last section");
      if (flags < 32) {
        const length = bytes[at] ?? 0;
        this.#block = this.blocks.findIndex(({ name }) => name === bytes.toString("latin1", at + 1, at + 1 + length));
        at += 1 + length;
      }
      const zero = flags % 8 === 2;
      this.#place(page, zero ? new Uint8Array(PAGE) : Uint8Array.from(bytes.subarray(at, at + PAGE)));
      at += zero ? 1 : PAGE;
    }
    return end;
  }

  #sectionEnd(): number {
    const bytes = this.#bytes;
    let at = 5;
    for (;;) {
      if (bytes.length < at + 8) return 0;
      const flags = Number(bytes.readBigUInt64BE(at)) % PAGE;
      at += 8;
      if (flags === 16) {
        if (bytes.length < at + 5) return 0;
        if (bytes[at] !== 0x7e) throw new Error("no footer");
        return at + 5;
      }
      if (flags < 32) {
        if (bytes.length < at + 1) return 0;
        at += 1 + (bytes[at] ?? 0);
      }
      at += flags % 8 === 2 ? 1 : PAGE;
    }
  }

  #place(page: number, content: Uint8Array): void {
    const { unit, name } = this.#of(this.#block);
    if (unit === 1) {
      this.#put(this.#block, page, content);
      return;
    }
    const host = Math.floor(page / unit);
    this.#assembling ??= { block: this.#block, unit: host, pages: [] };
    const half = this.#assembling;
    if (half.block !== this.#block || half.unit !== host || half.pages.length !== page % unit)
      throw new Error(`pages of a huge page out of order in ${name}`);
    half.pages.push(content);
    if (half.pages.length < unit) return;
    this.#assembling = null;
    for (const [i, each] of half.pages.entries()) this.#put(half.block, half.unit * unit + i, each);
  }

  #put(block: number, page: number, content: Uint8Array): void {
    if (this.state === "running" && this.has(block, page))
      throw new Error(`EEXIST: page ${page} of block ${block} came twice`);
    this.placed[block]?.set(page, content);
  }

  #bitmap(name: string): void {
    const block = this.blocks.findIndex((each) => each.name === name);
    const { pages } = this.#of(block);
    const bits = Buffer.alloc(Math.ceil(pages / 64) * 8);
    for (const page of this.placed[block]?.keys() ?? []) {
      const byte = Math.floor(page / 8);
      bits[byte] = (bits[byte] ?? 0) | (1 << (page % 8));
    }
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(bits.length));
    const named = Buffer.from([name.length, ...Buffer.from(name, "latin1")]);
    const head = Buffer.alloc(4);
    head.writeUInt16BE(ReturnMessage.receivedBitmap);
    head.writeUInt16BE(named.length, 2);
    this.reply(Buffer.concat([head, named, size, bits, Buffer.from("0123456789abcdef", "hex")]));
  }

  #say(type: number, data: Buffer): void {
    const head = Buffer.alloc(4);
    head.writeUInt16BE(type);
    head.writeUInt16BE(data.length, 2);
    this.reply(Buffer.concat([head, data]));
  }
}
