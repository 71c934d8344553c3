import { expect, test } from "vitest";
import { ownArguments } from "../../src/qemu/own-arguments.ts";

test("a clone's number takes the place of {n}, and stands behind what QEMUs would take from each other", () => {
  const words = [
    ["-serial", "unix:/run/s-{n},server=on,wait=off", "unix:/run/s-3,server=on,wait=off", null],
    ["-qmp", "unix:/run/q,server,nowait", "unix:/run/q.3,server,nowait", "/run/q.3"],
    ["-monitor", "unix:/run/client", "unix:/run/client", null],
    ["-chardev", "socket,id=a,path=/run/a,,b,server=on", "socket,id=a,path=/run/a,,b.3,server=on", "/run/a,b.3"],
    ["-chardev", "socket,id=b,path=/run/vhost", "socket,id=b,path=/run/vhost", null],
    ["-chardev", "file,id=c,path=/log/c", "file,id=c,path=/log/c.3", "/log/c.3"],
    ["-serial", "file:/log/s", "file:/log/s.3", "/log/s.3"],
    ["-pidfile", "/run/p", "/run/p.3", "/run/p.3"],
    ["-vnc", "unix:/run/v", "unix:/run/v.3", "/run/v.3"],
    ["-vnc", ":1{n}", ":13", null],
    ["-name", "web-{n}", "web-3", null],
    ["-drive", "file=/images/web.qcow2", "file=/images/web.qcow2", null],
  ] as const;
  const argv = ["qemu-{n}", ...words.flatMap((each) => [each[0], each[1]]), "-S", "disk-{n}"];
  const own = ownArguments(argv, 3);
  expect(own.argv).toEqual(["qemu-{n}", ...words.flatMap(([option, , after]) => [option, after]), "-S", "disk-3"]);
  expect(own.numbered).toEqual(words.flatMap(([, , , path]) => path ?? []));
});
