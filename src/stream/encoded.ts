import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PlacedSink } from "../pages/sink.ts";
import type { PageEncoding } from "./events.ts";
import { decodeXbzrle } from "./xbzrle.ts";

/** Unpacks zlib data. @returns the bytes, which the caller checks; may throw anything */
export type Inflate = (data: Uint8Array, most: number) => Uint8Array;

/** Decodes pages that do not come as their bytes (docs/format.md, "RAM section") and puts them at their place. */
export class EncodedPages {
  readonly #sink: PlacedSink;
  readonly #inflate: Inflate | null;
  #page = new Uint8Array(0);

  /** @param inflate null: compressed pages are refused */
  constructor(sink: PlacedSink, inflate: Inflate | null) {
    this.#sink = sink;
    this.#inflate = inflate;
  }

  /** @throws `stream.xbzrle-data`, `stream.compressed-page`, what the sink throws */
  put(block: RamBlock, page: number, kind: PageEncoding, data: Uint8Array): void {
    if (kind === "zlib") {
      this.#sink.writePage(block, page, this.#unpacked(block, page, data));
      return;
    }
    if (this.#page.length !== block.pageSize) this.#page = new Uint8Array(block.pageSize);
    this.#sink.readPage(block, page, this.#page);
    try {
      decodeXbzrle(this.#page, data);
    } catch (error) {
      if (!(error instanceof FixedramError)) throw error;
      throw new FixedramError(
        error.code,
        error.message,
        { block: block.name, page, ...error.details },
        { cause: error },
      );
    }
    this.#sink.writePage(block, page, this.#page);
  }

  #unpacked(block: RamBlock, page: number, data: Uint8Array): Uint8Array {
    if (this.#inflate === null) {
      throw new FixedramError("stream.compressed-page", "QEMU sent compressed pages, which a save switches off", {
        block: block.name,
        page,
      });
    }
    let cause: unknown;
    try {
      const bytes = this.#inflate(data, block.pageSize);
      if (bytes.length === block.pageSize) return bytes;
    } catch (error) {
      cause = error;
    }
    throw new FixedramError(
      "stream.compressed-page",
      "a compressed page does not unpack to a page",
      { block: block.name, page },
      { cause },
    );
  }
}
