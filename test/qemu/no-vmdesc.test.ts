/** A machine that does not describe its device state: only a closed connection tells where its stream ends. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { qemus, startGuest, testFolder } from "./harness/index.ts";
import { expectWell, resume, save, saveRefused } from "./support/steps.ts";

test.each(qemus())("suppress-vmdesc on QEMU $version: background saves it, the other modes refuse", async (qemu) => {
  const machine = "pc-i440fx-7.2,suppress-vmdesc=on";
  const guest = await startGuest({ qemu, kind: "boot", machine, zeroing: true });
  const before = await guest.ready(10_000);
  const file = join(testFolder(), "guest.fram");
  for (const mode of ["stop", "live"]) {
    const { code, error } = await saveRefused(guest, file, "--mode", mode);
    expect({ code, what: error.code }).toEqual({ code: 4, what: "guest.no-vmdesc" });
  }
  expect(await save(guest, file, "--mode", "background")).toMatchObject({ runState: { after: "running" } });
  expectWell(await guest.verdict(), before);
  await guest.kill();
  for (const target of qemus()) {
    const resumed = await resume(guest, file, target);
    expectWell(await resumed.verdict(), before);
    expect(await resumed.quit()).toMatchObject({ code: 0 });
  }
});
