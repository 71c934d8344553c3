/** Memory in a file that another running guest has as its memory too: loading into it would be that guest's end. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type GuestOptions, type Qemu, qemus, startGuest, testFolder } from "./harness/index.ts";
import { clone, cloneCommand } from "./support/clones.ts";
import { processesWith } from "./support/processes.ts";
import { expectWell, refused, resume, resumeCommand, save } from "./support/steps.ts";

/** On tmpfs, for QEMU takes no file on a disk for a lazy load. */
function memoryFolder(): string {
  const folder = mkdtempSync("/dev/shm/fixedram-test-");
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const inFile = (path: string): readonly string[] => [
  ...["-object", `memory-backend-file,id=ram0,size=64M,share=on,mem-path=${path}`],
  ...["-machine", "memory-backend=ram0"],
];

/** A guest in such a file that goes on after it was saved. */
async function living(one: Qemu) {
  const folder = memoryFolder();
  const path = join(folder, "vm1");
  const options: GuestOptions = { qemu: one, kind: "boot", extraArgs: inFile(path) };
  const guest = await startGuest(options);
  const before = await guest.ready(10_000);
  const file = join(testFolder(), "guest.fram");
  await save(guest, file);
  return { folder, path, guest, before, file };
}

describe.each(qemus())("QEMU $label ($version)", (one) => {
  test("--lazy: refused before a page is sent, and that guest goes on", async () => {
    const { guest, before, file, path } = await living(one);
    const { argv, serialPath } = resumeCommand(guest.options);
    expect(await refused(["resume", file, "--lazy", "--json", "--", ...argv])).toMatchObject({
      code: 4,
      error: { code: "guest.memory-in-use", path, found: expect.stringContaining(`QEMU ${guest.pid}`) },
    });
    expect(processesWith(serialPath)).toEqual([]);
    expectWell(await guest.verdict(), before);
  });

  test.each(["eager", "lazy"])("--force, %s: loaded all the same, with a warning", async (how) => {
    const { guest, before, file } = await living(one);
    // It writes no more, for what it wrote would be the other's memory.
    await (await guest.qmp()).execute("stop");
    const resumed = await resume(guest, file, one, { args: how === "lazy" ? ["--lazy", "--force"] : ["--force"] });
    expectWell(await resumed.verdict(), before);
    expect(resumed.result.notices.map(({ code }) => code)).toContain("memory-in-use");
    await resumed.quit();
  });

  test("clone: the one whose file it is fails, the others run, and that guest goes on", async () => {
    const { folder, guest, before, file } = await living(one);
    const options = { ...guest.options, extraArgs: inFile(join(folder, "vm{n}")) };
    const clones = clone(guest, file, one, 2, [], cloneCommand({ options }, one));
    const { clones: results } = await clones.answer();
    expect(results.map(({ state, error }) => [state, error?.code])).toEqual([
      ["failed", "guest.memory-in-use"],
      ["loaded", undefined],
    ]);
    expectWell(await clones.verdict(2), before);
    expectWell(await guest.verdict(), before);
    clones.signal("SIGTERM");
    await clones.ended;
  });
});
