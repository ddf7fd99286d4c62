/** Opening a capture: what kind of file it is, which format, and the reader for it. */
import fs from 'node:fs';
import { OperatorError } from '../base/errors.ts';
import { captureName } from './faults.ts';
import { isPcapMagic, PCAP_FILE_HEADER_BYTES, parsePcapHeader } from './pcap_format.ts';
import { PcapReader } from './pcap_reader.ts';
import type { CaptureReader } from './reader.ts';
import { type CaptureWindow, MappedWindow } from './window.ts';

export interface OpenCaptureOptions {
  /** Bytes of scratch memory behind each region, for frames that grow. Default 4 MiB. */
  readonly scratchBytes?: number;
  /** Bytes of a mapped window. Default 64 MiB; a record that needs more gets more. */
  readonly windowBytes?: number;
}

const SCRATCH_BYTES = 4 << 20;
const WINDOW_BYTES = 64 << 20;

/**
 * Opens a capture for reading. `path`: a file, a fifo, or `-` for stdin. Blocks the calling thread where it must wait.
 * Throws `OperatorError`: FILE (cannot be opened), FORMAT (not a capture).
 */
export function openCapture(path: string, options: OpenCaptureOptions = {}): CaptureReader {
  const window = openWindow(path, options);
  try {
    return openReader(path, window);
  } catch (error) {
    window.close();
    throw error;
  }
}

function openWindow(path: string, options: OpenCaptureOptions): CaptureWindow {
  const fd = fs.openSync(path, 'r');
  const { size } = fs.fstatSync(fd);
  if (size === 0) throw new OperatorError('FORMAT', `${captureName(path)} is empty`);
  return new MappedWindow(
    fd,
    fs.closeSync,
    size,
    options.windowBytes ?? WINDOW_BYTES,
    options.scratchBytes ?? SCRATCH_BYTES,
  );
}

function openReader(path: string, window: CaptureWindow): CaptureReader {
  const at = window.show(0, PCAP_FILE_HEADER_BYTES);
  const name = captureName(path);
  if (window.end - at < PCAP_FILE_HEADER_BYTES) throw new OperatorError('FORMAT', `${name} is too short for a capture`);
  const view = window.region.view;
  if (!isPcapMagic(view.getUint32(at)) && !isPcapMagic(view.getUint32(at, true))) {
    throw new OperatorError(
      'FORMAT',
      `${name} is no capture file: it begins with 0x${view.getUint32(at).toString(16)}`,
    );
  }
  const header = parsePcapHeader(view, at);
  if (typeof header === 'string') throw new OperatorError('FORMAT', `${name} ${header}`);
  return new PcapReader(window, header, {
    path,
    format: 'pcap',
    compression: 'none',
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
