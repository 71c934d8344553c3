import type { Site } from "./instrument.ts";

const later =
  "what it refuses is refused later with the same code; it is there so that no memory or time is taken before";
const shrinks = "the file changes while it is read, which no vector does; tests of readers and of convert do that";
const system = "passes on what is no fault of the file's: an error of the system";
const direct = "openSnapshot asks beforehand; tests of the function by itself provoke it";
const sealing = "sealing is not reading: test/operations/seal.test.ts and test/fixedram/seal.test.ts provoke it";
const writing = "writing is not reading: the tests of what writes provoke it";
const caller = "a mistake, or a wish, of the code that calls";
const served = "threads and page servers; their own tests provoke it";
const size = "needs a file of terabytes; tests provoke it with a smaller limit";

/** Checks whose deletion no vector shows, and why. By file, and the beginning of their text. */
const reasons: readonly (readonly [file: string, text: string, why: string])[] = [
  ["bytes/page-digest.ts", "checkPageSize(", caller],
  ["bytes/zero.ts", "bytes[at++] !== 0", "pages begin at multiples of 4 where it is asked; test/bytes/zero.test.ts"],
  ["bytes/numbers.ts", "a.length !== b.length", "digests have one length; the function is for others too"],
  ["containers/magics.ts", "head.length < offset", "a byte that is not there equals none; it saves the loop"],
  ["containers/recognise.ts", "head.some(", "the code is the same, only the words for a person differ"],
  ["devices/decode.ts", "size > 0 && count > ", later],
  ["devices/decode.ts", "size > this.#bytes.length - begin", later],
  ["devices/decode.ts", "end > this.#bytes.length", later],
  ["devices/decode.ts", "size > this.#bytes.length - this.at", later],
  ["devices/decode.ts", "throw error", "nothing else is thrown there"],
  ["fixedram/assembly.ts", "this.#configuration === null", "the reader gives no RAM section before a configuration"],
  ["fixedram/check.ts", "!isSize(end)", "the reader refuses such a block before (stream.number-too-large)"],
  ["fixedram/check.ts", "bitmaps > maxBitmapBytes", size],
  ["fixedram/digest-sections.ts", "checkSizes(", later],
  ["fixedram/digest-sections.ts", "pages > fileSize", later],
  ["fixedram/digest-sections.ts", "bitmaps > maxBitmapBytes", size],
  ["fixedram/digest-sections.ts", "pageSize ", later],
  ["fixedram/digest-sections.ts", "nodes > nodeCount", later],
  ["fixedram/layout.ts", "!isSize(", later],
  ["fixedram/meta.ts", 'throw new FixedramError("seal.bad-meta", "the snapshot\'s record is not JSON', later],
  ["fixedram/nodes.ts", "index ", "rootMatches has refused such entries"],
  ["fixedram/order-check.ts", "looks.done", size],
  ["fixedram/page-check.ts", "store.readSync === undefined", caller],
  ["fixedram/page-check.ts", "count < wanted.length", shrinks],
  [
    "fixedram/page-check.ts",
    "expected === undefined",
    "rootMatches, and that every page present has a node, are checked before",
  ],
  ["fixedram/placed-pages.ts", "this.#file.readBack(", shrinks],
  ["fixedram/page-pieces.ts", "", shrinks],
  ["fixedram/reader.ts", "!(error instanceof FixedramError", system],
  ["fixedram/reader.ts", "configuration === undefined", direct],
  ["fixedram/reader.ts", "requireMappedRam(", direct],
  ["fixedram/reader.ts", "mapped === null", direct],
  ["fixedram/reader.ts", "!found.includes(", direct],
  ["fixedram/reader.ts", "count !== bytes.length", shrinks],
  ["fixedram/seal-in-place.ts", "", sealing],
  ["fixedram/seal.ts", "blocks === undefined", later],
  ["fixedram/seal.ts", "regions === undefined", later],
  ["fixedram/seal.ts", "nodes === undefined", later],
  ["fixedram/seal.ts", "throw error", system],
  ["fixedram/seal.ts", "directoryLength > maxDirectoryBytes", later],
  ["fixedram/seal.ts", "place.length > maximum", later],
  ["fixedram/seal.ts", 'throw new FixedramError("seal.damaged-section", "the file ends inside', shrinks],
  ["fixedram/trailer.ts", "bytes.length !== trailerBytes", "it is always given as many"],
  ["fixedram/verify.ts", "!(error instanceof FixedramError)", system],
  ["fixedram/verify.ts", "!/^(seal|file|stream)", system],
  ["fixedram/verify.ts", "error.code === ", "such a seal is refused before it is compared"],
  ["fixedram/verify.ts", "await checkNodes(", "where threads have found suspects; test/operations/parallel.test.ts"],
  ["fixedram/writer.ts", "this.#file.readBack(", shrinks],
  ["fixedram/writer.ts", "checkBitmaps(", size],
  ["fixedram/writer.ts", "file === null", served],
  ["fixedram/writer.ts", "layout === undefined", served],
  ["legacy/index-file.ts", "bytes.length < headLength", later],
  ["legacy/index-file.ts", "throw error", system],
  ["legacy/index-file.ts", "configuration === undefined", "the reader gives no records without one"],
  ["legacy/index-file.ts", "pageSize !== undefined", "a wish of the caller's; test/legacy/index-file.test.ts"],
  ["legacy/index-file.ts", "bytes > maxTableBytes", size],
  ["legacy/indexer.ts", "requireAll(", shrinks],
  ["legacy/indexer.ts", 'throw new FixedramError("file.truncated"', shrinks],
  ["legacy/indexer.ts", 'throw new FixedramError("file.too-large", "the index of', size],
  ["legacy/indexer.ts", "!(error instanceof FixedramError)", system],
  ["legacy/overlay.ts", "(this.#slots + 1)", size],
  ["legacy/page-sender.ts", "got !== wanted", shrinks],
  ["legacy/reader.ts", 'throw new FixedramError("file.mapped-ram"', direct],
  ["libvirt/decompress.ts", '!code.startsWith("Z_")', system],
  ["libvirt/decompress.ts", "end.error !== null", system],
  ["libvirt/decompress.ts", "end.signal !== null", system],
  ["libvirt/decompress.ts", "throw error", system],
  ["libvirt/decompress.ts", "failure !== null", system],
  ["libvirt/header.ts", "checkMagic(", direct],
  ["libvirt/header.ts", "found === unfinishedMagic", direct],
  ["libvirt/header.ts", 'throw new FixedramError("file.not-libvirt"', direct],
  ["libvirt/header.ts", "checkText(", writing],
  ["libvirt/header.ts", "dataLength < used", writing],
  ["libvirt/header.ts", "dataLength > maxLibvirtData", writing],
  ["libvirt/header.ts", 'throw new FixedramError("usage.libvirt-xml"', writing],
  ["libvirt/name.ts", "end", "a name that is only shown; test/libvirt/header.test.ts"],
  ["libvirt/reader.ts", "count < data.length", shrinks],
  ["libvirt/reader.ts", 'format === "sparse"', caller],
  ["libvirt/writer.ts", "", writing],
  ["stream/configuration.ts", "count > MAX_CAPABILITIES", "the reader has refused such a list before"],
  ["stream/device-tail.ts", "this.#triedBytes > MAX_TRIED_BYTES", "all that is lost without it is time"],
  ["stream/encoded.ts", "!(error instanceof FixedramError)", system],
  ["stream/encoded.ts", "this.#inflate === null", caller],
  ["stream/vmdesc.ts", "bytes.length > MAX_VMDESC", "the reader takes no longer one; test/stream/vmdesc.test.ts"],
  ["stream/writer.ts", "", writing],
];

/** Why no vector misses a check; null when there is no reason. */
export function justified({ file, text }: Site): string | null {
  return reasons.find(([name, begin]) => file === name && text.startsWith(begin))?.[2] ?? null;
}
