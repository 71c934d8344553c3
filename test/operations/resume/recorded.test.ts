import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { SnapshotMeta } from "../../../src/fixedram/meta.ts";
import { FixedRamWriter } from "../../../src/fixedram/writer.ts";
import { mapOf } from "../../../src/operations/inspect.ts";
import { type ResumeOptions, resume } from "../../../src/operations/resume.ts";
import { TargetFile } from "../../../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../../fixedram/sample.ts";
import { failure } from "../synthetic.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
});

async function snapshot(more: Partial<SnapshotMeta> | null): Promise<string> {
  const file = join(folder, "guest.fram");
  const writer = new FixedRamWriter(TargetFile.create(file), configuration(), ramStart(["pc.ram", 4]));
  const [block] = writer.blocks;
  if (block === undefined) throw new Error("no block");
  writer.writePages(batch(block, [[1, 7]]));
  writer.tail(tail());
  await writer.finish(more === null ? null : { ...meta, ...more });
  return file;
}

const argv = (...args: string[]) => ({ arguments: args, redacted: false, fileDescriptors: [] as number[] });
const refusal = async (more: Partial<SnapshotMeta> | null, options: Partial<ResumeOptions> = {}) =>
  failure(async () => resume({ file: await snapshot(more), ...options }));

describe("the recorded command line", () => {
  const proof = () => join(folder, "ran");
  const touch = () => argv("/bin/sh", "-c", `echo ran > ${proof()}; exit 3`);

  test.each(["no word", "no", "yes to none"])("is not run on %s", async (answer) => {
    const confirm = answer === "no word" ? {} : { confirm: async () => false };
    expect((await refusal({ argv: touch() }, confirm)).code).toBe("usage.not-confirmed");
    expect(() => readFileSync(proof())).toThrow();
  });

  test("is shown to who is asked, and run after a yes, or with runRecorded", async () => {
    const asked: (readonly string[])[] = [];
    const confirm = async (shown: readonly string[]) => {
      asked.push(shown);
      return true;
    };
    // It is no QEMU, and ends at once: that it ran is what counts.
    expect((await refusal({ argv: touch() }, { confirm })).code).toBe("qemu.exited");
    expect(asked).toEqual([touch().arguments]);
    expect(readFileSync(proof(), "utf8")).toBe("ran\n");
    rmSync(proof());
    expect((await refusal({ argv: touch() }, { runRecorded: true })).code).toBe("qemu.exited");
    expect(readFileSync(proof(), "utf8")).toBe("ran\n");
  });

  test("loses the -S that held the first start: the guest goes on as it was saved", async () => {
    const asked: (readonly string[])[] = [];
    const confirm = async (shown: readonly string[]) => {
      asked.push(shown);
      return false;
    };
    const recorded = argv("/bin/qemu", "-name", "-S", "-S", "-m", "1G", "--S");
    expect((await refusal({ argv: recorded }, { confirm })).code).toBe("usage.not-confirmed");
    expect(asked).toEqual([["/bin/qemu", "-name", "-S", "-m", "1G"]]);
  });

  test("is not run through a shell", async () => {
    const tricky = argv("/bin/echo", `$(echo ran > ${proof()})`, ";", "echo", ">", proof());
    await refusal({ argv: tricky }, { runRecorded: true });
    expect(() => readFileSync(proof())).toThrow();
  });

  test.each([
    [
      "secrets were left out",
      { ...argv("qemu", "password=<redacted>"), redacted: true },
      "secrets were left out of it",
    ],
    ["it names descriptors", { ...argv("qemu", "fd=3"), fileDescriptors: [1] }, "file descriptors"],
  ])("cannot be run when %s, even with a yes", async (_name, recorded, found) => {
    const error = await refusal({ argv: recorded }, { runRecorded: true });
    expect(error).toMatchObject({
      code: "usage.recorded-incomplete",
      details: { found: expect.stringContaining(found) },
    });
  });

  test.each([
    ["not recorded", { argv: null }],
    ["in a file without seal", null],
  ])("%s: a command is needed", async (_name, more) =>
    expect((await refusal(more, { runRecorded: true })).code).toBe("usage.no-command"),
  );
});

test.each([
  { qmp: "x", command: ["qemu"] },
  { qmp: "x", runRecorded: true },
  { command: ["qemu"], runRecorded: true },
])("one QEMU only: %j", async (ways) => expect((await refusal({}, ways)).code).toBe("usage.conflict"));

test("a file without a seal is named as such before anything is started", async () => {
  const notices: string[] = [];
  await refusal(null, { onNotice: ({ code }) => notices.push(code) });
  expect(notices).toContain("no-record");
});

test("mapOf knows the blocks there are", async () => {
  const file = await snapshot({});
  expect(await mapOf(file, { block: "pc.ram", width: 4 })).toMatchObject([{ name: "pc.ram", pages: 4, present: 1 }]);
  expect(await failure(() => mapOf(file, { block: "pc.rom", width: 4 }))).toMatchObject({
    code: "usage.no-such-block",
    details: { block: "pc.rom" },
  });
});
