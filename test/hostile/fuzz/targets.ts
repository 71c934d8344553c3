/** What is fuzzed, and what each run is held against: a plain model, another way to read the same, a round trip. */
import type { Target } from "./engine.ts";
import type { FuzzLib } from "./fuzz-lib.ts";
import { devicesTarget } from "./targets/devices.ts";
import { gdbTarget } from "./targets/gdb.ts";
import { imagesTarget } from "./targets/images.ts";
import { libvirtTarget } from "./targets/libvirt.ts";
import { mappedTarget } from "./targets/mapped.ts";
import { multifdTarget } from "./targets/multifd.ts";
import { clientTarget, qmpTarget } from "./targets/qmp.ts";
import { sealTarget } from "./targets/seal.ts";
import { streamTarget, structuredTarget } from "./targets/stream.ts";
import { walkTarget } from "./targets/walk.ts";

export async function targets(lib: FuzzLib): Promise<Target[]> {
  return [
    streamTarget(lib),
    mappedTarget(lib),
    await sealTarget(lib),
    libvirtTarget(lib),
    qmpTarget(lib),
    structuredTarget(lib),
    clientTarget(lib),
    devicesTarget(lib),
    multifdTarget(lib),
    gdbTarget(lib),
    walkTarget(lib),
    imagesTarget(lib),
  ];
}
