/**
 * zlib and zstd as stream decoders between two pieces of mapped memory. The libraries are loaded when first needed.
 *
 * Sources: zlib.h (z_stream, inflate), zstd.h (ZSTD_inBuffer, ZSTD_outBuffer, ZSTD_decompressStream).
 */
import koffi, { type LibraryHandle } from 'koffi';
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import type { ForeignFunction } from './libc.ts';
import { anonymousRegion } from './memory.ts';

export const Decode = { More: 0, FrameEnd: 1, Corrupt: 2 } as const;
export type Decode = (typeof Decode)[keyof typeof Decode];

/** One compressed stream at a time. `step` decodes what it can; `consumed` and `produced` are its result. */
export interface Decoder {
  /** Bytes taken from the input and given to the output by the last `step`. */
  readonly consumed: number;
  readonly produced: number;
  /** The library's words after `Corrupt`. */
  readonly why: string;
  /** Addresses of mapped memory. FrameEnd: the stream is complete; call `restart` before the next one. */
  step(input: number, inputBytes: number, output: number, outputBytes: number): Decode;
  restart(): void;
  close(): void;
}

const isDarwin = process.platform === 'darwin';

export interface Library {
  readonly name: string;
  readonly darwinName: string;
  readonly debianPackage: string;
  /** For the sentence "<what> needs <name>". */
  readonly what: string;
}

export const ZLIB: Library = {
  name: 'libz.so.1',
  darwinName: 'libz.1.dylib',
  debianPackage: 'zlib1g',
  what: 'a gzip file',
};
export const ZSTD: Library = {
  name: 'libzstd.so.1',
  darwinName: 'libzstd.1.dylib',
  debianPackage: 'libzstd1',
  what: 'a zstd file',
};

/** Kept for good: a library whose handle is collected is unloaded under its functions. */
const libraries = new Map<Library, LibraryHandle>();
const functions = new Map<string, ForeignFunction>();

function load(library: Library): LibraryHandle {
  const { name, darwinName, debianPackage, what } = library;
  let handle = libraries.get(library);
  if (handle !== undefined) return handle;
  try {
    // Node exports the functions of its own zlib and zstd, whose structures differ: without RTLD_DEEPBIND the library's
    // calls to itself end up there and corrupt the heap
    handle = isDarwin ? koffi.load(darwinName) : koffi.load(name, { deep: true });
  } catch (cause) {
    const remedy = `apt-get install ${debianPackage}`;
    throw new OperatorError('UNSUPPORTED', `${what} needs ${name}, which is not installed: ${remedy}`, { cause });
  }
  libraries.set(library, handle);
  return handle;
}

/** Declares `prototype` of `library` once. */
export function bind<Result = number>(library: Library, prototype: string): ForeignFunction<Result> {
  let found = functions.get(prototype);
  if (found === undefined) {
    found = load(library).func(prototype) as unknown as ForeignFunction;
    functions.set(prototype, found);
  }
  return found as unknown as ForeignFunction<Result>;
}

/** struct z_stream_s on LP64, zlib.h. */
export const Z_STREAM = { NEXT_IN: 0, AVAIL_IN: 8, NEXT_OUT: 24, AVAIL_OUT: 32, SIZE: 112 } as const;
const Z_OK = 0;
const Z_STREAM_END = 1;
const Z_BUF_ERROR = -5;
/** inflateInit2: 15 window bits, +16 = the gzip wrapper with its checks. */
const GZIP_WINDOW_BITS = 31;

const Z_REASONS = new Map<number, string>([
  [2, 'a preset dictionary is needed'],
  [-2, 'the stream state is inconsistent'],
  [-3, 'invalid deflate data or checksum'],
  [-4, 'out of memory'],
]);

/** Pointers lie below 2^47, so a double holds them exactly. */
export function setPointer(view: DataView, at: number, pointer: number): void {
  view.setUint32(at, pointer >>> 0, true);
  view.setUint32(at + 4, Math.floor(pointer / 0x1_0000_0000), true);
}

export class GzipDecoder implements Decoder {
  consumed = 0;
  produced = 0;
  why = '';
  // zlib keeps a pointer to the structure, so it must not move
  readonly #state: Region = anonymousRegion(Z_STREAM.SIZE);
  readonly #inflate: ForeignFunction;
  readonly #reset: ForeignFunction;
  readonly #end: ForeignFunction;

