/** Opening a capture: what kind of file it is, how it is compressed, which format, and the reader for it. */
import fs from 'node:fs';
import tty from 'node:tty';
import { OperatorError } from '../base/errors.ts';
import { growPipe, openFile } from '../sys/file.ts';
import {
  type ByteSource,
  COMPRESSION_MAGIC_BYTES,
  type Compression,
  compressionOf,
  DecodedSource,
  DescriptorSource,
} from './byte_source.ts';
import { captureName } from './faults.ts';
import { beginReading, endReading } from './open_files.ts';
import { isPcapMagic, PCAP_FILE_HEADER_BYTES, parsePcapHeader } from './pcap_format.ts';
import { PcapReader } from './pcap_reader.ts';
import { BlockType } from './pcapng_format.ts';
import { PcapngReader } from './pcapng_reader.ts';
import type { CaptureReader } from './reader.ts';
import { StreamWindow } from './stream_window.ts';
import { type CaptureWindow, MappedWindow } from './window.ts';

export interface OpenCaptureOptions {
  /** Bytes of scratch memory behind each region, for frames that grow. Default 4 MiB. */
  readonly scratchBytes?: number;
  /**
   * How a plain file comes into memory. `read` (default): into one small buffer that stays in the cache, which is two
   * to
   * fifteen times as fast (figures in `window.ts`). `map`: mapped copy-on-write; with a window of at least the file's
   * size every frame stays valid until `close`.
   */
  readonly access?: 'read' | 'map';
  /**
   * Bytes of a window, at least 64 KiB; a record that needs more gets more. Default 512 KiB, mapped 64 MiB.
   */
  readonly windowBytes?: number;
  /** Keep what a pcapng file says beside its packets (`CaptureReader.details`): comments, statistics, descriptions. */
  readonly details?: boolean;
  /**
   * Asked about ten times a second while a stream makes the thread wait. True: `read` returns 0 as at the end, and
   * an `openCapture` that still waits throws.
   */
  readonly shouldStop?: () => boolean;
}

const SCRATCH_BYTES = 4 << 20;
const MAPPED_WINDOW_BYTES = 64 << 20;
const STREAM_WINDOW_BYTES = 512 << 10;
const PIPE_BYTES = 1 << 20;

/**
 * Opens a capture for reading: pcap or pcapng, plain, gzip or zstd. `path`: a file, a fifo, or `-` for stdin. Nothing
 * is read whole, so captures may be larger than memory. Blocks the calling thread where it must wait.
 * Throws `OperatorError`: FILE (cannot be opened), FORMAT (not a capture), UNSUPPORTED (a library is missing).
 */
export function openCapture(path: string, options: OpenCaptureOptions = {}): CaptureReader {
  const { window, compression } = path === '-' ? openStdin(options) : openPath(path, options);
  try {
    return openReader(path, window, compression, options);
  } catch (error) {
    window.close();
    throw error;
  }
}

interface Opened {
  readonly window: CaptureWindow;
  readonly compression: Compression;
}

function openStdin(options: OpenCaptureOptions): Opened {
  if (tty.isatty(0)) throw new OperatorError('FILE', 'stdin is a terminal: pipe a capture into it, or name a file');
  return openStream(0, null, !fs.fstatSync(0).isFile(), -1, options);
}

