/**
 * HOT: one preallocated block in front of a descriptor. Records are built in the block and never split between two
 * writes, so after a failed write the file can be cut back to its last whole record.
 */
import fs from 'node:fs';
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { groupDigits } from '../base/units.ts';
import { describeErrno, Errno } from '../sys/errno.ts';
import { isTransient, openFile, positionOf, truncateTo, waitWritable, writeFrom } from '../sys/file.ts';
import { anonymousRegion } from '../sys/memory.ts';
import { refuseWhileRead } from './open_files.ts';

/** How the records of a format are told apart when a write has failed. */
export interface RecordShape {
  /** Bytes of the record at block offset `at`. */
  lengthAt(view: DataView, at: number): number;
  isPacketAt(view: DataView, at: number): boolean;
}

export class CaptureOutput {
  readonly name: string;
  readonly block: Region;
  readonly view: DataView;
  /** Bytes in use of the block. */
  used = 0;
  /** Bytes in the file. */
  flushedBytes = 0;
  /** The error that ended writing. */
  fault: OperatorError | null = null;
  /** Packets that the fault kept out of the file. */
  lostPackets = 0;
  readonly #shape: RecordShape;
  readonly #fd: number;
  readonly #isOwned: boolean;
  readonly #isFile: boolean;
  /** Position of the first byte in the file. */
  readonly #startAt: number;
  #closed = false;

  constructor(target: string | number, blockBytes: number, shape: RecordShape) {
    this.#shape = shape;
    this.name = typeof target === 'number' ? `fd ${target}` : target === '-' ? 'stdout' : target;
    this.#isOwned = typeof target === 'string' && target !== '-';
    this.#fd = typeof target === 'number' ? target : target === '-' ? 1 : openFile(target, 'write');
    try {
      const stat = fs.fstatSync(this.#fd);
      this.#isFile = stat.isFile();
      if (this.#isOwned && this.#isFile) {
        refuseWhileRead(this.name, stat);
        fs.ftruncateSync(this.#fd, 0);
      }
      this.#startAt = this.#isFile ? positionOf(this.#fd) : 0;
      this.block = anonymousRegion(blockBytes);
      this.view = this.block.view;
    } catch (error) {
      if (this.#isOwned) fs.closeSync(this.#fd);
      throw error;
    }
  }

  /** Makes room for `bytes` (not more than the block has). Returns their block offset. May flush, may throw. */
  reserve(bytes: number): number {
    if (this.fault !== null) throw this.fault;
    if (this.used + bytes > this.block.byteLength) this.#makeRoom(bytes);
    const at = this.used;
    this.used += bytes;
    return at;
  }

  /** Writes the block out. Throws the fault that ends writing. */
  flush(): void {
    if (this.fault !== null) throw this.fault;
    let done = 0;
    let errno = 0;
    while (done < this.used && errno === 0) {
      const result = writeFrom(this.#fd, this.block.address + done, this.used - done);
      if (result > 0) done += result;
      else if (isTransient(result)) waitWritable(this.#fd, -1);
      else errno = result === 0 ? Errno.EIO : -result;
    }
    if (errno !== 0) this.#fail(errno, done);
    this.flushedBytes += done;
    this.used = 0;
  }

  /** Flushes and closes. The file is closed even when the flush throws. */
  close(): void {
    if (this.#closed) return;
    try {
      if (this.fault === null) this.flush();
    } finally {
      this.abandon();
    }
  }

  /** Closes without a flush. */
  abandon(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.block.release();
    if (this.#isOwned) fs.closeSync(this.#fd);
  }

  #makeRoom(bytes: number): void {
    if (bytes > this.block.byteLength) {
      throw new OperatorError(
        'USAGE',
        `${this.name}: a record of ${groupDigits(bytes)} bytes is too long to be written`,
      );
    }
    this.flush();
  }

  /** Cuts the file back to its last whole record and ends writing. */
  #fail(errno: number, done: number): never {
    let whole = 0;
    let at = 0;
    while (at < this.used) {
      const next = at + this.#shape.lengthAt(this.view, at);
      if (next <= done) whole = next;
      else if (this.#shape.isPacketAt(this.view, at)) this.lostPackets++;
      at = next;
    }
    // a pipe's reader has what it has; a file is cut back
    if (this.#isFile && whole < done) truncateTo(this.#fd, this.#startAt + this.flushedBytes + whole);
    this.flushedBytes += this.#isFile ? whole : done;
    this.used = 0;
    const kept =
      this.#isFile && this.flushedBytes > 0
        ? `; its first ${groupDigits(this.flushedBytes)} bytes are a valid capture`
        : '';
    this.fault = new OperatorError('FILE', `cannot write ${this.name}: ${describeErrno(errno)}${kept}`);
    throw this.fault;
  }
}
