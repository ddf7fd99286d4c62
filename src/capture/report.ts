/** What a capture counted: while it runs, and at its end. */
import type { SourceInterface } from '../device/capture_source.ts';
import { type CaptureCounters, Cell } from './control.ts';
import type { ErrorMessage } from './messages.ts';

/**
 * Frames. `received = written + filtered + shed + droppedByKernel + droppedDiskFull + droppedCompressor +
 * droppedUnwritable + droppedBroken`; `droppedByInterface` were never received. What came behind an end that was asked
 * for (the last file of `-W`, a pipe whose reader left) is none of the capture's.
 */
export interface CaptureSnapshot {
  readonly received: number;
  readonly filtered: number;
  /** Given up unread, to stay below `--cpu-limit`. */
  readonly shed: number;
  readonly droppedByKernel: number;
  readonly droppedByInterface: number;
  readonly droppedDiskFull: number;
  readonly droppedCompressor: number;
  readonly droppedUnwritable: number;
  /** Behind the fault of a file. */
  readonly droppedBroken: number;
  /** Times that the kernel's ring was full. */
  readonly frozen: number;
  readonly written: number;
  /** Bytes of the frames written, without record headers. */
  readonly bytes: number;
  /** Bytes of the files, headers included, after compression. */
  readonly fileBytes: number;
  readonly files: number;
  readonly filesRemoved: number;
  readonly diskFull: boolean;
  readonly seconds: number;
}

export interface CaptureReport extends CaptureSnapshot {
  readonly interfaces: readonly SourceInterface[];
  /** One sentence each: what broke during the run. */
  readonly faults: readonly ErrorMessage[];
}

export function snapshotOf(counters: CaptureCounters, seconds: number): CaptureSnapshot {
  const sum = (cell: number): number => counters.sum(cell);
  return {
    received: sum(Cell.Received),
    filtered: sum(Cell.Filtered),
    shed: sum(Cell.Shed),
    droppedByKernel: sum(Cell.DroppedByKernel),
    // Each worker looks at the same interfaces.
    droppedByInterface: counters.at(0, Cell.DroppedByInterface),
    droppedDiskFull: sum(Cell.DroppedDiskFull),
    droppedCompressor: sum(Cell.DroppedCompressor),
    droppedUnwritable: sum(Cell.DroppedUnwritable),
    droppedBroken: sum(Cell.DroppedBroken),
    frozen: sum(Cell.Frozen),
    written: sum(Cell.Written),
    bytes: sum(Cell.Bytes),
    fileBytes: sum(Cell.FileBytes),
    files: sum(Cell.Files),
    filesRemoved: sum(Cell.FilesRemoved),
    diskFull: sum(Cell.DiskFull) > 0,
    seconds,
  };
}

export function reportOf(
  snapshot: CaptureSnapshot,
  faults: readonly ErrorMessage[],
  interfaces: readonly SourceInterface[],
): CaptureReport {
  return { ...snapshot, faults, interfaces };
}

/** Frames that this process did not write though they reached it and were wanted. */
export function shedByUs(snapshot: CaptureSnapshot): number {
  const { shed, droppedDiskFull, droppedCompressor, droppedUnwritable, droppedBroken } = snapshot;
  return shed + droppedDiskFull + droppedCompressor + droppedUnwritable + droppedBroken;
}

export function droppedAtAll(snapshot: CaptureSnapshot): number {
  return snapshot.droppedByKernel + snapshot.droppedByInterface + shedByUs(snapshot);
}
