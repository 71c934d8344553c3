/** docs/format.md, "TRAILER", "DIRECTORY" and "META": every field, as an accident leaves it, and sealed anew. */
import type { Sound } from "../marked.ts";
import { checked, listed, resealed } from "../seals.ts";
import type { Spec } from "../spec.ts";
import { asIs, max, type Row, specs, turned } from "./seal-rows.ts";

export function trailer(file: Sound): Spec[] {
  const damaged = ["damaged", "seal.damaged-trailer"];
  const fields = ["version", "length", "uuid", "base", "end", "directory", "directoryLength", "sha", "check"];
  return specs(file, "sealed", "TRAILER", [
    ["trailer-magic", "no trailer's magic", "trailer.magic", "FRAMSEAK", asIs, "half", "seal.half"],
    ...fields.map(
      (field): Row => [
        `trailer-${field}-turned`,
        `another ${field}, which the check finds`,
        `trailer.${field}`,
        turned(file, `trailer.${field}`),
        asIs,
        ...damaged,
      ],
    ),
    ["trailer-version", "a version that is not known", "trailer.version", 2, checked, "seal.unknown-version"],
    ["trailer-length", "a trailer of 64 bytes", "trailer.length", 64, checked, ...damaged],
    [
      "trailer-uuid",
      "the uuid of another snapshot",
      "trailer.uuid",
      new Uint8Array(16),
      checked,
      "damaged",
      "seal.bad-meta",
    ],
    ["trailer-base", "a stream that begins at byte 1", "trailer.base", 1, checked, "damaged", "stream.bad-magic"],
    [
      "trailer-end",
      "a stream that ends a byte earlier",
      "trailer.end",
      file.at("META.magic") - 1,
      checked,
      "stale",
      "seal.stale",
    ],
    [
      "trailer-end-max",
      "a stream that ends at 2^64 - 1",
      "trailer.end",
      max,
      checked,
      "damaged",
      "seal.number-too-large",
    ],
    [
      "trailer-directory",
      "a directory at byte 0",
      "trailer.directory",
      0,
      checked,
      "damaged",
      "seal.damaged-directory",
    ],
    [
      "trailer-directory-end",
      "a directory behind the trailer",
      "trailer.directory",
      file.bytes.length,
      checked,
      "damaged",
      "seal.damaged-directory",
    ],
    [
      "trailer-directory-2-53",
      "a directory at 2^53",
      "trailer.directory",
      2n ** 53n,
      checked,
      "damaged",
      "seal.number-too-large",
    ],
    [
      "trailer-directory-wraps",
      "a directory whose end wraps",
      "trailer.directory",
      max,
      checked,
      "damaged",
      "seal.number-too-large",
    ],
    [
      "trailer-directory-0",
      "a directory of no bytes",
      "trailer.directoryLength",
      0,
      listed,
      "damaged",
      "seal.damaged-section",
    ],
    [
      "trailer-directory-2-mib",
      "a directory of 2 MiB",
      "trailer.directoryLength",
      2 ** 21,
      checked,
      "damaged",
      "seal.damaged-directory",
    ],
    [
      "trailer-sha",
      "another digest of the directory",
      "trailer.sha",
      new Uint8Array(32),
      checked,
      "damaged",
      "seal.damaged-directory",
    ],
  ]);
}

