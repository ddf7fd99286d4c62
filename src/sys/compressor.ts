/**
 * zlib and zstd as encoders between two pieces of mapped memory: one complete gzip member or zstd frame a call, so
 * that each can be read by itself. Both formats read as one stream when they follow one another.
 *
 * Sources: zlib.h (z_stream, deflate), zstd.h (ZSTD_CCtx_setParameter, ZSTD_compressStream2).
 */
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { bind, setPointer, Z_STREAM, ZLIB, ZSTD, ZSTD_BUFFER } from './compression.ts';
import type { ForeignFunction } from './libc.ts';
import { anonymousRegion } from './memory.ts';

export interface Encoder {
  /** Most bytes that `encode` makes of `inputBytes`. */
  bound(inputBytes: number): number;
  /** Addresses of mapped memory. Returns the bytes produced, or -1: the output is smaller than `bound`. */
  encode(input: number, inputBytes: number, output: number, outputBytes: number): number;
  close(): void;
}

/** deflateInit2: 15 window bits, +16 = the gzip wrapper with its checks; zlib.h. */
const GZIP_WINDOW_BITS = 31;
const Z_DEFLATED = 8;
const Z_MEMORY_LEVEL = 8;
const Z_FINISH = 4;
const Z_STREAM_END = 1;

export class GzipEncoder implements Encoder {
  // zlib keeps a pointer to the structure, so it must not move
  readonly #state: Region = anonymousRegion(Z_STREAM.SIZE);
  readonly #deflate: ForeignFunction;
  readonly #reset: ForeignFunction;
  readonly #bound: ForeignFunction;
  readonly #end: ForeignFunction;

  constructor(level: number) {
    this.#deflate = bind(ZLIB, 'int deflate(intptr_t stream, int flush)');
    this.#reset = bind(ZLIB, 'int deflateReset(intptr_t stream)');
    this.#bound = bind(ZLIB, 'intptr_t deflateBound(intptr_t stream, unsigned long length)');
    this.#end = bind(ZLIB, 'int deflateEnd(intptr_t stream)');
    const init = bind(
      ZLIB,
      'int deflateInit2_(intptr_t stream, int level, int method, int bits, int memory, int strategy, ' +
        'const char *version, int size)',
    );
    const address = this.#state.address;
    const status = init(address, level, Z_DEFLATED, GZIP_WINDOW_BITS, Z_MEMORY_LEVEL, 0, '1.2.11', Z_STREAM.SIZE);
    if (status !== 0) {
      this.#state.release();
      throw new OperatorError('UNSUPPORTED', `zlib refuses to start (status ${status}): update zlib1g`);
    }
  }

  bound(inputBytes: number): number {
    return this.#bound(this.#state.address, inputBytes);
  }

  encode(input: number, inputBytes: number, output: number, outputBytes: number): number {
    const view = this.#state.view;
    setPointer(view, Z_STREAM.NEXT_IN, input);
    view.setUint32(Z_STREAM.AVAIL_IN, inputBytes, true);
    setPointer(view, Z_STREAM.NEXT_OUT, output);
    view.setUint32(Z_STREAM.AVAIL_OUT, outputBytes, true);
    const status = this.#deflate(this.#state.address, Z_FINISH);
    const produced = outputBytes - view.getUint32(Z_STREAM.AVAIL_OUT, true);
    this.#reset(this.#state.address);
    return status === Z_STREAM_END ? produced : -1;
  }

  close(): void {
    this.#end(this.#state.address);
    this.#state.release();
  }
}

/** enum ZSTD_cParameter, ZSTD_EndDirective; zstd.h. */
const ZSTD_C_COMPRESSION_LEVEL = 100;
const ZSTD_C_CHECKSUM = 201;
const ZSTD_E_END = 2;

export class ZstdEncoder implements Encoder {
  readonly #buffers: Region = anonymousRegion(2 * ZSTD_BUFFER.BYTES);
  readonly #context: number;
  readonly #compress: ForeignFunction;
  readonly #bound: ForeignFunction;
  readonly #free: ForeignFunction;

  constructor(level: number) {
    // size_t results are declared signed: errors are -1 to -120, and lengths stay below 2^53
    this.#compress = bind(
      ZSTD,
      'intptr_t ZSTD_compressStream2(intptr_t context, intptr_t output, intptr_t input, int end)',
    );
    this.#bound = bind(ZSTD, 'intptr_t ZSTD_compressBound(intptr_t length)');
    this.#free = bind(ZSTD, 'intptr_t ZSTD_freeCCtx(intptr_t context)');
    const set = bind(ZSTD, 'intptr_t ZSTD_CCtx_setParameter(intptr_t context, int parameter, int value)');
    this.#context = bind(ZSTD, 'intptr_t ZSTD_createCCtx()')();
    if (this.#context === 0) {
      this.#buffers.release();
      throw new OperatorError('RESOURCE', 'no memory for a zstd encoder');
    }
    set(this.#context, ZSTD_C_COMPRESSION_LEVEL, level);
    set(this.#context, ZSTD_C_CHECKSUM, 1);
  }

  bound(inputBytes: number): number {
    return this.#bound(inputBytes);
  }

  encode(input: number, inputBytes: number, output: number, outputBytes: number): number {
    this.#describe(0, output, outputBytes);
    this.#describe(ZSTD_BUFFER.BYTES, input, inputBytes);
    const address = this.#buffers.address;
    const status = this.#compress(this.#context, address, address + ZSTD_BUFFER.BYTES, ZSTD_E_END);
    return status === 0 ? this.#buffers.view.getUint32(ZSTD_BUFFER.POSITION, true) : -1;
  }

  #describe(at: number, address: number, bytes: number): void {
    const view = this.#buffers.view;
    setPointer(view, at + ZSTD_BUFFER.POINTER, address);
    setPointer(view, at + ZSTD_BUFFER.SIZE, bytes);
    setPointer(view, at + ZSTD_BUFFER.POSITION, 0);
  }

  close(): void {
    this.#free(this.#context);
    this.#buffers.release();
  }
}

/** Throws `OperatorError('UNSUPPORTED')` with the package to install. */
export function openEncoder(codec: 'zstd' | 'gzip', level: number): Encoder {
  return codec === 'zstd' ? new ZstdEncoder(level) : new GzipEncoder(level);
}
