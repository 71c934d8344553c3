/**
 * The library: what the command line does, as typed functions, and the page model they stand on.
 *
 * Every failure is a {@link FixedramError} with a code listed in docs/errors/.
 */
export type { Container, Snapshot } from "./containers/snapshot.ts";
export type { FieldDifference } from "./devices/compare.ts";
export { DeviceSections } from "./devices/sections.ts";
export type { DeviceField, DeviceState, DeviceTree, DeviceValue } from "./devices/tree.ts";
export type { DifferenceKind } from "./diff/differences.ts";
export { type ErrorDetails, type ErrorJson, ExitCode, FixedramError } from "./errors.ts";
export type { Coverage } from "./fixedram/coverage.ts";
export type { SnapshotMeta } from "./fixedram/meta.ts";
export type { Problem } from "./fixedram/problems.ts";
export type { LibvirtHeader } from "./libvirt/header.ts";
export type { Cpu } from "./machine/cpu.ts";
export type { ArmCpu } from "./machine/cpu-arm.ts";
export type { DescriptorTable, Segment, X86Cpu, X86Fpu } from "./machine/cpu-x86.ts";
export type { MemoryMap, PhysicalRange } from "./machine/memory-map.ts";
export type { BlockRun, PhysicalMemory, PhysicalReader } from "./machine/physical.ts";
export type { Mapped, NotMapped, PageRights, Translation, WalkStep } from "./machine/translation.ts";
export {
  type CloneOptions,
  type CloneResult,
  type CloneState,
  type CloneStatus,
  type Clones,
  clone,
  mostClones,
} from "./operations/clone.ts";
export {
  type ConvertOptions,
  type ConvertResult,
  type ConvertTarget,
  convert,
  type WritableStreamLike,
} from "./operations/convert.ts";
export type { ConfigurationDifference } from "./operations/diff/configuration.ts";
export type { DeviceDifference, DeviceTotals } from "./operations/diff/devices.ts";
export type { HexPage, HexRow } from "./operations/diff/hex.ts";
export { type DiffPagesOptions, diffPages, type PageDifference } from "./operations/diff/pages.ts";
export type { BlockDiff, BlockSide, DiffMap, PageCounts } from "./operations/diff/tally.ts";
export { trustSeals } from "./operations/diff/trust.ts";
export { type DiffOptions, type DiffResult, type DiffSide, diff } from "./operations/diff.ts";
export { type DoctorOptions, type DoctorReport, doctor, type QemuReport } from "./operations/doctor.ts";
export { type ExportFormat, type ExportOptions, type ExportResult, exportSnapshot } from "./operations/export.ts";
export { type GdbOptions, type GdbResult, gdb } from "./operations/gdb.ts";
export { type CpusOptions, type CpusResult, cpus } from "./operations/inside/cpus.ts";
export { type DeviceSection, type DevicesOptions, type DevicesResult, devices } from "./operations/inside/devices.ts";
export { Inside } from "./operations/inside/open.ts";
export { type ReadOptions, type ReadResult, read } from "./operations/inside/read.ts";
export {
  type SearchHit,
  type SearchOptions,
  type SearchResult,
  type StringsOptions,
  search,
  strings,
} from "./operations/inside/search.ts";
export { type TranslateOptions, type TranslateResult, translateAddress } from "./operations/inside/translate.ts";
export type { InsideOptions, MapUsed } from "./operations/inside/with.ts";
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
export { type RecoverOptions, type RecoverResult, recover } from "./operations/recover.ts";
export { type RepairOptions, type RepairResult, repair } from "./operations/repair.ts";
export { type ResumeOptions, type ResumeResult, resume } from "./operations/resume.ts";
export {
  type Activity,
  type LazyOptions,
  type LazyResumeOptions,
  type LazyResumeResult,
  type LazyRunning,
  type LazyTimes,
  resumeLazy,
} from "./operations/resume-lazy.ts";
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
export { type ExtentVisitor, walk } from "./pages/plan.ts";
export type { PageBatch, Sink } from "./pages/sink.ts";
export type { Store } from "./pages/store.ts";
export { FileStore } from "./storage/file-store.ts";
export { type ExportMapOptions, exportMap } from "./viewer/export.ts";
export { type LiveViewOptions, type ResumeViewer, viewResume } from "./viewer/live-resume.ts";
export { type SaveViewer, viewSave } from "./viewer/live-save.ts";
export { type Viewer, type ViewOptions, view } from "./viewer/view.ts";
