import * as v from "valibot";
import { FixedramError } from "../errors.ts";
import { isShallow } from "../stream/vmdesc.ts";

/** Ours nest five levels; what is kept of unknown fields must not make recursion over it run away. */
const maxDepth = 64;

/** QEMU itself has no more than 4096 in a guest's address space. */
const maxRanges = 65_536;

const text = v.string();
const size = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const uuidText = v.pipe(text, v.regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/));

/** A file behind a disk. */
const imageFields = {
  path: text,
  format: text,
  /** Bytes of the file as of the save. */
  size: v.nullable(size),
  /** ISO 8601. */
  mtime: v.nullable(text),
  /** The same in nanoseconds since 1970, decimal. */
  mtimeNs: v.optional(v.nullable(v.pipe(text, v.regex(/^-?[0-9]{1,20}$/)))),
  /** Decimal. */
  inode: v.nullable(text),
};

const diskSchema = v.looseObject({
  /** QEMU's name for it: qdev path, id or node name. */
  device: text,
  ...imageFields,
  readOnly: v.boolean(),
  /** On `-snapshot`: the top image ended with QEMU. */
  temporary: v.optional(v.boolean()),
  /** Images below, nearest first. */
  backing: v.optional(v.array(v.looseObject(imageFields))),
});

const rangeSchema = v.looseObject({
  /** Guest-physical address and length, bytes. */
  start: size,
  length: size,
  /** RAM block (bytes as latin1) and the byte in it that `start` stands for. */
  block: text,
  offset: size,
});

const argvSchema = v.looseObject({
  /** Program and arguments; secrets replaced. */
  arguments: v.array(text),
  /** Whether something was replaced. */
  redacted: v.boolean(),
  /** Indices of arguments that name a file descriptor, useless in another process. */
  fileDescriptors: v.array(size),
  /** Folder that relative paths in it are meant for. */
  cwd: v.optional(v.nullable(text)),
  /** False: an argument is not UTF-8, so it cannot be run again as it stands. */
  exact: v.optional(v.boolean()),
});

const metaSchema = v.looseObject({
  schema: v.literal(1),
  uuid: uuidText,
  /** ISO 8601, UTC. */
  created: v.pipe(text, v.isoTimestamp()),
  tool: v.looseObject({ name: text, version: text }),
  qemuVersion: v.nullable(text),
  accelerator: v.nullable(text),
  machine: v.nullable(text),
  guestName: v.nullable(text),
  cpu: v.nullable(v.looseObject({ model: text, flags: v.array(text), count: v.optional(size) })),
  /** Run state before the save, in QEMU's words. */
  runState: v.nullable(text),
  argv: v.nullable(argvSchema),
  disks: v.array(diskSchema),
  // Counted before any is looked at.
  memoryMap: v.pipe(v.array(v.unknown()), v.maxLength(maxRanges), v.array(rangeSchema)),
});

/** What is recorded with a snapshot (docs/format.md, "META"). Fields we do not know are kept. */
export type SnapshotMeta = v.InferOutput<typeof metaSchema>;
export type RecordedDisk = v.InferOutput<typeof diskSchema>;
export type MemoryRange = v.InferOutput<typeof rangeSchema>;

/** The JSON of META as UTF-8. @throws `seal.bad-meta` when it is not what docs/format.md says */
export function encodeMeta(meta: SnapshotMeta): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(checkMeta(meta)));
}

/** @throws `seal.bad-meta` */
export function decodeMeta(bytes: Uint8Array): SnapshotMeta {
  if (!isShallow(bytes, maxDepth)) {
    throw new FixedramError("seal.bad-meta", "the snapshot's record nests too deep", {
      expected: `at most ${maxDepth} levels`,
    });
  }
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new FixedramError("seal.bad-meta", "the snapshot's record is not JSON", { said: String(error) });
  }
  return checkMeta(json);
}

function checkMeta(json: unknown): SnapshotMeta {
  const result = v.safeParse(metaSchema, json, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new FixedramError("seal.bad-meta", "the snapshot's record is not what the format says", {
    expected: `${v.getDotPath(issue) ?? "record"}: ${issue.expected ?? "another value"}`,
    found: issue.received,
  });
}
