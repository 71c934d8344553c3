import type { Operations } from "../../src/cli/operations.ts";
import { run } from "../../src/cli/run.ts";
import type { Surroundings } from "../../src/cli/terminal.ts";
import { examined } from "./answers/doctor.ts";
import {
  compared,
  converted,
  exported,
  inspected,
  mapped,
  repaired,
  sealed,
  served,
  verified,
} from "./answers/files.ts";
import { cloned, lazilyResumed, recovered, resumed, saved } from "./answers/guests.ts";
import { insideFakes } from "./inside-fakes.ts";

/** Operations that must not be called, with some replaced. */
export function operationsWith(some: Partial<Operations>): Operations {
  const refuse = (name: string) => (): never => {
    throw new Error(`${name} was called`);
  };
  return {
    save: refuse("save"),
    resume: refuse("resume"),
    resumeLazy: refuse("resumeLazy"),
    recover: refuse("recover"),
    clone: refuse("clone"),
    info: refuse("info"),
    mapOf: refuse("mapOf"),
    exportMap: refuse("exportMap"),
    view: refuse("view"),
    viewResume: refuse("viewResume"),
    viewSave: refuse("viewSave"),
    verify: refuse("verify"),
    seal: refuse("seal"),
    repair: refuse("repair"),
    convert: refuse("convert"),
    diff: refuse("diff"),
    exportSnapshot: refuse("exportSnapshot"),
    read: refuse("read"),
    translateAddress: refuse("translateAddress"),
    search: refuse("search"),
    strings: refuse("strings"),
    devices: refuse("devices"),
    cpus: refuse("cpus"),
    gdb: refuse("gdb"),
    doctor: refuse("doctor"),
    ...some,
  };
}

export const fakes: Operations = {
  save: async () => saved,
  resume: async () => resumed,
  resumeLazy: async () => lazilyResumed,
  recover: async () => recovered,
  clone: async ({ file }) => ({ ...cloned, result: { ...cloned.result, path: file } }),
  info: async (path) => ({ ...inspected, path }),
  mapOf: async () => mapped,
  seal: async ({ file }) => ({ ...sealed, path: file }),
  repair: async ({ file }) => ({ ...repaired, path: file }),
  exportMap: async () => undefined,
  view: async () => {
    const close = async () => {};
    return {
      url: "http://127.0.0.1:8000/key/",
      ticket: () => "http://127.0.0.1:8000/open-once",
      ended: Promise.resolve(),
      close,
      [Symbol.asyncDispose]: close,
    };
  },
  viewResume: async () => ({
    ...(await fakes.view({ file: "" })),
    hooks: { onActivity: () => {}, onRunning: () => {}, onOutput: () => {} },
    finished: () => {},
    failed: () => {},
  }),
  viewSave: async () => ({
    ...(await fakes.view({ file: "" })),
    hooks: { watcher: { laidOut: () => {}, pages: () => {}, zeroPages: () => {} }, onProgress: () => {} },
    finished: async () => {},
    failed: () => {},
  }),
  verify: async ({ file }) => ({ ...verified, path: file }),
  convert: async () => converted,
  diff: async ({ a, b }) => ({ ...compared, a: { ...compared.a, path: a }, b: { ...compared.b, path: b } }),
  exportSnapshot: async ({ file, output }) => ({ ...exported, input: { ...exported.input, path: file }, path: output }),
  ...insideFakes,
  gdb: async ({ file }) => ({ ...served, path: file }),
  doctor: async () => examined,
};

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Process that the terminal was handed to. */
  readonly heir: number | null;
}

/** Runs the command line in this process and collects what it says. */
export async function cli(
  argv: readonly string[],
  operations: Partial<Operations> = {},
  more: Partial<Surroundings> & { columns?: number } = {},
): Promise<Outcome> {
  let stdout = "";
  let stderr = "";
  let heir: number | null = null;
  const { columns, ...rest } = more;
  const code = await run(argv, {
    operations: operationsWith(operations),
    stdout: { write: (text) => (stdout += text), ...(columns === undefined ? {} : { columns, isTTY: true }) },
    stderr: { write: (text) => (stderr += text) },
    env: {},
    folder: "/here",
    version: "0.1.0",
    signals: {
      abort: new AbortController().signal,
      received: () => null,
      handOver: (pid) => {
        heir = pid;
      },
      hold: () => () => undefined,
    },
    ...rest,
  });
  return { code, stdout, stderr, heir };
}
