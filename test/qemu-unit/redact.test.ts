import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { redactArgv } from "../../src/qemu/redact.ts";

const R = "<redacted>";

describe("secrets are taken out", () => {
  test.each([
    [["-object", "secret,id=s0,data=hunter2"], `secret,id=s0,data=${R}`],
    [["-object", "secret,id=s0,data=a,,b,format=raw"], `secret,id=s0,data=${R},format=raw`],
    [["-object", "qom-type=secret,id=s0,data=hunter2"], `qom-type=secret,id=s0,data=${R}`],
    [["--object", "secret,data=x"], `secret,data=${R}`],
    [["-object", '{"qom-type":"secret","id":"s","data":"hunter2"}'], `{"qom-type":"secret","id":"s","data":"${R}"}`],
    [["-spice", "port=1,password=hunter2"], `port=1,password=${R}`],
    [["-iscsi", "user=u,password=hunter2"], `user=u,password=${R}`],
    [["-drive", "file=x,file.password=hunter2,if=none"], `file=x,file.password=${R},if=none`],
    [["-blockdev", '{"driver":"https","url":"https://u:hunter2@h/x"}'], `{"driver":"https","url":"https://${R}@h/x"}`],
    [["-blockdev", '{"driver":"https","cookie":"a=hunter2"}'], `{"driver":"https","cookie":"${R}"}`],
    [["-drive", "file=https://u:hunter2@host/disk.img,if=virtio"], `file=https://${R}@host/disk.img,if=virtio`],
    [["-drive", "file=iscsi://u%hunter2@host/iqn/0"], `file=iscsi://${R}@host/iqn/0`],
    [["-drive", "file=rbd:pool/i:id=admin:key=hunter2==:mon_host=h"], `file=rbd:pool/i:id=admin:key=${R}:mon_host=h`],
    [["-drive", "file=https://h/x?token=hunter2&y=1"], `file=https://h/x?token=${R}&y=1`],
    [["-smbios", "type=11,value=io.systemd.credential:pw=hunter2"], `type=11,value=io.systemd.credential:pw=${R}`],
    [["-append", "root=/dev/vda password=hunter2 quiet"], `root=/dev/vda password=${R} quiet`],
    [["-append", 'x.auth_token="hunter2 hunter2" y'], `x.auth_token=${R} y`],
  ])("%j", (argv, clean) => {
    const result = redactArgv(["qemu", ...argv]);
    expect(result.argv.at(-1)).toBe(clean);
    expect(result.redacted).toEqual([2]);
    expect(JSON.stringify(result)).not.toContain("hunter2");
  });

  test.each([
    ["-object", "secret,id=s0,file=/etc/pw,keyid=s1,iv=AAAA"],
    ["-spice", "port=1,password-secret=s0"],
    ["-blockdev", '{"driver":"luks","key-secret":"s0","node-name":"n"}'],
    ["-vnc", ":0,password=on"],
    ["-vnc", ":0,password"],
    ["-netdev", "user,id=n,hostfwd=tcp::2222-:22"],
    ["-object", "memory-backend-file,id=m,mem-path=/data=1,size=1G"],
    ["-append", "root=/dev/vda console=ttyS0"],
    ["-drive", "file=https://host/disk.img"],
    ["-name", "a\nb\0c,,d"],
    ["-device", "{not json"],
  ])("%s %j stays as it is", (...argv) => {
    expect(redactArgv(argv)).toEqual({ argv, redacted: [], descriptors: [] });
  });

  test.each([
    ["-netdev", "tap,id=n,fd=27"],
    ["-netdev", "tap,id=n,fds=27:28,vhostfds=29:30"],
    ["-netdev", "tap,id=n,vhostfd=3"],
    ["-netdev", '{"type":"tap","fd":"27"}'],
    ["-add-fd", "set=2,fd=5"],
    ["-drive", "file=/dev/fdset/2,if=virtio"],
    ["-blockdev", '{"driver":"file","filename":"/dev/fdset/7"}'],
    ["-chardev", "socket,id=mon,fd=31,server=on"],
    ["-incoming", "fd:12"],
    ["-kernel", "/proc/self/fd/9"],
  ])("descriptors are pointed out: %s %s", (option, value) => {
    expect(redactArgv(["qemu", option, value])).toEqual({
      argv: ["qemu", option, value],
      redacted: [],
      descriptors: [2],
    });
  });

  test("any argv: as many arguments, no secret left, and twice is once", () => {
    const word = fc.oneof(fc.string(), fc.constantFrom("-object", "secret,data=", "password=", ",,", "{", "-append"));
    fc.assert(
      fc.property(fc.array(word), (argv) => {
        const once = redactArgv(argv);
        expect(once.argv).toHaveLength(argv.length);
        expect(redactArgv(once.argv).argv).toEqual(once.argv);
      }),
      { numRuns: 500 },
    );
  });
});
