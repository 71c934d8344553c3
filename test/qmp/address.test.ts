import { describe, expect, test } from "vitest";
import { formatQmpAddress, parseQmpAddress } from "../../src/qmp/address.ts";

describe("QMP addresses", () => {
  test.each([
    ["/run/q.sock", { kind: "unix", path: "/run/q.sock" }],
    ["unix:q.sock", { kind: "unix", path: "q.sock" }],
    ["unix:/a b,c", { kind: "unix", path: "/a b,c" }],
    ["tcp:127.0.0.1:4444", { kind: "tcp", host: "127.0.0.1", port: 4444 }],
    ["tcp:127.9.8.7:1", { kind: "tcp", host: "127.9.8.7", port: 1 }],
    ["tcp:localhost:65535", { kind: "tcp", host: "localhost", port: 65535 }],
    ["tcp:[::1]:4444", { kind: "tcp", host: "::1", port: 4444 }],
  ])("%s is read", (text, address) => {
    expect(parseQmpAddress(text)).toEqual(address);
    expect(parseQmpAddress(formatQmpAddress(parseQmpAddress(text)))).toEqual(address);
  });

  test.each([
    ["", "usage.qmp-address"],
    ["unix:", "usage.qmp-address"],
    ["unix:/a\0b", "usage.qmp-address"],
    ["tcp:127.0.0.1", "usage.qmp-address"],
    ["tcp::4444", "usage.qmp-address"],
    ["tcp:127.0.0.1:0", "usage.qmp-address"],
    ["tcp:127.0.0.1:65536", "usage.qmp-address"],
    ["tcp:127.0.0.1:4444x", "usage.qmp-address"],
    ["tcp:0.0.0.0:4444", "usage.qmp-not-loopback"],
    ["tcp:127.0.0.1.example.org:4444", "usage.qmp-not-loopback"],
    ["tcp:192.168.1.1:4444", "usage.qmp-not-loopback"],
    ["tcp:[::]:4444", "usage.qmp-not-loopback"],
    [`/${"x".repeat(107)}`, "usage.socket-path-too-long"],
    [`/${"é".repeat(54)}`, "usage.socket-path-too-long"],
  ])("%j is refused with %s", (text, code) => {
    expect(() => parseQmpAddress(text)).toThrow(expect.objectContaining({ code }));
  });

  test("a refused host is named", () => {
    expect(() => parseQmpAddress("tcp:10.1.2.3:1")).toThrow(/10\.1\.2\.3/);
  });

  test("107 bytes are not too long", () => {
    expect(parseQmpAddress(`/${"x".repeat(106)}`)).toMatchObject({ kind: "unix" });
  });
});
