import { FixedramError } from "../errors.ts";

/**
 * Applies XBZRLE data to a page in place: pairs of (skip, count, count bytes), both uleb128 of at most two bytes; what is left
 * of the page at the end stays as it is. docs/format.md, QEMU's docs/devel/migration (XBZRLE).
 *
 * @param page the page's content so far: zeros when it was zero, never what happens to lie in a file
 * @throws FixedramError `stream.xbzrle-data`; the page may have been changed in part then
 */
export function decodeXbzrle(page: Uint8Array, data: Uint8Array): void {
  let from = 0;
  let to = 0;
  const number = (): number => {
    const low = data[from++];
    if (low === undefined) throw damaged("it ends inside a pair");
    if (low < 0x80) return low;
    const high = data[from++];
    if (high === undefined) throw damaged("it ends inside a number");
    if (high >= 0x80) throw damaged("a number is longer than two bytes");
    return low - 0x80 + high * 0x80;
  };
  while (from < data.length) {
    const first = from === 0;
    const skip = number();
    if (skip === 0 && !first) throw damaged("two runs of changed bytes touch");
    const count = number();
    if (count === 0) throw damaged("a run of changed bytes is empty");
    if (to + skip + count > page.length) throw damaged("it reaches past the end of the page");
    if (from + count > data.length) throw damaged("it ends inside a run");
    page.set(data.subarray(from, from + count), to + skip);
    to += skip + count;
    from += count;
  }
}

function damaged(said: string): FixedramError {
  return new FixedramError("stream.xbzrle-data", "an XBZRLE page can't be decoded", { said });
}
