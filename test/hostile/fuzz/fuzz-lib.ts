import { pathToFileURL } from "node:url";
import { load, loadLib } from "../lib.ts";

/** The sources, with what only the fuzzer wants of them. */
export async function loadFuzzLib(folder: string) {
  const root = pathToFileURL(`${folder}/`);
  const lib = await loadLib(folder);
  const { parseQmpJson, formatQmpJson } = await load<typeof import("../../../src/qmp/json.ts")>(root, "qmp/json.ts");
  const { LineSplitter } = await load<typeof import("../../../src/qmp/lines.ts")>(root, "qmp/lines.ts");
  const { QmpClient } = await load<typeof import("../../../src/qmp/client.ts")>(root, "qmp/client.ts");
  const { checkSealed } = await load<typeof import("../../../src/fixedram/verify.ts")>(root, "fixedram/verify.ts");
  const { libvirtName } = await load<typeof import("../../../src/libvirt/name.ts")>(root, "libvirt/name.ts");
  return { ...lib, parseQmpJson, formatQmpJson, LineSplitter, QmpClient, checkSealed, libvirtName };
}

export type FuzzLib = Awaited<ReturnType<typeof loadFuzzLib>>;
