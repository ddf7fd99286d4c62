/**
 * The text report: tcpreplay's lines in tcpreplay's format, so that what reads them keeps working, then ours.
 * Its numbers are cut, not rounded: Bps to one decimal, Mbps to two (three below 1), pps and fps to two.
 */
import { formatNs, groupDigits } from '../base/units.ts';
import type { FlowReport, OutputReport, ReplayReport } from '../replay/report.ts';

export interface ReportStyle {
  /** `--flow-expiry` was given: the Flows line names unique and expired ones. */
  readonly flowExpiry: boolean;
}

/** The Actual and Rated lines; nothing when no byte was sent. */
export function rateLines(packets: number, bytes: number, seconds: number): string[] {
  if (bytes === 0) return [];
  const us = Math.floor(seconds * 1e6 + 1e-3);
  const shown = us >= 1_000_000 ? cut(us / 1e6, 2) : cut(us / 1e6, 6);
  const exact = us === 0 ? Number.NaN : us / 1e6;
  const mbps = (bytes * 8) / exact / 1e6;
  return [
    `Actual: ${packets} packets (${bytes} bytes) sent in ${shown} seconds`,
    `Rated: ${cut(bytes / exact, 1)} Bps, ${cut(mbps, mbps < 1 ? 3 : 2)} Mbps, ${cut(packets / exact, 2)} pps`,
  ];
}

/** `n` with `decimals` decimals, the rest cut off. 0 where there is no number (nothing took no time). */
function cut(n: number, decimals: number): string {
  if (!Number.isFinite(n)) return (0).toFixed(decimals);
  const scale = 10 ** decimals;
  // A millionth of the last digit makes up for binary fractions: 0.29 * 100 is 28.999999999999996.
  return (Math.floor(n * scale + 1e-6) / scale).toFixed(decimals);
}

/** `Test start: 2026-11-22 20:25:00.779093 ...`: local time, as tcpreplay. */
export function testStartLine(atMs: number): string {
  return `Test start: ${localTime(atMs)} ...`;
}

export function testCompleteLine(atMs: number): string {
  return `Test complete: ${localTime(atMs)}`;
}

function localTime(ms: number): string {
  const at = new Date(ms);
  const two = (n: number): string => String(n).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const us = Math.floor((((ms % 1000) + 1000) % 1000) * 1000);
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(us).padStart(6, '0')}`;
}

/** `Loop 2 of 3...`, `Loop 2 of 3 (1 unique)...`, `Loop 2...`. `every`: loops per set of addresses, or 0. */
export function loopLine(loop: number, count: number, every: number): string {
  const of = count === 0 ? '' : ` of ${count}`;
  const unique = every === 0 ? 0 : Math.floor((loop - 1) / every);
  return `Loop ${loop}${of}${unique === 0 ? '' : ` (${unique} unique)`}...`;
}

/** The whole report, line by line. */
export function reportLines(report: ReplayReport, style: ReportStyle): string[] {
  const { packets } = report;
  const lines = rateLines(packets.sent, report.bytesSent, report.seconds);
  if (lines.length === 0) lines.push(`No packets sent of ${packets.read} read`);
  if (packets.failed > 0) lines.push(`Failed write attempts: ${packets.failed}`);
  if (report.flows !== null && packets.sent > 0) lines.push(flowsLine(report.flows, report.seconds, style));
  const split = report.outputs.length > 1;
  for (const output of report.outputs) lines.push(...outputLines(output, split));
  const late = report.latenessNs;
  if (late !== null && packets.sent > 0) {
    lines.push(`Lateness: p50 ${formatNs(late.p50)}, p99 ${formatNs(late.p99)}, max ${formatNs(late.max)}`);
  }
  if (report.edited > 0) lines.push(`Edited: ${report.edited} packets`);
  for (const [cause, packets] of Object.entries(report.notEditable)) {
    lines.push(`Not editable (${cause}): ${packets} packets, sent as they were`);
  }
  const wire = wireLine(report);
  if (wire !== null) lines.push(wire);
  for (const [cause, n] of Object.entries(report.drops)) {
    if (n > 0) lines.push(`Not sent: ${groupDigits(n)} packets, ${cause}`);
  }
  return lines;
}

function flowsLine(flows: FlowReport, seconds: number, style: ReportStyle): string {
  const us = Math.floor(seconds * 1e6 + 1e-3);
  const detail = style.flowExpiry ? `${flows.unique} unique, ${flows.expired} expired, ` : '';
  const fps = cut(us === 0 ? Number.NaN : flows.flows / (us / 1e6), 2);
  const packets = `${flows.flowPackets} unique flow packets, ${flows.nonFlowPackets} unique non-flow packets`;
  return `Flows: ${flows.flows} flows, ${detail}${fps} fps, ${packets}`;
}

const LABEL_COLUMNS = 27;

/** A split replay's blocks have their own flows; of a single one the Flows line has said it all. */
function outputLines(output: OutputReport, split: boolean): string[] {
  const line = (label: string, n: number): string => `\t${`${label}:`.padEnd(LABEL_COLUMNS)}${n}`;
  const lines = [
    `Statistics for network device: ${output.name}`,
    line('Successful packets', output.sent),
    line('Failed packets', output.failed),
    line('Truncated packets', output.truncated),
    line('Retried packets (ENOBUFS)', output.retriedNoBufs),
    line('Retried packets (EAGAIN)', output.retriedAgain),
  ];
  const flows = output.flows;
  if (flows === null || !split) return lines;
  lines.push(
    line('Flows total', flows.flows),
    line('Flows unique', flows.unique),
    line('Flows expired', flows.expired),
  );
  lines.push(line('Flow packets', flows.flowPackets), line('Non-flow packets', flows.nonFlowPackets));
  lines.push(line('Invalid flow packets', flows.invalidPackets));
  return lines;
}

/** `On the wire: sent 179, eth1 counted 179`, or null where no interface counts. */
function wireLine(report: ReplayReport): string | null {
  const parts: string[] = [];
  for (const output of report.outputs) {
    if (output.wire === null) continue;
    const dropped = output.wire.dropped > 0 ? ` and dropped ${output.wire.dropped}` : '';
    parts.push(`sent ${output.sent}, ${output.name} counted ${output.wire.packets}${dropped}`);
  }
  return parts.length === 0 ? null : `On the wire: ${parts.join('; ')}`;
}
