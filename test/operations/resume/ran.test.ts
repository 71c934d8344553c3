/** Whether a guest goes on that libvirt saved: its streams say "paused" of every guest. */
import { describe, expect, test } from "vitest";
import type { Snapshot } from "../../../src/containers/snapshot.ts";
import { runAsLibvirtWould } from "../../../src/operations/resume/ran.ts";
import type { QmpClient } from "../../../src/qmp/client.ts";

type Image = NonNullable<Snapshot["libvirt"]>;

const image = (wasRunning: boolean): Image =>
  ({ wasRunning, xml: Uint8Array.of(60), cookie: null }) as unknown as Image;

/** A QEMU in this state, and what it was told. */
function qemu(status: string): { readonly client: QmpClient; readonly told: string[] } {
  const told: string[] = [];
  const execute = async (command: string) => {
    told.push(command);
    return command === "query-status" ? { status, running: status === "running" } : {};
  };
  return { client: { execute } as unknown as QmpClient, told };
}

async function run(libvirt: Image | null, status: string, options = { paused: false, asIs: false }) {
  const { client, told } = qemu(status);
  const notices: string[] = [];
  await runAsLibvirtWould(client, { libvirt, meta: null }, options, ({ code, message }) =>
    notices.push(`${code}: ${message}`),
  );
  return { continued: told.includes("cont"), notices };
}

describe("a guest that libvirt saved", () => {
  test("goes on when it ran", async () => {
    expect(await run(image(true), "paused")).toEqual({
      continued: true,
      notices: [expect.stringContaining("so it runs on")],
    });
  });

  test.each([
    ["it was paused", image(false), { paused: false, asIs: false }, "was paused when libvirt saved it"],
    ["--paused was given", image(true), { paused: true, asIs: false }, "left paused, as asked"],
    ["QEMU was started with -S", image(true), { paused: false, asIs: true }, "left paused, as asked"],
  ])("stands when %s, and that is said", async (_, libvirt, options, said) => {
    expect(await run(libvirt, "paused", options)).toEqual({
      continued: false,
      notices: [expect.stringContaining(said)],
    });
  });

  test.each(["running", "postmigrate", "inmigrate", "shutdown"])("is left alone in state %s", async (status) => {
    expect(await run(image(true), status)).toEqual({ continued: false, notices: [] });
  });

  test("is the only kind that is touched", async () => {
    expect(await run(null, "paused")).toEqual({ continued: false, notices: [] });
  });

  test("is known by the record of a file that was converted from its image", async () => {
    const { client, told } = qemu("paused");
    const libvirt = { xml: "<domain/>", cookie: null, wasRunning: true };
    const meta = { libvirt } as unknown as NonNullable<Snapshot["meta"]>;
    await runAsLibvirtWould(client, { libvirt: null, meta }, { paused: false, asIs: false }, () => {});
    expect(told).toContain("cont");
  });
});
