/**
 * The files of one run, in order: the one being written, the finished ones, and the room that they may take. Runs on
 * the capturing thread, or on the compressor's where there is one.
 *
 * A disk without room (ENOSPC, EDQUOT, or `diskBytesMax` reached with nothing to remove) is no fault: what does not
 * fit is refused, the file stays valid, and every later write tries again. A file that could not even take its header
 * gets it with the first record that fits.
 */
import fs from 'node:fs';
import { BroadcastChannel } from 'node:worker_threads';
import { OperatorError } from '../../base/errors.ts';
import { groupDigits } from '../../base/units.ts';
import { DiskFile, unlinkElsewhere } from '../../device/disk_file.ts';
import { anonymousRegion, describeErrno, Errno } from '../../device/host.ts';
import { VectorList } from '../../device/vector_list.ts';
import { refuseWhileRead } from '../../pcap/open_files.ts';

export interface ChainSpec {
  readonly dropsPages: boolean;
  readonly diskBytesMax: number;
  readonly removesOldest: boolean;
  /** Finished and current files that are kept; 0: all. */
  readonly filesKept: number;
  /** Removed files are freed by other threads. For threads whose event loop turns now and then. */
  readonly freesElsewhere: boolean;
  readonly indexPath: string | null;
  /** Name of a BroadcastChannel that is told the path of each finished file. */
  readonly finishedChannel: string | null;
}

/** What the index says about a finished file. */
export interface FileSummary {
  readonly packets: number;
  /** Bytes of the frames. */
  readonly bytes: number;
  /** Seconds since 1970 of the first and the last frame. */
  readonly firstSec: number;
  readonly lastSec: number;
  readonly reason: string;
}

/** Lines of the index that wait for room on the disk. */
const INDEX_LINES_MAX = 1000;
/** Header and trailer of a file: sections, interfaces, statistics. */
const SMALL_BYTES = 1 << 20;

/** Kept free of records under a disk limit, for the lines that tell of the last files. */
const INDEX_RESERVE_BYTES = 16_384;
/** And where a file ends at the limit, for its statistics. */
const TRAILER_RESERVE_BYTES = 1024;
/** Finished files that may still be on their way to the disk, their descriptors open; and how long they may be. */
const SETTLING_MAX = 8;
const SETTLING_MS = 3000;

interface ChainFile {
  readonly path: string;
  bytes: number;
}

export class FileChain {
  /** Files begun, removed or written over; bytes written, of all files. */
  files = 0;
  filesRemoved = 0;
  fileBytes = 0;
  /** The last write was refused for want of room. */
  isFull = false;
  /** The reader of the stream is gone. */
  isHungUp = false;
  fault: OperatorError | null = null;
  readonly #spec: ChainSpec;
  readonly #finished: ChainFile[] = [];
  readonly #settling: DiskFile[] = [];
  readonly #small = anonymousRegion(SMALL_BYTES);
  readonly #list: VectorList = new VectorList();
  #file: DiskFile | null = null;
  #path = '';
  #header: Uint8Array = new Uint8Array(0);
  #headerDue = false;
  /** `diskBytesMax`, with nothing to remove: the file ends here, whatever shorter record would still fit. */
  #isLimitReached = false;
  #indexLines: string[] = [];
  #indexBytes = 0;
  readonly #channel: BroadcastChannel | null;

  constructor(spec: ChainSpec) {
    this.#spec = spec;
    this.#channel = spec.finishedChannel === null ? null : new BroadcastChannel(spec.finishedChannel);
  }

  get currentBytes(): number {
    return this.#file?.bytes ?? 0;
  }

