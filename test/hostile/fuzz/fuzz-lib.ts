import { pathToFileURL } from "node:url";
import { load, loadLib } from "../lib.ts";

/** The sources, with what only the fuzzer wants of them. */
export async function loadFuzzLib(folder: string) {
  const root = pathToFileURL(`${folder}/`);
  return {
    ...(await loadLib(folder)),
    ...(await load<typeof import("../../../src/errors.ts")>(root, "errors.ts")),
    ...(await load<typeof import("../../../src/qmp/json.ts")>(root, "qmp/json.ts")),
    ...(await load<typeof import("../../../src/qmp/lines.ts")>(root, "qmp/lines.ts")),
    ...(await load<typeof import("../../../src/qmp/client.ts")>(root, "qmp/client.ts")),
    ...(await load<typeof import("../../../src/fixedram/verify.ts")>(root, "fixedram/verify.ts")),
    ...(await load<typeof import("../../../src/fixedram/page-pieces.ts")>(root, "fixedram/page-pieces.ts")),
    ...(await load<typeof import("../../../src/bytes/page-digest.ts")>(root, "bytes/page-digest.ts")),
    ...(await load<typeof import("../../../src/gdb/packets.ts")>(root, "gdb/packets.ts")),
    ...(await load<typeof import("../../../src/gdb/session.ts")>(root, "gdb/session.ts")),
    ...(await load<typeof import("../../../src/gdb/connection.ts")>(root, "gdb/connection.ts")),
    ...(await load<typeof import("../../../src/machine/virtual.ts")>(root, "machine/virtual.ts")),
    ...(await load<typeof import("../../../src/machine/memory-map.ts")>(root, "machine/memory-map.ts")),
    ...(await load<typeof import("../../../src/elf/writer.ts")>(root, "elf/writer.ts")),
    ...(await load<typeof import("../../../src/elf/notes.ts")>(root, "elf/notes.ts")),
    ...(await load<typeof import("../../../src/lime/writer.ts")>(root, "lime/writer.ts")),
    ...(await load<typeof import("../../../src/raw/physical.ts")>(root, "raw/physical.ts")),
  };
}

export type FuzzLib = Awaited<ReturnType<typeof loadFuzzLib>>;
