/** An installation whose guard does not start: noticed before anything of the guest is changed. */
import { spawnSync } from "node:child_process";
import { cpSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Scene } from "./breaking/scene.ts";
import { qemus, ROOT, testFolder } from "./harness/index.ts";

const MODES = ["stop", "live", "background"] as const;

/** A copy of the build, with this in the guard's place. */
function installation(guard: string): string {
  const folder = testFolder();
  for (const name of ["bin", "dist", "package.json"]) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "dist", "operations", "save", "guard.cjs"), guard);
  return join(folder, "bin", "fixedram");
}

describe.each(qemus())("QEMU $label ($version)", (one) => {
  test("saves are refused, and neither guest nor file was touched", async () => {
    const scene = await Scene.make({ guest: { qemu: one, kind: "boot", zeroing: true } });
    const program = installation("require('./not-there.cjs');\n");
    const qmp = await scene.guest.qmp();
    const before = qmp.sequence;
    for (const mode of MODES) {
      const args = [program, "save", scene.out, "--qmp", scene.guest.qmpPath, "--mode", mode, "--force", "--json"];
      const run = spawnSync(process.execPath, args, { encoding: "utf8", env: { ...process.env, ...scene.env } });
      expect(run.status, run.stdout + run.stderr).toBe(5);
      expect(JSON.parse(run.stdout)).toMatchObject({ error: { code: "system.no-guard" } });
      expect(qmp.sequence, "an event: the guest was stopped, or a migration began").toBe(before);
      expect(await scene.file()).toBe("old");
      await scene.expectSettled();
    }
    await scene.expectVerdict();
    await scene.expectSave();
  });
});
