import { getU64 } from "../bytes/cursor.ts";
import { latin1, printable } from "../bytes/text.ts";
import type { RamBlock } from "../pages/block.ts";
import { RamFlag } from "./constants.ts";
import type { PageOutput } from "./page-output.ts";
import type { PushCore, Step } from "./push.ts";

const HIGH = 2 ** 32;
const PAGE_SAME_BLOCK = RamFlag.page + RamFlag.continue;
const ZERO_SAME_BLOCK = RamFlag.zero + RamFlag.continue;
/** Bits that a record may have set; everything else below the page size is unknown. */
const KNOWN_FLAGS = 0x3ff;

/** Parses the run of RAM records in a section: docs/format.md, "The RAM section". */
export class RamReader {
  readonly #core: PushCore;
  readonly #out: PageOutput;
  readonly #sectionDone: () => void;
  readonly #byName = new Map<string, RamBlock>();
  /** Block of the record before; CONTINUE refers to it, across sections too. */
  #last: RamBlock | null = null;
  #mask = 0;
  #pageSize = 0;
  #pagesAllowed = true;

  constructor(core: PushCore, out: PageOutput, sectionDone: () => void) {
    this.#core = core;
    this.#out = out;
    this.#sectionDone = sectionDone;
  }

  setBlocks(blocks: readonly RamBlock[], pageSize: number, mapped: boolean): void {
    for (const block of blocks) this.#byName.set(block.name, block);
    this.#pageSize = pageSize;
    this.#mask = pageSize - 1;
    this.#pagesAllowed = !mapped;
  }

  readonly step: Step = (buf, view, off, end) => {
    const consumed = this.#fast(buf, view, off, end) - off;
    if (consumed > 0) {
      this.#core.need = 8;
      return consumed;
    }
    return this.#slow(buf, view, off);
  };

