/**
 * The library: what the command line does, as typed functions, and the page model they stand on.
 *
 * Every failure is a {@link FixedramError} with a code listed in docs/errors/.
 */
export type { Container, Snapshot } from "./containers/snapshot.ts";
export { type ErrorDetails, type ErrorJson, ExitCode, FixedramError } from "./errors.ts";
export type { Coverage } from "./fixedram/coverage.ts";
export type { SnapshotMeta } from "./fixedram/meta.ts";
export type { Problem } from "./fixedram/problems.ts";
export type { LibvirtHeader } from "./libvirt/header.ts";
export {
  type ConvertOptions,
  type ConvertResult,
  type ConvertTarget,
  convert,
  type WritableStreamLike,
} from "./operations/convert.ts";
export { type DoctorOptions, type DoctorReport, doctor, type QemuReport } from "./operations/doctor.ts";
export {
  type BlockInfo,
  type BlockMap,
  type DeviceInfo,
  type DiskInfo,
  info,
  mapOf,
  type SealInfo,
  type SnapshotInfo,
} from "./operations/inspect.ts";
export { type OpenSnapshotOptions, openSnapshot } from "./operations/open.ts";
export type { Notice, OperationContext, Progress } from "./operations/progress.ts";
export { type RepairOptions, type RepairResult, repair } from "./operations/repair.ts";
export { type ResumeOptions, type ResumeResult, resume } from "./operations/resume.ts";
export {
  type OnLimit,
  type SaveMode,
  type SaveOptions,
  type SaveResult,
  save,
  type ThenAction,
} from "./operations/save.ts";
export { type SealOptions, type SealResult, seal } from "./operations/seal.ts";
export { type VerifyOptions, type VerifyResult, verify } from "./operations/verify.ts";
export type { RamBlock } from "./pages/block.ts";
export { ExtentKind, ExtentList } from "./pages/extents.ts";
export type { PageMap } from "./pages/map.ts";
export type { PageStream } from "./pages/page-stream.ts";
export { type ExtentVisitor, walk } from "./pages/plan.ts";
export type { PageBatch, Sink } from "./pages/sink.ts";
export type { Store } from "./pages/store.ts";
export { FileStore } from "./storage/file-store.ts";