  /** Begins a file with `header`. Throws `OperatorError('FILE')` where the path cannot be written at all. */
  begin(path: string, header: Uint8Array): void {
    const again = this.#finished.findIndex((file) => file.path === path);
    if (again >= 0) {
      this.#finished.splice(again, 1);
      this.filesRemoved++;
      this.#forget(path);
      this.#replace(path);
    }
    if (this.#spec.removesOldest) this.#isLimitReached = false;
    this.#path = path;
    this.#header = header;
    this.#headerDue = true;
    if (this.#spec.filesKept > 0) {
      while (this.#finished.length > 0 && this.#finished.length >= this.#spec.filesKept) this.#removeOldest('ring');
    }
    this.#tryHeader();
  }

  /**
   * Writes the list, which is used up. Returns the records written; fewer than `list.records` with `isFull`,
   * `isHungUp` or `fault` set.
   */
  write(list: VectorList): number {
    if (this.fault !== null || this.isHungUp) return 0;
    if (this.#headerDue) this.#tryHeader();
    if (this.#headerDue || this.#file === null) return 0;
    return this.#put(this.#file, list);
  }

  /** Ends the current file with `trailer` (may be empty). */
  finish(trailer: Uint8Array, summary: FileSummary): void {
    const file = this.#file;
    if (this.#headerDue) this.#discard(file);
    else if (file !== null && trailer.length > 0) this.#putTrailer(file, trailer);
    this.#file = null;
    if (file === null || this.#headerDue) return;
    if (!file.isFile) {
      file.close();
      return;
    }
    file.settle();
    this.#settling.push(file);
    if (this.#settling.length > SETTLING_MAX) this.#settling.shift()!.close();
    this.#finished.push({ path: file.path, bytes: file.bytes });
    this.#note({
      file: file.path,
      packets: summary.packets,
      bytes: summary.bytes,
      fileBytes: file.bytes,
      ...(summary.packets > 0 ? { first: isoTime(summary.firstSec), last: isoTime(summary.lastSec) } : {}),
      reason: summary.reason,
    });
    this.#channel?.postMessage(file.path);
  }

  /** Closes a finished file that should be on the disk by now; waits for it where the disk is that much behind. */
  settleOne(): void {
    const oldest = this.#settling[0];
    if (oldest !== undefined && performance.now() - oldest.settledMs >= SETTLING_MS) this.#settling.shift()!.close();
  }

  close(): void {
    for (const file of this.#settling) file.close();
    this.#settling.length = 0;
    if (this.#headerDue) this.#discard(this.#file);
    else this.#file?.close();
    this.#file = null;
    this.#channel?.close();
    this.#list.release();
    this.#small.release();
  }

  #tryHeader(): void {
    if (!this.#makeRoom(this.#file, this.#header.length)) {
      this.isFull = true;
      return;
    }
    if (this.#file === null && !this.#open()) return;
    if (!this.#putSmall(this.#file!, this.#header)) return;
    this.#headerDue = false;
    this.files++;
  }

  /** Statistics are worth the last bytes under a limit. */
  #putTrailer(file: DiskFile, trailer: Uint8Array): void {
    const wasReached = this.#isLimitReached;
    this.#isLimitReached = false;
    this.#putSmall(file, trailer);
    this.#isLimitReached ||= wasReached;
  }

  /** A file that has not even its header is no capture, and is not left behind. */
  #discard(file: DiskFile | null): void {
    file?.close();
    if (file?.isFile === true) fs.rmSync(file.path, { force: true });
  }

  #open(): boolean {
    try {
      this.#file = new DiskFile(this.#path, this.#spec.dropsPages, refuseWhileRead);
      return true;
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      // no inode left: the next write tries again
      if (!isRoomless(error.message)) throw error;
      this.isFull = true;
      return false;
    }
  }

  #putSmall(file: DiskFile, bytes: Uint8Array): boolean {
    if (bytes.length > SMALL_BYTES) return false;
    this.#small.bytes.set(bytes);
    this.#list.clear();
    this.#list.add(this.#small.address, bytes.length);
    this.#list.endRecord(bytes.length);
    return this.#put(file, this.#list) === 1;
  }

  #put(file: DiskFile, list: VectorList): number {
    const wasReached = this.#isLimitReached;
    const isTooLong = file.isFile && !this.#makeRoom(file, list.bytes);
    if (isTooLong) {
      this.isFull = true;
      // What still fits is the end of the file.
      list.keepWithin(wasReached ? 0 : this.#limit - this.#usedBytes(file) - TRAILER_RESERVE_BYTES);
      if (list.records === 0) return 0;
    }
    const before = file.bytes;
    const records = file.write(list);
    this.fileBytes += file.bytes - before;
    this.isFull = isTooLong;
    if (file.errno === 0) return records;
    if (isFullErrno(file.errno) && file.isFile) this.isFull = true;
    else if (file.errno === Errno.EPIPE) this.isHungUp = true;
    else this.#break(file);
    return records;
  }

  #break(file: DiskFile): void {
    const kept = file.isFile ? `; its first ${groupDigits(file.bytes)} bytes are a valid capture` : '';
    this.fault = new OperatorError('FILE', `cannot write ${file.path}: ${describeErrno(file.errno)}${kept}`);
  }

  get #limit(): number {
    return this.#spec.diskBytesMax - (this.#spec.indexPath === null ? 0 : INDEX_RESERVE_BYTES);
  }

  /** Removes finished files until `bytes` more may be written. False: there is no room. */
  #makeRoom(file: DiskFile | null, bytes: number): boolean {
    if (this.#spec.diskBytesMax === 0) return true;
    if (this.#isLimitReached) return false;
    while (this.#usedBytes(file) + bytes > this.#limit) {
      if (!this.#spec.removesOldest || this.#finished.length === 0) {
        this.#isLimitReached = true;
        return false;
      }
      this.#removeOldest('disk');
    }
    return true;
  }

  #usedBytes(file: DiskFile | null): number {
    let used = (file?.bytes ?? 0) + this.#indexBytes;
    for (const finished of this.#finished) used += finished.bytes;
    return used;
  }

  #removeOldest(why: string): void {
    const oldest = this.#finished.shift();
    if (oldest === undefined) return;
    this.filesRemoved++;
    this.#forget(oldest.path);
    try {
      this.#unlink(oldest.path);
    } catch (error) {
      // somebody else has removed or moved it: it takes no room here any more
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.fault = new OperatorError('FILE', `cannot remove ${oldest.path}: ${(error as Error).message}`);
      }
    }
    this.#note({ removed: oldest.path, reason: why });
  }

  #unlink(path: string): void {
    if (this.#spec.freesElsewhere) unlinkElsewhere(path);
    else fs.unlinkSync(path);
  }

  /** A file of this run whose name comes again: emptying a large one takes long, a new one is there at once. */
  #replace(path: string): void {
    try {
      this.#unlink(path);
    } catch {
      // gone, or in a directory that is not ours to change: it is emptied where it is
    }
  }

