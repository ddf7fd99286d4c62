/** A capture sink from its description: everything that can be refused is refused here, before the first packet. */
import fs from 'node:fs';
import { OperatorError } from '../../base/errors.ts';
import { linktypeName } from '../../wire/linktype.ts';
import { RecordSink } from './capture_sink.ts';
import { CompressOutput } from './compress_output.ts';
import type { ChainSpec } from './file_chain.ts';
import { DirectOutput } from './output.ts';
import { PcapngRecords, PcapRecords } from './record_format.ts';
import { Rotation } from './rotation.ts';
import type { CaptureSink, CaptureSinkSpec } from './sink.ts';

/** Room for a header and one longest record. */
const DISK_BYTES_MIN = 1 << 20;
/** Files under a disk limit at least, where the oldest is to go: removing it must not remove everything. */
const DISK_PIECES = 4;

/**
 * Opens the sink and begins its first file. Throws `OperatorError`: FILE (the path cannot be written), USAGE (options
 * that clash), UNSUPPORTED (no libz, no libzstd).
 */
export function openCaptureSink(spec: CaptureSinkSpec, nowMs: number = Date.now()): CaptureSink {
  check(spec);
  const format = spec.format === 'pcap' ? new PcapRecords(spec) : new PcapngRecords(spec);
  const suffix = spec.compress === undefined || spec.path === '-' ? '' : suffixOf(spec.compress.codec);
  const rotation = new Rotation(spec.path, suffix, spec.rotation, pieceBytes(spec));
  const chain: ChainSpec = {
    dropsPages: spec.pageCache !== 'keep',
    diskBytesMax: spec.diskBytesMax ?? 0,
    removesOldest: spec.diskFull !== 'stop',
    filesKept: rotation.filesKept,
    freesElsewhere: spec.compress === undefined,
    indexPath: spec.indexPath ?? null,
    finishedChannel: spec.finishedChannel ?? null,
  };
  const waits = spec.compressorBehind === 'wait';
  const output =
    spec.compress === undefined ? new DirectOutput(chain) : new CompressOutput(chain, spec.compress, waits);
  return new RecordSink(spec, format, output, rotation, isStream(spec), nowMs);
}

/** A pipe or a device is not followed by a file whose name has a number behind it. */
function isStream({ path, rotation, compress }: CaptureSinkSpec): boolean {
  if (path === '-') return true;
  if (rotation !== undefined || compress !== undefined) return false;
  return fs.statSync(path, { throwIfNoEntry: false })?.isFile() === false;
}

/** Where the time alone, or a size beyond the limit, says when the next file begins, the limit may be full before. */
function pieceBytes({ rotation, diskBytesMax, diskFull }: CaptureSinkSpec): number | undefined {
  if (rotation === undefined || diskBytesMax === undefined || diskFull === 'stop') return undefined;
  const { fileBytes = Number.POSITIVE_INFINITY } = rotation;
  return fileBytes * 2 <= diskBytesMax ? undefined : Math.floor(diskBytesMax / DISK_PIECES);
}

function suffixOf(codec: 'zstd' | 'gzip'): string {
  return codec === 'zstd' ? '.zst' : '.gz';
}

function check(spec: CaptureSinkSpec): void {
  const { interfaces, path, rotation, compress, diskBytesMax } = spec;
  if (interfaces.length === 0) throw new OperatorError('USAGE', 'a capture file describes one interface at least');
  const linktypes = [...new Set(interfaces.map((one) => one.linktype))];
  if (spec.format === 'pcap' && linktypes.length > 1) {
    const names = linktypes.map(linktypeName).join(' and ');
    throw new OperatorError('USAGE', `a pcap file has one link type, not ${names}: write pcapng`);
  }
  if (path === '-' && (rotation !== undefined || diskBytesMax !== undefined || spec.indexPath !== undefined)) {
    throw new OperatorError('USAGE', 'standard output is one stream: give -w a file name for rotation or a disk limit');
  }
  if (rotation?.files !== undefined && !(rotation.files >= 1)) {
    throw new OperatorError('USAGE', 'a ring has one file at least');
  }
  if (diskBytesMax !== undefined && diskBytesMax < DISK_BYTES_MIN) {
    throw new OperatorError('USAGE', `a disk limit of ${diskBytesMax} bytes is too small: at least 1 MiB`);
  }
  if (compress === undefined) return;
  const most = compress.codec === 'zstd' ? 19 : 9;
  if (!(compress.level >= 1 && compress.level <= most)) {
    throw new OperatorError('USAGE', `${compress.codec} has levels 1 to ${most}, not ${compress.level}`);
  }
}