  constructor() {
    this.#inflate = bind(ZLIB, 'int inflate(intptr_t stream, int flush)');
    this.#reset = bind(ZLIB, 'int inflateReset(intptr_t stream)');
    this.#end = bind(ZLIB, 'int inflateEnd(intptr_t stream)');
    const init = bind(ZLIB, 'int inflateInit2_(intptr_t stream, int bits, const char *version, int size)');
    const status = init(this.#state.address, GZIP_WINDOW_BITS, '1.2.11', Z_STREAM.SIZE);
    if (status !== Z_OK) {
      this.#state.release();
      throw new OperatorError('UNSUPPORTED', `zlib refuses to start (status ${status}): update zlib1g`);
    }
  }

  step(input: number, inputBytes: number, output: number, outputBytes: number): Decode {
    const view = this.#state.view;
    setPointer(view, Z_STREAM.NEXT_IN, input);
    view.setUint32(Z_STREAM.AVAIL_IN, inputBytes, true);
    setPointer(view, Z_STREAM.NEXT_OUT, output);
    view.setUint32(Z_STREAM.AVAIL_OUT, outputBytes, true);
    const status = this.#inflate(this.#state.address, 0);
    this.consumed = inputBytes - view.getUint32(Z_STREAM.AVAIL_IN, true);
    this.produced = outputBytes - view.getUint32(Z_STREAM.AVAIL_OUT, true);
    if (status === Z_STREAM_END) return Decode.FrameEnd;
    if (status === Z_OK || status === Z_BUF_ERROR) return Decode.More;
    this.why = Z_REASONS.get(status) ?? `zlib status ${status}`;
    return Decode.Corrupt;
  }

  restart(): void {
    this.#reset(this.#state.address);
  }

  close(): void {
    this.#end(this.#state.address);
    this.#state.release();
  }
}

/** Two struct ZSTD_outBuffer/ZSTD_inBuffer { pointer, size_t size, size_t pos }. */
export const ZSTD_BUFFER = { POINTER: 0, SIZE: 8, POSITION: 16, BYTES: 24 } as const;

/** Refuses windows above 128 MiB (zstd's own default), so memory is bounded whatever the file asks for. */
export class ZstdDecoder implements Decoder {
  consumed = 0;
  produced = 0;
  why = '';
  readonly #buffers: Region = anonymousRegion(2 * ZSTD_BUFFER.BYTES);
  readonly #stream: number;
  readonly #decompress: ForeignFunction;
  readonly #errorName: ForeignFunction<string>;
  readonly #free: ForeignFunction;

  constructor() {
    // size_t results are declared signed: errors are -1 to -120, and lengths stay below 2^53
    this.#decompress = bind(ZSTD, 'intptr_t ZSTD_decompressStream(intptr_t stream, intptr_t output, intptr_t input)');
    this.#errorName = bind(ZSTD, 'const char *ZSTD_getErrorName(intptr_t code)');
    this.#free = bind(ZSTD, 'intptr_t ZSTD_freeDStream(intptr_t stream)');
    this.#stream = bind(ZSTD, 'intptr_t ZSTD_createDStream()')();
    if (this.#stream === 0) {
      this.#buffers.release();
      throw new OperatorError('RESOURCE', 'no memory for a zstd decoder');
    }
  }

  step(input: number, inputBytes: number, output: number, outputBytes: number): Decode {
    const view = this.#buffers.view;
    this.#describe(0, output, outputBytes);
    this.#describe(ZSTD_BUFFER.BYTES, input, inputBytes);
    const address = this.#buffers.address;
    const status = this.#decompress(this.#stream, address, address + ZSTD_BUFFER.BYTES);
    this.produced = view.getUint32(ZSTD_BUFFER.POSITION, true);
    this.consumed = view.getUint32(ZSTD_BUFFER.BYTES + ZSTD_BUFFER.POSITION, true);
    if (status === 0) return Decode.FrameEnd;
    if (status > 0) return Decode.More;
    this.why = `zstd: ${this.#errorName(status)}`;
    return Decode.Corrupt;
  }

  #describe(at: number, address: number, bytes: number): void {
    const view = this.#buffers.view;
    setPointer(view, at + ZSTD_BUFFER.POINTER, address);
    setPointer(view, at + ZSTD_BUFFER.SIZE, bytes);
    setPointer(view, at + ZSTD_BUFFER.POSITION, 0);
  }

  /** The next frame begins by itself. */
  restart(): void {}

  close(): void {
    this.#free(this.#stream);
    this.#buffers.release();
  }
}