export function directory(file: Sound): Spec[] {
  const outside = ["damaged", "seal.damaged-directory"];
  return specs(file, "sealed", "DIRECTORY", [
    ["dirs-magic", "another magic", "DIRS.magic", "FRAN", listed, "damaged", "seal.damaged-section"],
    ["dirs-type", "another type", "DIRS.type", "META", listed, "damaged", "seal.damaged-section"],
    ["dirs-length", "another length", "DIRS.length", 1, listed, "damaged", "seal.damaged-section"],
    ["dirs-length-2-53", "a length of 2^53", "DIRS.length", 2n ** 53n, listed, "damaged", "seal.number-too-large"],
    ["dirs-count", "one section less", "DIRS.count", 3, listed, ...outside],
    ["dirs-count-max", "2^32 - 1 sections", "DIRS.count", 0xffffffff, listed, ...outside],
    ["dirs-entry", "entries of 32 bytes", "DIRS.entryBytes", 32, listed, ...outside],
    [
      "dirs-turned",
      "a turned byte, which its digest finds",
      "DIRS.count",
      turned(file, "DIRS.count"),
      asIs,
      ...outside,
    ],
    ["dir-type", "no META", "dir.META.type", "MEAT", listed, ...outside],
    [
      "dir-critical",
      "a critical section that is not known",
      "dir.META.type",
      Uint8Array.of(0x58, 0x58, 0x58, 0x58, 0, 0, 0, 1),
      listed,
      "seal.unknown-critical",
    ],
    ["dir-offset", "a section somewhere else", "dir.META.offset", 0, listed, "damaged", "seal.damaged-section"],
    ["dir-offset-end", "a section behind the trailer", "dir.META.offset", file.bytes.length, listed, ...outside],
    ["dir-offset-2-53", "a section at 2^53", "dir.META.offset", 2n ** 53n, listed, "damaged", "seal.number-too-large"],
    ["dir-offset-safe", "a section that ends past 2^53", "dir.META.offset", 2 ** 53 - 1, listed, ...outside],
    ["dir-length-0", "a section without a head", "dir.META.length", 15, listed, ...outside],
    ["dir-length-long", "a section up to the trailer", "dir.META.length", file.bytes.length, listed, ...outside],
    [
      "dir-length-wraps",
      "a section of 2^64 - 1 bytes",
      "dir.META.length",
      max,
      listed,
      "damaged",
      "seal.number-too-large",
    ],
    ["dir-sha", "another digest", "dir.META.sha", new Uint8Array(32), listed, "damaged", "seal.damaged-section"],
    [
      "dir-BLKS-sha",
      "another digest of BLKS",
      "dir.BLKS.sha",
      new Uint8Array(32),
      listed,
      "damaged",
      "seal.damaged-section",
    ],
    [
      "dir-no-digests",
      "no BLKS: nothing tells of pages",
      "dir.BLKS.type",
      "blks",
      listed,
      "damaged",
      "seal.bad-digests",
    ],
  ]);
}

export function metas(file: Sound): Spec[] {
  const { size } = file.field("META.payload");
  const json = (change: (meta: Record<string, unknown>) => void): string => {
    const { offset } = file.field("META.payload");
    const meta = JSON.parse(Buffer.from(file.bytes.subarray(offset, offset + size)).toString());
    change(meta);
    return JSON.stringify(meta);
  };
  // The payload keeps its length: what is missing is spaces behind the JSON.
  const meta = (name: string, what: string, change: (meta: Record<string, unknown>) => void): Row => [
    name,
    what,
    "META.payload",
    json(change).padEnd(size),
    resealed,
    "damaged",
    "seal.bad-meta",
  ];
  return specs(file, "sealed", "META", [
    [
      "meta-turned",
      "a turned byte, which its digest finds",
      "META.payload",
      turned(file, "META.payload"),
      asIs,
      "damaged",
      "seal.damaged-section",
    ],
    ["meta-magic", "another magic", "META.magic", "fram", resealed, "damaged", "seal.damaged-section"],
    ["meta-type", "another type", "META.type", "META".toLowerCase(), resealed, "damaged", "seal.damaged-section"],
    ["meta-length", "another length", "META.length", size - 1, resealed, "damaged", "seal.damaged-section"],
    ["meta-not-json", "what is no JSON", "META.payload", "{".padEnd(size), resealed, "damaged", "seal.bad-meta"],
    [
      "meta-not-utf8",
      "what is no UTF-8",
      "META.payload",
      new Uint8Array(size).fill(0xff),
      resealed,
      "damaged",
      "seal.bad-meta",
    ],
    ["meta-list", "a list", "META.payload", "[]".padEnd(size), resealed, "damaged", "seal.bad-meta"],
    [
      "meta-deep",
      "200 levels of lists",
      "META.payload",
      `${"[".repeat(200)}${"]".repeat(200)}`.padEnd(size),
      resealed,
      "damaged",
      "seal.bad-meta",
    ],
    meta("meta-schema", "schema 2", (m) => (m["schema"] = 2)),
    meta("meta-uuid", "a uuid that is none", (m) => (m["uuid"] = "x")),
    meta(
      "meta-uuid-other",
      "the uuid of another snapshot",
      (m) => (m["uuid"] = "0a1b2c3d-0000-4000-8000-00000000beef"),
    ),
    meta("meta-created", "a time that is none", (m) => (m["created"] = "yesterday")),
    meta("meta-tool", "no tool", (m) => (m["tool"] = null)),
    meta("meta-machine", "a machine that is a number", (m) => (m["machine"] = 1)),
    meta("meta-disks", "disks that are no list", (m) => (m["disks"] = {})),
    meta("meta-disks-numbers", "disks that are numbers", (m) => (m["disks"] = [1])),
    meta(
      "meta-map",
      "a memory map with a negative start",
      (m) => (m["memoryMap"] = [{ start: -1, length: 1, block: "", offset: 0 }]),
    ),
    meta("meta-argv", "a command line that is text", (m) => (m["argv"] = "x")),
  ]);
}