function openPath(path: string, options: OpenCaptureOptions): Opened {
  const fd = openFile(path, 'read');
  try {
    const stat = fs.fstatSync(fd);
    if (stat.isDirectory()) throw new OperatorError('FILE', `${path} is a directory: name the captures in it`);
    if (!stat.isFile()) return openStream(fd, fs.closeSync, true, -1, options);
    const opened = openRegular(fd, stat, options);
    beginReading(stat);
    return opened;
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** On a throw the descriptor is still the caller's. */
function openRegular(fd: number, stat: fs.Stats, options: OpenCaptureOptions): Opened {
  const closeFd = (open: number): void => {
    endReading(stat);
    fs.closeSync(open);
  };
  // files of /proc say 0 bytes and have some, so reading finds out
  if (options.access !== 'map' || stat.size === 0) return openStream(fd, closeFd, false, stat.size || -1, options);
  const first = new DataView(new ArrayBuffer(COMPRESSION_MAGIC_BYTES));
  const available = fs.readSync(fd, first, 0, COMPRESSION_MAGIC_BYTES, 0);
  if (compressionOf(first, 0, available) !== 'none') return openStream(fd, closeFd, false, stat.size, options);
  const windowBytes = options.windowBytes ?? MAPPED_WINDOW_BYTES;
  const scratchBytes = options.scratchBytes ?? SCRATCH_BYTES;
  return { window: new MappedWindow(fd, closeFd, stat.size, windowBytes, scratchBytes), compression: 'none' };
}

/** On a throw the descriptor is still the caller's. */
function openStream(
  fd: number,
  closeFd: ((fd: number) => void) | null,
  mustWait: boolean,
  byteLength: number,
  options: OpenCaptureOptions,
): Opened {
  if (mustWait) growPipe(fd, PIPE_BYTES);
  const descriptor = new DescriptorSource(fd, closeFd, mustWait, options.shouldStop ?? null);
  let source: ByteSource = descriptor;
  try {
    const available = descriptor.peek(COMPRESSION_MAGIC_BYTES);
    const compression = compressionOf(descriptor.input.view, 0, available);
    if (compression !== 'none') source = new DecodedSource(descriptor, compression);
    const windowBytes = options.windowBytes ?? STREAM_WINDOW_BYTES;
    const scratchBytes = options.scratchBytes ?? SCRATCH_BYTES;
    return { window: new StreamWindow(source, byteLength, windowBytes, scratchBytes), compression };
  } catch (error) {
    descriptor.input.release();
    throw error;
  }
}

function openReader(
  path: string,
  window: CaptureWindow,
  compression: Compression,
  options: OpenCaptureOptions,
): CaptureReader {
  const at = window.show(0, PCAP_FILE_HEADER_BYTES);
  const view = window.region.view;
  const left = window.end - at;
  const name = captureName(path);
  refuseShort(name, window, left);
  const magic = view.getUint32(at);
  if (magic === BlockType.SectionHeader) {
    const { byteLength } = window;
    const reader = new PcapngReader(
      window,
      { path, format: 'pcapng', compression, byteLength },
      options.details === true,
    );
    return reader;
  }
  if (!isPcapMagic(magic) && !isPcapMagic(view.getUint32(at, true))) {
    throw new OperatorError('FORMAT', `${name} ${unknownFormat(view, at, left, compression)}`);
  }
  if (left < PCAP_FILE_HEADER_BYTES) {
    const what = `ends after ${left} of the ${PCAP_FILE_HEADER_BYTES} bytes of its file header`;
    throw new OperatorError('FORMAT', `${name} ${what}; no packet was delivered`);
  }
  const header = parsePcapHeader(view, at);
  if (typeof header === 'string') throw new OperatorError('FORMAT', `${name} ${header}`);
  return new PcapReader(window, header, {
    path,
    format: 'pcap',
    compression,
    bigEndian: header.bigEndian,
    byteLength: window.byteLength,
    interfaces: [
      {
        linktype: header.linktype,
        snaplen: header.snaplen,
        name: '',
        timestampDigits: header.fractionNs === 1 ? 9 : 6,
        fcsBytes: header.fcsBytes,
      },
    ],
  });
}

function refuseShort(name: string, window: CaptureWindow, left: number): void {
  if (window.stopped) throw new OperatorError('FILE', `${name}: stopped before its first bytes came`);
  if (window.fault !== null && left < PCAP_FILE_HEADER_BYTES) {
    throw new OperatorError(window.fault.code, `${name}: byte ${left}: ${window.fault.what}; no packet was delivered`);
  }
  if (left === 0) throw new OperatorError('FORMAT', `${name} is empty: a capture has at least a file header`);
  if (left < 4) throw new OperatorError('FORMAT', `${name} has ${left} bytes: too short for a capture`);
}

/** Files that are given by mistake, and what to do with them. */
const LOOKALIKES: readonly [magic: string, what: string][] = [
  ['1f8b', 'is compressed twice: decompress it once'],
  ['28b52ffd', 'is compressed twice: decompress it once'],
  ['fd377a58', 'is compressed with xz: xz -dc FILE | … -'],
  ['425a68', 'is compressed with bzip2: bzip2 -dc FILE | … -'],
  ['04224d18', 'is compressed with lz4: lz4 -dc FILE | … -'],
  ['504b0304', 'is a zip archive: unzip -p FILE | … -'],
  ['74637070', 'is a tcpprep cache, not a capture: give it to --cachefile'],
  ['736e6f6f', 'is a snoop capture: convert it with editcap -F pcapng'],
];

function unknownFormat(view: DataView, at: number, left: number, compression: Compression): string {
  let hex = '';
  for (let i = 0; i < Math.min(4, left); i++) {
    hex += view
      .getUint8(at + i)
      .toString(16)
      .padStart(2, '0');
  }
  for (const [magic, what] of LOOKALIKES) {
    if (hex.startsWith(magic)) return what;
  }
  const inside = compression === 'none' ? '' : ` inside ${compression}`;
  return `is neither pcap nor pcapng: it begins with the bytes ${hex}${inside}`;
}
