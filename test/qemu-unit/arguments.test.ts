import { describe, expect, test } from "vitest";
import { prepareArgv, wantsTerminal } from "../../src/qemu/arguments.ts";

const qmp = "/run/x,y/qmp.sock";
const ours = ["-qmp", "unix:/run/x,,y/qmp.sock,server=on,wait=off", "-incoming", "defer"];
const prepare = (words: string, more = {}) =>
  prepareArgv(["qemu", ...words.split(" ").filter((word) => word !== "")], { qmp, ...more });

describe("a user's command line", () => {
  test.each([
    ["", ""],
    ["-m 1G disk.img", "-m 1G disk.img"],
    ["-incoming tcp:0:4444 -m 1", "-m 1"],
    ["--incoming defer", ""],
    ["-daemonize -m 1", "-m 1"],
    ["-S -daemonize -snapshot", "-S -snapshot"],
    ["-append -daemonize", "-append -daemonize"],
    ["-qmp stdio", ""],
    ["-monitor stdio", "-monitor stdio"],
    ["-qmp unix:/a,server", "-qmp unix:/a,server,wait=off"],
    ["-qmp unix:/a,server=on,wait=on", "-qmp unix:/a,server=on,wait=off"],
    ["-qmp unix:/a,server=on,wait=off", "-qmp unix:/a,server=on,wait=off"],
    ["-qmp unix:/a,server,nowait", "-qmp unix:/a,server,nowait"],
    ["-qmp unix:/a", "-qmp unix:/a"],
    ["-pidfile /p", "-pidfile /p"],
  ])("%j", (before, after) => {
    const words = after.split(" ").filter((word) => word !== "");
    expect(prepare(before).argv).toEqual(["qemu", ...words, ...ours]);
  });

  test("what is taken away is said", () => {
    const { notices } = prepare("-incoming defer -daemonize -qmp stdio -m 1");
    expect(notices.map((notice) => notice.code)).toEqual(Array(3).fill("qemu.option-removed"));
    expect(notices[0]?.message).toContain("-incoming defer");
  });

  test("-S is seen, and only as an option", () => {
    expect(prepare("-m 1 -S").paused).toBe(true);
    expect(prepare("-append -S").paused).toBe(false);
  });

  test("without a terminal a monitor on stdio goes", () => {
    expect(prepare("-monitor stdio", { captured: true }).argv).toEqual(["qemu", ...ours]);
    expect(prepare("-serial mon:stdio", { captured: true }).argv).toContain("mon:stdio");
  });

  test("a pid file and a socket in use", () => {
    const inUse = { pidfileInUse: () => true, socketInUse: (path: string) => path === "/a,b" };
    expect(prepare("-pidfile /p", inUse).argv).toEqual(["qemu", ...ours]);
    expect(() => prepare("-qmp unix:/a,,b,server=on", inUse)).toThrow(
      expect.objectContaining({ code: "usage.qemu-option" }),
    );
    expect(prepare("-qmp unix:/other,server=on", inUse).argv).toContain("unix:/other,server=on,wait=off");
  });

  test.each(["-loadvm x", "-preconfig"])("%s cannot go with a snapshot", (words) => {
    expect(() => prepare(words)).toThrow(expect.objectContaining({ code: "usage.qemu-option" }));
    expect(prepare(words, { incoming: false }).argv).toContain(words.split(" ")[0]);
  });

  test("nothing to run", () => {
    expect(() => prepareArgv([], { qmp })).toThrow(expect.objectContaining({ code: "usage.no-command" }));
    expect(() => prepareArgv([""], { qmp })).toThrow(expect.objectContaining({ code: "usage.no-command" }));
  });
});

describe("a QEMU that may want the terminal", () => {
  test.each([
    ...[
      "-nographic",
      "-serial stdio",
      "-serial mon:stdio",
      "-monitor stdio",
      "-display curses",
      "-curses",
      "--nographic",
    ],
    ...["-chardev stdio,id=c,signal=off", "-chardev pipe,id=c,path=/dev/tty", "-drive file=/dev/stdin,format=raw"],
    ...[
      "-kernel /dev/fd/3",
      "-initrd /proc/self/fd/0",
      "-readconfig q.cfg",
      "-serial chardev:c -chardev backend=stdio,id=c",
    ],
  ])("%s", (words) => {
    expect(wantsTerminal(["qemu", ...words.split(" ")])).toBe(true);
  });

  test.each(["-m 1G -serial unix:/run/s,server=on", "-display none", "-vga std -display gtk", ""])(
    "not: %s",
    (words) => {
      expect(wantsTerminal(["/opt/stdio/qemu", ...words.split(" ")])).toBe(false);
    },
  );
});
