import { deflateSync, inflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { RamBlock } from "../../src/pages/block.ts";
import type { PlacedSink } from "../../src/pages/sink.ts";
import { EncodedPages, type Inflate } from "../../src/stream/encoded.ts";

const block: RamBlock = { index: 0, name: "pc.ram", length: 8192, pageSize: 4096, pages: 2 };

function decoder(inflate: Inflate | null) {
  const written: Uint8Array[] = [];
  const sink: Pick<PlacedSink, "writePage" | "readPage"> = {
    writePage: (_block, _page, bytes) => {
      written.push(Uint8Array.from(bytes));
    },
    readPage: (_block, _page, into) => {
      into.fill(7);
    },
  };
  return { pages: new EncodedPages(sink as PlacedSink, inflate), written };
}

const inflate: Inflate = (data, most) => inflateSync(data, { maxOutputLength: most });

describe("a compressed page", () => {
  test("is unpacked to its place", () => {
    const { pages, written } = decoder(inflate);
    pages.put(block, 1, "zlib", deflateSync(new Uint8Array(4096).fill(9)));
    expect(written).toEqual([new Uint8Array(4096).fill(9)]);
  });

  test.each([
    ["is no zlib data", new Uint8Array([1, 2, 3])],
    ["is too short", deflateSync(new Uint8Array(100))],
    ["is too long", deflateSync(new Uint8Array(5000))],
  ])("that %s is refused", (_what, data) => {
    const { pages, written } = decoder(inflate);
    const put = () => pages.put(block, 1, "zlib", data);
    expect(put).toThrow(expect.objectContaining({ code: "stream.compressed-page" }));
    expect(written).toEqual([]);
  });

  test("is refused where none may come", () => {
    const put = () => decoder(null).pages.put(block, 0, "zlib", deflateSync(new Uint8Array(4096)));
    expect(put).toThrow(expect.objectContaining({ code: "stream.compressed-page" }));
  });
});

test("an xbzrle page is applied to what its place holds", () => {
  const { pages, written } = decoder(null);
  // Skip 1 byte, take 2.
  pages.put(block, 0, "xbzrle", new Uint8Array([1, 2, 5, 6]));
  expect(written[0]?.subarray(0, 4)).toEqual(new Uint8Array([7, 5, 6, 7]));
});
