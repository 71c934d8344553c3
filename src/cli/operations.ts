import type { CloneOptions, Clones } from "../operations/clone.ts";
import type { ConvertOptions, ConvertResult, ConvertTarget } from "../operations/convert.ts";
import type { DiffOptions, DiffResult } from "../operations/diff.ts";
import type { DoctorOptions, DoctorReport } from "../operations/doctor.ts";
import type { ExportOptions, ExportResult } from "../operations/export.ts";
import type { GdbOptions, GdbResult } from "../operations/gdb.ts";
import type { CpusOptions, CpusResult } from "../operations/inside/cpus.ts";
import type { DevicesOptions, DevicesResult } from "../operations/inside/devices.ts";
import type { ReadOptions, ReadResult } from "../operations/inside/read.ts";
import type { SearchOptions, SearchResult, StringsOptions } from "../operations/inside/search.ts";
import type { TranslateOptions, TranslateResult } from "../operations/inside/translate.ts";
import type { BlockMap, LookOptions, MapOptions, SnapshotInfo } from "../operations/inspect.ts";
import type { RecoverOptions, RecoverResult } from "../operations/recover.ts";
import type { RepairOptions, RepairResult } from "../operations/repair.ts";
import type { ResumeOptions, ResumeResult } from "../operations/resume.ts";
import type { LazyResumeOptions, LazyResumeResult } from "../operations/resume-lazy.ts";
import type { SaveOptions, SaveResult } from "../operations/save.ts";
import type { SealOptions, SealResult } from "../operations/seal.ts";
import type { VerifyOptions, VerifyResult } from "../operations/verify.ts";
import type { ExportMapOptions } from "../viewer/export.ts";
import type { LiveViewOptions, ResumeViewer } from "../viewer/live-resume.ts";
import type { SaveViewer } from "../viewer/live-save.ts";
import type { Viewer, ViewOptions } from "../viewer/view.ts";

/** As on the command line: `-` is standard input or output, `xml` a path. */
export interface ConvertCall
  extends Pick<ConvertOptions, "force" | "bigEndian" | "offset" | "signal" | "onProgress" | "onNotice"> {
  readonly input: string;
  readonly output: string;
  readonly to?: ConvertTarget;
  readonly xml?: string;
}

/** As on the command line: with `stdio` on this process's own standard input and output. */
export interface GdbCall extends Omit<GdbOptions, "stdio"> {
  readonly stdio: boolean;
}

/**
 * All the work the command line has done for it. Each entry loads its module when it is first called, so that starting up
 * costs only what the command needs; tests pass fakes.
 */
export interface Operations {
  save(options: SaveOptions): Promise<SaveResult>;
  resume(options: ResumeOptions): Promise<ResumeResult>;
  resumeLazy(options: LazyResumeOptions): Promise<LazyResumeResult>;
  recover(options: RecoverOptions): Promise<RecoverResult>;
  clone(options: CloneOptions): Promise<Clones>;
  info(file: string, options: LookOptions): Promise<SnapshotInfo>;
  mapOf(file: string, options: MapOptions): Promise<readonly BlockMap[]>;
  exportMap(options: ExportMapOptions): Promise<void>;
  view(options: ViewOptions): Promise<Viewer>;
  viewResume(options: LiveViewOptions): Promise<ResumeViewer>;
  viewSave(options: Pick<LiveViewOptions, "file" | "listen">): Promise<SaveViewer>;
  verify(options: VerifyOptions): Promise<VerifyResult>;
  seal(options: SealOptions): Promise<SealResult>;
  repair(options: RepairOptions): Promise<RepairResult>;
  convert(options: ConvertCall): Promise<ConvertResult>;
  diff(options: DiffOptions): Promise<DiffResult>;
  exportSnapshot(options: ExportOptions): Promise<ExportResult>;
  read(options: ReadOptions): Promise<ReadResult>;
  translateAddress(options: TranslateOptions): Promise<TranslateResult>;
  search(options: SearchOptions): Promise<SearchResult>;
  strings(options: StringsOptions): Promise<SearchResult>;
  devices(options: DevicesOptions): Promise<DevicesResult>;
  cpus(options: CpusOptions): Promise<CpusResult>;
  gdb(options: GdbCall): Promise<GdbResult>;
  doctor(options: DoctorOptions): Promise<DoctorReport>;
}
