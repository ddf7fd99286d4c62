/**
 * A file (or a stream) that is written once, from the beginning to the end, straight from mapped memory, without
 * filling the machine's page cache.
 *
 * Pages leave the cache in windows: writing one to the disk begins when it is complete, and a few windows later it is
 * dropped. What the disk does not have by then stays for a while: a disk that stands still for a moment does not hold
 * up whoever writes, until it is `CACHED_BYTES_MAX` behind; then it is waited for. Not kept: O_DIRECT, which wants
 * aligned blocks, so that every record would be copied and a killed process would lose the last block; waiting for each
 * window (400 MB/s onto ext4: 1.4 times as long in `write`).
 */
import fs from 'node:fs';
import { beginWriteback, dropClean, dropWritten, IOVEC_BYTES, writeVectors } from '../sys/disk.ts';
import { Errno } from '../sys/errno.ts';
import { fileError, isTransient, openFile, seekTo, truncateTo, waitWritable } from '../sys/file.ts';
import type { VectorList } from './vector_list.ts';

/** Pages are handed to the disk in windows of so many bytes. */
export const CACHE_WINDOW_BYTES: number = 4 << 20;
/** Windows on their way to the disk before one is dropped, and before one is waited for. */
const WINDOWS_UNDERWAY = 4;
const WINDOWS_BEHIND = 32;
/** Windows further back that are tried once more with each. */
const WINDOWS_AGAIN = 4;
/** Most bytes of one file that this keeps in the page cache while it is written. */
export const CACHED_BYTES_MAX: number = (WINDOWS_BEHIND + 1) * CACHE_WINDOW_BYTES;

export class DiskFile {
  readonly path: string;
  readonly isFile: boolean;
  /** Bytes in the file. */
  bytes = 0;
  /** When `settle` was called, by `performance.now()`. */
  settledMs = 0;
  /** Why the last `write` stopped early: an errno, or 0. */
  errno = 0;
  readonly #fd: number;
  readonly #isOwned: boolean;
  readonly #dropsPages: boolean;
  #begun = 0;
  #dropped = 0;
  #open = true;

  /** Creates or empties `path`; `-` is stdout. Throws `OperatorError('FILE')`. */
  constructor(path: string, dropsPages: boolean, check?: (name: string, stat: fs.Stats) => void) {
    this.#isOwned = path !== '-';
    this.path = path === '-' ? 'stdout' : path;
    this.#fd = path === '-' ? 1 : openFile(path, 'write');
    try {
      const stat = fs.fstatSync(this.#fd);
      this.isFile = this.#isOwned && stat.isFile();
      if (this.isFile) {
        check?.(path, stat);
        fs.ftruncateSync(this.#fd, 0);
      }
    } catch (error) {
      if (this.#isOwned) fs.closeSync(this.#fd);
      throw error instanceof Error && 'errno' in error ? fileError('write', path, error) : error;
    }
    this.#dropsPages = dropsPages && this.isFile;
  }

  /**
   * Writes all pieces; waits for streams. Returns the whole records that are in the file afterwards: fewer than
   * `list.records` with `errno` set, and then a file ends with a whole record. The list is used up.
   */
  write(list: VectorList): number {
    this.errno = 0;
    let piece = 0;
    let done = 0;
    while (piece < list.pieces && this.errno === 0) {
      const result = writeVectors(this.#fd, list.vectors.address + piece * IOVEC_BYTES, list.pieces - piece);
      if (result > 0) {
        done += result;
        piece = list.skip(piece, result);
      } else if (isTransient(result)) waitWritable(this.#fd, -1);
      else this.errno = result === 0 ? Errno.EIO : -result;
    }
    if (this.errno === 0) {
      this.bytes += done;
      if (this.#dropsPages) this.#dropWindows();
      return list.records;
    }
    const whole = list.wholeRecords(done);
    let kept = done;
    if (this.isFile) {
      kept = 0;
      for (let i = 0; i < whole; i++) kept += list.lengths[i]!;
      if (kept < done) this.#cutTo(this.bytes + kept);
    }
    this.bytes += kept;
    return whole;
  }

  #cutTo(length: number): void {
    truncateTo(this.#fd, length);
    // the position is behind the end now
    seekTo(this.#fd, length);
  }

  #dropWindows(): void {
    if (this.bytes - this.#begun < CACHE_WINDOW_BYTES) return;
    while (this.bytes - this.#begun >= CACHE_WINDOW_BYTES) {
      beginWriteback(this.#fd, this.#begun, CACHE_WINDOW_BYTES);
      this.#begun += CACHE_WINDOW_BYTES;
    }
    const end = this.#begun - WINDOWS_UNDERWAY * CACHE_WINDOW_BYTES;
    const start = Math.max(this.#dropped, end - WINDOWS_AGAIN * CACHE_WINDOW_BYTES);
    if (end > start) dropClean(this.#fd, start, end - start);
    while (this.#begun - this.#dropped > WINDOWS_BEHIND * CACHE_WINDOW_BYTES) {
      dropWritten(this.#fd, this.#dropped, CACHE_WINDOW_BYTES);
      this.#dropped += CACHE_WINDOW_BYTES;
    }
  }

  /** Nothing more will be written: begins to write the rest to the disk, without waiting. */
  settle(): void {
    this.settledMs = performance.now();
    if (this.#dropsPages && this.#open) beginWriteback(this.#fd, this.#begun, 0);
  }

  /** Waits until the disk has everything (where pages are dropped), and closes. */
  close(): void {
    if (this.#dropsPages && this.#open) dropWritten(this.#fd, 0, 0);
    this.abandon();
  }

  /** Closes, and leaves it to the system when the disk has what is in the file. */
  abandon(): void {
    if (this.#open && this.#isOwned) fs.closeSync(this.#fd);
    this.#open = false;
  }
}

/**
 * Removes a file. What was in it is given back by another thread, when the descriptor that is still open closes: on the
 * calling one that took 0.14 to 0.4 ms a megabyte. Throws what `fs.unlinkSync` throws.
 */
export function unlinkElsewhere(path: string): void {
  let fd = -1;
  try {
    fd = fs.openSync(path, 'r');
  } catch {
    // unlinking says what is wrong
  }
  try {
    fs.unlinkSync(path);
  } finally {
    if (fd >= 0) fs.close(fd, () => {});
  }
}
