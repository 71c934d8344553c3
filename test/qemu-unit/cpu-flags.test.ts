import { expect, test } from "vitest";
import { cpuOptionProps, queryCpuFeatures } from "../../src/qemu/cpu-flags.ts";
import { fakeQemu } from "../operations/fake-qemu.ts";
import { failure } from "../operations/synthetic.ts";

test.each<[string[], Record<string, boolean>]>([
  [[], {}],
  [["qemu", "-cpu"], {}],
  [["qemu", "-cpu", "qemu64"], {}],
  [
    ["qemu", "-cpu", "qemu64,+avx,-sse3,sse4.2=off,x2apic=on"],
    { avx: true, sse3: false, "sse4.2": false, x2apic: true },
  ],
  [["qemu", "--cpu", "host,migratable=no,phys-bits=40,model-id=a=b,"], {}],
  [["qemu", "-cpu", "a,+x", "-cpu", "b,+y"], { y: true }],
])("%j", (argv, props) => expect(cpuOptionProps(argv)).toEqual(props));

test("features that are on, sorted, without what steers QEMU", async () => {
  const qemu = await fakeQemu({
    "query-cpu-model-expansion": () => ({
      model: {
        name: "qemu64",
        props: { sse2: true, avx: true, svm: false, migratable: true, "phys-bits": 40, vendor: "X" },
      },
    }),
  });
  const client = await qemu.client();
  expect(await queryCpuFeatures(client, "qemu64", ["q", "-cpu", "qemu64,+avx"])).toEqual(["avx", "sse2"]);
  const asked = () => qemu.server.requests.at(-1)?.arguments;
  expect(asked()).toEqual({ type: "full", model: { name: "qemu64", props: { avx: true } } });
  await queryCpuFeatures(client, "qemu64", []);
  expect(asked()).toEqual({ type: "full", model: { name: "qemu64" } });
});

test("a QEMU that cannot tell has none; one that is gone is an error", async () => {
  const qemu = await fakeQemu({
    "query-cpu-model-expansion": () => {
      throw "The command has not been found";
    },
  });
  const client = await qemu.client();
  expect(await queryCpuFeatures(client, "cortex-a57", [])).toEqual([]);
  qemu.on["query-cpu-model-expansion"] = () => ({ other: 1 });
  expect(await queryCpuFeatures(client, "cortex-a57", [])).toEqual([]);
  client.close();
  expect((await failure(() => queryCpuFeatures(client, "cortex-a57", []))).code).toBe("qmp.closed");
});
