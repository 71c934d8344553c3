/** `--view` of save and resume: what is told, what is handed to whom, and that nothing stays open. */
import { describe, expect, test } from "vitest";
import type { Operations } from "../../src/cli/operations.ts";
import { FixedramError } from "../../src/errors.ts";
import type { ResumeViewer } from "../../src/viewer/live-resume.ts";
import type { SaveViewer } from "../../src/viewer/live-save.ts";
import { cli, fakes } from "./fakes.ts";

const url = "http://127.0.0.1:8000/key/";

/** Viewers that note what is done with them. */
function noted() {
  const notes: string[] = [];
  const close = async () => void notes.push("closed");
  const common = { url, ticket: () => url, ended: Promise.resolve(), close, [Symbol.asyncDispose]: close };
  const failed = (error: unknown) => void notes.push(`failed: ${(error as Error).message}`);
  const viewResume = async ({ file, listen }: { file: string; listen?: string }): Promise<ResumeViewer> => {
    notes.push(`resume ${file} ${listen ?? ""}`);
    const note = (what: string) => () => void notes.push(what);
    const hooks = { onActivity: note("activity"), onRunning: note("running"), onOutput: note("output") };
    return { ...common, hooks, finished: note("finished"), failed };
  };
  const viewSave = async ({ file, listen }: { file: string; listen?: string }): Promise<SaveViewer> => {
    notes.push(`save ${file} ${listen ?? ""}`);
    const watcher = { laidOut: () => undefined, pages: () => undefined, zeroPages: () => undefined };
    const hooks = { watcher, onProgress: () => void notes.push("progress") };
    return { ...common, hooks, finished: async () => void notes.push("finished"), failed };
  };
  return { notes, operations: { ...fakes, viewResume, viewSave } satisfies Partial<Operations> };
}

describe("resume --lazy --view", () => {
  test("the page's address is told, the page hears what happens, and stays at the end", async () => {
    const { notes, operations } = noted();
    const resumeLazy: Operations["resumeLazy"] = async (options) => {
      options.onActivity?.([]);
      options.onRunning?.({ runState: "running", times: { ready: 1, running: 2 }, process: null, pageServer: 7 });
      options.onOutput?.();
      return { ...(await fakes.resumeLazy({ file: "x" })), process: null };
    };
    const argv = ["resume", "web.fram", "--lazy", "--view", "--listen", "8000", "--no-open", "--qmp", "q"];
    const { code, stderr, stdout } = await cli(argv, { ...operations, resumeLazy });
    expect(code).toBe(0);
    expect(stderr).toContain(`note: ${url}\n`);
    expect(stderr).toContain(`${url} stays until Ctrl-C`);
    expect(stdout).toContain("Resumed");
    expect([...new Set(notes)]).toEqual([
      "resume web.fram 8000",
      "activity",
      "running",
      "output",
      "finished",
      "closed",
    ]);
  });

  test("a resume that fails is told to the page, which goes with it", async () => {
    const { notes, operations } = noted();
    const resumeLazy = async () => {
      throw new FixedramError("qemu.died", "QEMU ended");
    };
    const argv = ["resume", "web.fram", "--lazy", "--view", "--no-open", "--qmp", "q", "--json"];
    const { code, stderr } = await cli(argv, { ...operations, resumeLazy });
    expect(code).toBe(4);
    expect(stderr).toContain(`"code":"view","message":"${url}"`);
    expect(notes).toEqual(["resume web.fram ", "failed: QEMU ended", "closed"]);
  });

  test("with --quiet the address is told all the same", async () => {
    const { operations } = noted();
    const { stderr } = await cli(["resume", "x", "--lazy", "--view", "--no-open", "--qmp", "q", "--quiet"], operations);
    expect(stderr).toContain(url);
  });
});

describe("save --view", () => {
  test("progress goes to the page, which opens the file at the end", async () => {
    const { notes, operations } = noted();
    const save: Operations["save"] = async (options) => {
      expect(options.watcher).toBeDefined();
      options.onProgress?.({ phase: "ram", bytes: 1, total: 2, round: 1, elapsed: 3 });
      return await fakes.save({ out: "x", qmp: "q" });
    };
    const { code, stderr } = await cli(["save", "web.fram", "--qmp", "q", "--view", "--no-open"], {
      ...operations,
      save,
    });
    expect(code).toBe(0);
    expect(stderr).toContain(url);
    expect([...new Set(notes)]).toEqual(["save web.fram ", "progress", "finished", "closed"]);
  });

  test("without it nothing looks on", async () => {
    const save: Operations["save"] = async (options) => {
      expect(options.watcher).toBeUndefined();
      return await fakes.save({ out: "x", qmp: "q" });
    };
    expect((await cli(["save", "web.fram", "--qmp", "q"], { save })).code).toBe(0);
  });
});

test.each([
  ["save", "x", "--qmp", "q", "--listen", "8000"],
  ["save", "x", "--qmp", "q", "--no-open"],
  ["resume", "x", "--lazy", "--qmp", "q", "--no-open"],
  ["resume", "x", "--qmp", "q", "--view"],
  ["resume", "x", "--qmp", "q", "--listen", "8000"],
])("%s %s %s %s %s %s: what goes together with another option alone is refused", async (...argv) => {
  const { code, stderr } = await cli(argv, noted().operations);
  expect([code, stderr]).toEqual([2, expect.stringContaining("usage.conflict")]);
});
