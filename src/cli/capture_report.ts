/** The report of a capture: as JSON, as text, and as a line that is drawn while it runs. */
import { groupDigits } from '../base/units.ts';
import { type CaptureSnapshot, shedByUs } from '../capture/report.ts';

export interface CaptureJson {
  readonly received: number;
  readonly dropped: { readonly kernel: number; readonly interface: number; readonly shed: number };
  readonly written: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly files: number;
}

export function captureJson(report: CaptureSnapshot): CaptureJson {
  return {
    received: report.received,
    dropped: { kernel: report.droppedByKernel, interface: report.droppedByInterface, shed: shedByUs(report) },
    written: report.written,
    bytes: report.bytes,
    seconds: report.seconds,
    files: report.files,
  };
}

const packets = (n: number, what: string): string => `${groupDigits(n)} packet${n === 1 ? '' : 's'} ${what}`;

/** Lines as an operator of tcpdump knows them; what is zero and rare is left out. */
export function captureLines(report: CaptureSnapshot, verb: string): string[] {
  const lines = [
    packets(report.written, `${verb}, ${groupDigits(report.bytes)} bytes in ${report.seconds.toFixed(2)} s`),
    packets(report.received, 'received'),
    packets(report.droppedByKernel, 'dropped by kernel'),
    packets(report.droppedByInterface, 'dropped by interface'),
  ];
  const rare: [number, string][] = [
    [report.filtered, 'filtered out'],
    [report.shed, 'shed to stay below --cpu-limit'],
    [report.droppedDiskFull, 'not written: no room on the disk'],
    [report.droppedCompressor, 'not written: the compressor was behind'],
    [report.droppedUnwritable, 'not written: of a link type or length that this file cannot hold'],
    [report.droppedBroken, 'not written: the file broke'],
  ];
  for (const [count, what] of rare) if (count > 0) lines.push(packets(count, what));
  if (report.frozen > 0) lines.push(`ring of the kernel full ${groupDigits(report.frozen)} times`);
  if (report.files > 0) {
    const removed = report.filesRemoved > 0 ? `, ${groupDigits(report.filesRemoved)} removed again` : '';
    const files = `${groupDigits(report.files)} file${report.files === 1 ? '' : 's'}`;
    lines.push(`${files}${removed}, ${groupDigits(report.fileBytes)} bytes`);
  }
  return lines;
}

export interface LivePoint {
  readonly seconds: number;
  readonly written: number;
  readonly bytes: number;
}

/** The live line, cut to `columns` between its parts. Rates are those since `previous`. */
export function captureLiveLine(now: CaptureSnapshot, previous: LivePoint, columns: number): string {
  const span = now.seconds - previous.seconds;
  const pps = span > 0 ? (now.written - previous.written) / span : 0;
  const mbps = span > 0 ? ((now.bytes - previous.bytes) * 8) / span / 1e6 : 0;
  const parts = [
    `${groupDigits(now.written)} packets`,
    `${groupDigits(pps)} pps`,
    `${mbps < 100 ? mbps.toFixed(2) : groupDigits(mbps)} Mbps`,
    `dropped ${groupDigits(now.droppedByKernel + now.droppedByInterface)}`,
  ];
  const shed = shedByUs(now);
  if (shed > 0) parts.push(`shed ${groupDigits(shed)}`);
  if (now.diskFull) parts.splice(1, 0, 'disk full');
  if (now.files > 1) parts.push(`file ${groupDigits(now.files)}`);
  parts.push(`${Math.floor(now.seconds)} s`);
  let line = parts[0]!;
  for (const part of parts.slice(1)) {
    if (line.length + 2 + part.length > columns - 1) break;
    line += `, ${part}`;
  }
  return line.slice(0, Math.max(0, columns - 1));
}