  /** Takes whole records of the same block as before, as many as lie in the bytes; leaves every other case to #slow. */
  #fast(buf: Uint8Array, view: DataView, off: number, end: number): number {
    const block = this.#last;
    if (block === null) return off;
    let pos = off;
    for (;;) {
      const before = pos;
      pos = this.#fastPages(block, buf, view, pos, end);
      pos = this.#fastZeros(block, view, pos, end);
      if (pos === before) return pos;
    }
  }

  #fastPages(block: RamBlock, buf: Uint8Array, view: DataView, off: number, end: number): number {
    const mask = this.#mask;
    const pageSize = this.#pageSize;
    const stride = pageSize + 8;
    const last = end - stride;
    if (off > last || (view.getUint32(off + 4) & mask) !== PAGE_SAME_BLOCK) return off;
    const length = block.length;
    let pos = off;
    while (pos <= last) {
      const batch = this.#out.open(block, buf);
      const { pages, offsets } = batch;
      const limit = Math.min(pages.length, batch.count + Math.floor((end - pos) / stride));
      let count = batch.count;
      while (count < limit) {
        const low = view.getUint32(pos + 4);
        if ((low & mask) !== PAGE_SAME_BLOCK) break;
        const address = view.getUint32(pos) * HIGH + (low - PAGE_SAME_BLOCK);
        if (address >= length) break;
        pages[count] = address / pageSize;
        offsets[count] = pos + 8;
        count++;
        pos += stride;
      }
      batch.count = count;
      if (count < limit) break;
    }
    return pos;
  }

  #fastZeros(block: RamBlock, view: DataView, off: number, end: number): number {
    const mask = this.#mask;
    const last = end - 9;
    let pos = off;
    while (pos <= last) {
      const low = view.getUint32(pos + 4);
      if ((low & mask) !== ZERO_SAME_BLOCK || view.getUint8(pos + 8) !== 0) break;
      const address = view.getUint32(pos) * HIGH + (low - ZERO_SAME_BLOCK);
      if (address >= block.length) break;
      this.#out.zero(block, address / this.#pageSize);
      pos += 9;
    }
    return pos;
  }

  /** One record of any kind, with every check. */
  #slow(buf: Uint8Array, view: DataView, off: number): number {
    const core = this.#core;
    const word = getU64(view, off);
    if (word === Number.POSITIVE_INFINITY) {
      throw core.error("stream.number-too-large", "a page's address is larger than 2^53 - 1");
    }
    const flags = view.getUint32(off + 4) & this.#mask;
    const address = word - flags;
    switch (flags) {
      case RamFlag.eos:
      case RamFlag.multifdFlush:
      case RamFlag.hook:
        return this.#mark(flags, address);
      case RamFlag.memSize:
        throw core.error("stream.second-block-list", "a second block list stands inside a RAM section");
    }
    switch (flags - (flags & RamFlag.continue)) {
      case RamFlag.zero:
      case RamFlag.page:
      case RamFlag.xbzrle:
      case RamFlag.compressPage:
        return this.#pageRecord(buf, view, off, flags, address);
      default:
        throw this.#badFlags(flags);
    }
  }

  #badFlags(flags: number): Error {
    const found = `0x${flags.toString(16)}`;
    if ((flags & ~KNOWN_FLAGS) !== 0) {
      return this.#core.error("stream.unknown-ram-flag", "a RAM record has a flag that is not known", { found });
    }
    return this.#core.error("stream.ram-flags", "a RAM record has flags that do not go together", { found });
  }

  #mark(flags: number, address: number): number {
    const core = this.#core;
    if (address !== 0) {
      throw core.error("stream.ram-flags", "a RAM record that names no page has an address", {
        found: `0x${flags.toString(16)}`,
      });
    }
    if (flags === RamFlag.eos) {
      this.#out.record({ kind: "ram-eos" });
      this.#sectionDone();
    } else {
      this.#out.record({ kind: flags === RamFlag.hook ? "ram-hook" : "ram-flush" });
      core.need = 8;
    }
    return 8;
  }

  #pageRecord(buf: Uint8Array, view: DataView, off: number, flags: number, address: number): number {
    const core = this.#core;
    if (!this.#pagesAllowed) {
      throw core.error("stream.page-in-mapped-ram", "a page record stands in a mapped-ram stream");
    }
    let block = this.#last;
    let header = 8;
    if ((flags & RamFlag.continue) === 0) {
      if (!core.has(9)) return 0;
      header = 9 + view.getUint8(off + 8);
      if (!core.has(header)) return 0;
      const name = latin1(buf, off + 9, off + header);
      block = this.#byName.get(name) ?? null;
      if (block === null) {
        throw core.error("stream.unknown-block", `a page belongs to "${printable(name)}", which the block list lacks`, {
          block: name,
        });
      }
    } else if (block === null) {
      throw core.error("stream.continue-without-block", "the first page record refers to the block of the one before");
    }
    if (address >= block.length) {
      throw core.error("stream.page-out-of-block", `a page lies past the end of block "${printable(block.name)}"`, {
        block: block.name,
        page: Math.floor(address / this.#pageSize),
        expected: `below page ${block.pages}`,
        found: `page ${Math.floor(address / this.#pageSize)}`,
      });
    }
    const length = this.#body(buf, view, off, header, flags, block, address / this.#pageSize);
    if (length > 0) {
      this.#last = block;
      core.need = 8;
    }
    return length;
  }

  /** What follows the record's header, by kind. Returns the record's whole length, or 0 when more bytes are needed. */
  #body(
    buf: Uint8Array,
    view: DataView,
    off: number,
    header: number,
    flags: number,
    block: RamBlock,
    page: number,
  ): number {
    const core = this.#core;
    if ((flags & RamFlag.page) !== 0) {
      if (!core.has(header + this.#pageSize)) return 0;
      const batch = this.#out.open(block, buf);
      batch.pages[batch.count] = page;
      batch.offsets[batch.count] = off + header;
      batch.count++;
      return header + this.#pageSize;
    }
    if ((flags & RamFlag.zero) !== 0) {
      if (!core.has(header + 1)) return 0;
      const fill = view.getUint8(off + header);
      if (fill !== 0) {
        const found = `0x${fill.toString(16)}`;
        throw core.error("stream.zero-fill", "a ZERO record fills with a byte that is not 0", {
          block: block.name,
          page,
          expected: "0x0",
          found,
        });
      }
      this.#out.zero(block, page);
      return header + 1;
    }
    return this.#encodedBody(buf, view, off, header, flags, block, page);
  }

  #encodedBody(
    buf: Uint8Array,
    view: DataView,
    off: number,
    header: number,
    flags: number,
    block: RamBlock,
    page: number,
  ): number {
    const core = this.#core;
    const xbzrle = (flags & RamFlag.xbzrle) !== 0;
    const start = header + (xbzrle ? 3 : 4);
    if (!core.has(start)) return 0;
    if (xbzrle && view.getUint8(off + header) !== 1) {
      throw core.error("stream.xbzrle-encoding", "an XBZRLE record has an encoding that is not known", {
        block: block.name,
        page,
        expected: "1",
        found: String(view.getUint8(off + header)),
      });
    }
    const length = xbzrle ? view.getUint16(off + header + 1) : view.getUint32(off + header);
    // zlib's worst case is a few bytes more than the page.
    const most = xbzrle ? this.#pageSize : this.#pageSize * 2;
    if (length > most) {
      throw core.error("stream.encoded-length", "an encoded page is longer than any encoding of a page can be", {
        block: block.name,
        page,
        expected: `at most ${most} bytes`,
        found: `${length} bytes`,
      });
    }
    if (!core.has(start + length)) return 0;
    const data = buf.subarray(off + start, off + start + length);
    this.#out.encoded(block, page, xbzrle ? "xbzrle" : "zlib", data);
    return start + length;
  }
}
