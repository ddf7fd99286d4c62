/**
 * The fast way from file to file: a classic capture in this machine's byte order, written with the stamps it has, by
 * edits that make no packet longer. Everything else goes packet by packet (`rewrite_stream.ts`).
 */
import fs from 'node:fs';
import os from 'node:os';
import { OperatorError } from '../base/errors.ts';
import { beginReading, endReading, refuseWhileRead } from '../pcap/open_files.ts';
import { isPcapMagic, PCAP_FILE_HEADER_BYTES, type PcapHeader, parsePcapHeader } from '../pcap/pcap_format.ts';
import { compileRewriter } from '../rewrite/compile.ts';
import { reasonOf } from './inputs.ts';
import type { RewriteFileSpec } from './rewrite_file_spec.ts';
import type { Helpers } from './rewrite_helpers.ts';
import type { Rewriting } from './rewrite_run.ts';
import { addTally, newTally } from './rewrite_tally.ts';
import { runWindows, SHARED_BYTES, Turns, type WindowsSpec } from './rewrite_windows.ts';

const IS_LITTLE = os.endianness() === 'LE';
const SNAPLEN = 65_535;
const SNAPLEN_LONG = 262_144;

/** Edits that follow from each other packet by packet cannot be shared between threads. */
function workersFor(spec: RewriteFileSpec, bytes: number): number {
  if (spec.rewrite.fuzz !== null) return 1;
  return Math.max(1, Math.min(spec.workers, Math.floor(bytes / WORTH_A_WORKER_BYTES)));
}

/** A smaller share is edited sooner than a thread is started. */
const WORTH_A_WORKER_BYTES = 4 << 20;

/** Whether the options alone leave this way open. */
function isPossible(spec: RewriteFileSpec): boolean {
  if (spec.input === '-' || spec.output === '-' || spec.outputSecondary !== null || spec.auto !== null) return false;
  if (spec.shift !== null || spec.startAt !== null || spec.oversize !== null || spec.format === 'pcapng') return false;
  if (spec.anonymize !== null || spec.rewrite.fixLength === 'pad') return false;
  return compileRewriter(spec.rewrite).growBytesMax === 0;
}

/**
 * False: this way is not open, and nothing was done. `helpers`: null for one thread. `begun` gets the counts before the
 * first packet is edited. */
export async function rewriteInPlace(
  spec: RewriteFileSpec,
  helpers: Helpers | null,
  begun: (rewriting: Rewriting) => void,
): Promise<boolean> {
  if (!isPossible(spec)) return false;
  const inputFd = openInput(spec.input);
  if (inputFd < 0) return false;
  let outputFd = -1;
  const stat = fs.fstatSync(inputFd);
  beginReading(stat);
  try {
    const header = readHeader(inputFd, spec);
    if (header === null || !isFileOrNew(spec.output)) return false;
    // An inner Ethernet frame would have another link type than its file.
    if (spec.rewrite.decap && header.linktype !== 1) return false;
    const router = await routerOf(spec);
    outputFd = openOutput(spec.output);
    const workers = helpers === null ? 1 : workersFor(spec, stat.size);
    const shared = new SharedArrayBuffer(SHARED_BYTES);
    new Turns(shared).begin(PCAP_FILE_HEADER_BYTES);
    const windows: WindowsSpec = {
      input: spec.input,
      output: spec.output,
      inputFd,
      outputFd,
      rewrite: spec.rewrite,
      linktype: header.linktype,
      fractionMax: header.fractionNs === 1 ? 1e9 : 1e6,
      isLittle: IS_LITTLE,
      skipSoftErrors: spec.skipSoftErrors,
      shared,
      isShared: workers > 1,
    };
    writeHeader(outputFd, header, spec, SNAPLEN);
    const rewriting = { tally: newTally(), warnings: [] };
    begun(rewriting);
    const shares = helpers === null ? [] : helpers.run({ windows, cachefile: spec.cachefile }, workers - 1);
    const own = runWindows(windows, router);
    const results = [own, ...(await Promise.all(shares))];
    for (const result of results) addTally(rewriting.tally, result.tally);
    if (results.some((result) => result.longest > SNAPLEN)) writeHeader(outputFd, header, spec, SNAPLEN_LONG);
    const fault = results.find((result) => result.fault !== null)?.fault ?? null;
    if (fault !== null) throw fault;
    return true;
  } finally {
    endReading(stat);
    fs.closeSync(inputFd);
    if (outputFd >= 0) fs.closeSync(outputFd);
  }
}

/** -1: not a regular file, or one that cannot be opened: the other way says what is wrong. */
function openInput(path: string): number {
  const stat = fs.statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile()) return -1;
  try {
    return fs.openSync(path, 'r');
  } catch {
    return -1;
  }
}

function isFileOrNew(path: string): boolean {
  const stat = fs.statSync(path, { throwIfNoEntry: false });
  return stat === undefined || stat.isFile();
}

/** Null: not such a capture. */
function readHeader(fd: number, spec: RewriteFileSpec): PcapHeader | null {
  const bytes = new Uint8Array(PCAP_FILE_HEADER_BYTES);
  if (fs.readSync(fd, bytes, 0, PCAP_FILE_HEADER_BYTES, 0) < PCAP_FILE_HEADER_BYTES) return null;
  const view = new DataView(bytes.buffer);
  if (!isPcapMagic(view.getUint32(0, IS_LITTLE))) return null;
  const header = parsePcapHeader(view, 0);
  if (typeof header === 'string' || header.recordHeaderBytes !== 16 || header.lengths !== 0) return null;
  const digits = header.fractionNs === 1 ? 'ns' : 'us';
  return spec.stamps === 'keep' || spec.stamps === digits ? header : null;
}

function openOutput(path: string): number {
  let fd = -1;
  try {
    fd = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_CREAT, 0o666);
    refuseWhileRead(path, fs.fstatSync(fd));
    fs.ftruncateSync(fd, 0);
    return fd;
  } catch (error) {
    if (fd >= 0) fs.closeSync(fd);
    if (error instanceof OperatorError) throw error;
    throw new OperatorError('FILE', `cannot write ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

function writeHeader(fd: number, header: PcapHeader, spec: RewriteFileSpec, snaplen: number): void {
  const bytes = new Uint8Array(PCAP_FILE_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, header.fractionNs === 1 ? 0xa1b23c4d : 0xa1b2c3d4, IS_LITTLE);
  view.setUint16(4, 2, IS_LITTLE);
  view.setUint16(6, 4, IS_LITTLE);
  view.setUint32(16, snaplen, IS_LITTLE);
  view.setUint32(20, compileRewriter(spec.rewrite).linktypeAfter(header.linktype), IS_LITTLE);
  try {
    fs.writeSync(fd, bytes, 0, bytes.length, 0);
  } catch (error) {
    throw new OperatorError('FILE', `cannot write ${spec.output}: ${reasonOf(error)}`, { cause: error });
  }
}

async function routerOf(spec: RewriteFileSpec) {
  if (spec.cachefile === null) return null;
  return (await import('./rewrite_cache.ts')).readCacheRouter(spec.cachefile);
}
