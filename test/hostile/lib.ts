/** The sources under test, from src or from a copy that was changed. */
import { existsSync } from "node:fs";
import { pathToFileURL } from "node:url";

/** Sources are TypeScript, copies that were changed are JavaScript. */
export async function load<T>(root: URL, path: string): Promise<T> {
  const file = new URL(path, root);
  return (await import(existsSync(file) ? file.href : file.href.replace(/\.ts$/, ".js"))) as T;
}

/** @param folder of the sources; default: the repository's src */
export async function loadLib(folder = `${import.meta.dirname}/../../src`) {
  const root = pathToFileURL(`${folder}/`);
  const [
    open,
    verify,
    input,
    reader,
    writer,
    events,
    fixed,
    fixedWriter,
    assembly,
    copy,
    extents,
    legacy,
    seal,
    index,
  ] = await Promise.all([
    load<typeof import("../../src/operations/open.ts")>(root, "operations/open.ts"),
    load<typeof import("../../src/operations/verify.ts")>(root, "operations/verify.ts"),
    load<typeof import("../../src/operations/convert/input.ts")>(root, "operations/convert/input.ts"),
    load<typeof import("../../src/stream/reader.ts")>(root, "stream/reader.ts"),
    load<typeof import("../../src/stream/writer.ts")>(root, "stream/writer.ts"),
    load<typeof import("../../src/stream/encoded.ts")>(root, "stream/encoded.ts"),
    load<typeof import("../../src/fixedram/reader.ts")>(root, "fixedram/reader.ts"),
    load<typeof import("../../src/fixedram/writer.ts")>(root, "fixedram/writer.ts"),
    load<typeof import("../../src/fixedram/assembly.ts")>(root, "fixedram/assembly.ts"),
    load<typeof import("../../src/pages/copy.ts")>(root, "pages/copy.ts"),
    load<typeof import("../../src/pages/extents.ts")>(root, "pages/extents.ts"),
    load<typeof import("../../src/legacy/reader.ts")>(root, "legacy/reader.ts"),
    load<typeof import("../../src/fixedram/seal.ts")>(root, "fixedram/seal.ts"),
    load<typeof import("../../src/legacy/index-file.ts")>(root, "legacy/index-file.ts"),
  ]);
  const legacyWriter = await load<typeof import("../../src/legacy/writer.ts")>(root, "legacy/writer.ts");
  const libvirt = await load<typeof import("../../src/libvirt/header.ts")>(root, "libvirt/header.ts");
  const libvirtReader = await load<typeof import("../../src/libvirt/reader.ts")>(root, "libvirt/reader.ts");
  const inspect = await load<typeof import("../../src/operations/inspect.ts")>(root, "operations/inspect.ts");
  return {
    ...(await load<typeof import("../../src/devices/sections.ts")>(root, "devices/sections.ts")),
    ...(await load<typeof import("../../src/stream/multifd-reader.ts")>(root, "stream/multifd-reader.ts")),
    ...(await load<typeof import("../../src/stream/global-state.ts")>(root, "stream/global-state.ts")),
    ...(await load<typeof import("../../src/stream/configuration.ts")>(root, "stream/configuration.ts")),
    ...(await load<typeof import("../../src/fixedram/page-check.ts")>(root, "fixedram/page-check.ts")),
    ...(await load<typeof import("../../src/libvirt/name.ts")>(root, "libvirt/name.ts")),
    ...open,
    ...verify,
    ...input,
    ...reader,
    ...writer,
    ...events,
    ...fixed,
    ...fixedWriter,
    ...assembly,
    ...copy,
    ...extents,
    ...legacy,
    ...seal,
    ...index,
    ...legacyWriter,
    ...libvirt,
    ...libvirtReader,
    ...inspect,
  };
}

export type Lib = Awaited<ReturnType<typeof loadLib>>;