  /** A finished file is removed or written over: what it had need not reach the disk, and its blocks are free. */
  #forget(path: string): void {
    for (let i = this.#settling.length - 1; i >= 0; i--) {
      if (this.#settling[i]!.path === path) this.#settling.splice(i, 1)[0]!.abandon();
    }
  }

  #note(entry: Record<string, string | number>): void {
    const path = this.#spec.indexPath;
    if (path === null) return;
    if (this.#indexLines.length < INDEX_LINES_MAX) this.#indexLines.push(`${asciiJson(entry)}\n`);
    const text = this.#indexLines.join('');
    const limit = this.#spec.diskBytesMax;
    if (limit > 0 && this.#usedBytes(this.#file) + text.length > limit) return;
    try {
      fs.appendFileSync(path, text);
      this.#indexBytes += text.length;
      this.#indexLines = [];
    } catch {
      // a full disk: the lines are written with the next ones
    }
  }
}

function isFullErrno(errno: number): boolean {
  return errno === Errno.ENOSPC || errno === Errno.EDQUOT;
}

function isRoomless(message: string): boolean {
  return message.endsWith('(ENOSPC)') || message.endsWith('(EDQUOT)');
}

/** Other characters escaped, so that characters are bytes. */
function asciiJson(entry: Record<string, string | number>): string {
  return JSON.stringify(entry).replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function isoTime(sec: number): string {
  return new Date(sec * 1000).toISOString();
}
