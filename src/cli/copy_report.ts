/** What `tscopy` prints: the live line, the line of counts, the report. */
import { formatNs, groupDigits } from '../base/units.ts';
import { type AgentSnapshot, SKIPPED } from '../copy/agent/index.ts';
import { Count } from '../copy/counts.ts';
import { compareLines } from './compare_text.ts';

const n = groupDigits;

/** One line, parts left out from the right where `columns` are few. */
export function copyLine(now: AgentSnapshot, before: AgentSnapshot | null, columns: number): string {
  const span = now.seconds - (before?.seconds ?? 0);
  const requests = now.counts.RequestsSent - (before?.counts.RequestsSent ?? 0);
  const parts = [`${n(now.sessionsOpen)} sessions`, `${n(span > 0 ? requests / span : 0)} requests/s`];
  parts.push(`${n(now.counts.RequestsDelivered)} of ${n(now.counts.RequestsSeen)} delivered`);
  parts.push(`lag p99 ${formatNs(now.lagNs.p99)}`);
  if (now.requestsSkipped > 0) parts.push(`${n(now.requestsSkipped)} skipped`);
  if (now.sessionsShed > 0) parts.push(`${n(now.sessionsShed)} shed`);
  if (now.retransmitted > 0) parts.push(`${n(now.retransmitted)} retransmitted`);
  if (now.kernelDrops > 0) parts.push(`${n(now.kernelDrops)} dropped by the kernel`);
  if (now.workerCrashes > 0) parts.push(`${n(now.workerCrashes)} crashes`);
  let line = parts[0]!;
  for (const part of parts.slice(1)) {
    if (line.length + 2 + part.length > columns - 1) break;
    line += `, ${part}`;
  }
  return line.slice(0, Math.max(0, columns - 1));
}

type Row = readonly [name: string, value: string];

export function copyReportLines(report: AgentSnapshot): string[] {
  const { counts, lagNs } = report;
  const rows: Row[] = [
    ['Time', `${report.seconds.toFixed(1)} s`],
    [
      'Sessions',
      `${n(counts.SessionsSeen)} seen, ${n(counts.SessionsTakenUp)} taken up, ${n(report.sessionsOpen)} open`,
    ],
    ['Connections', `${n(counts.ConnectionsOpened)} opened, ${n(counts.ConnectionsRenewed)} of them renewed`],
    [
      'Requests',
      `${n(counts.RequestsSeen)} seen, ${n(counts.RequestsSent)} sent, ${n(counts.RequestsDelivered)} delivered`,
    ],
    ['Late', late(report)],
    [
      'Lag',
      `p50 ${formatNs(lagNs.p50)}, p90 ${formatNs(lagNs.p90)}, p99 ${formatNs(lagNs.p99)}, max ${formatNs(lagNs.max)}`,
    ],
    [
      'Packets',
      `${n(counts.ClientPackets)} of clients, ${n(counts.PacketsSent)} sent (${n(counts.PacketsInPlace)} in place)`,
    ],
    ['Bytes', `${n(counts.ClientBytes)} of clients, ${n(counts.BytesSent)} sent, ${n(counts.TargetBytes)} replied`],
    ['Retransmitted', retransmitted(report)],
  ];
  optional(rows, 'Skipped', skippedCauses(report));
  optional(rows, 'Shed', shedCauses(report));
  optional(rows, 'Refused', refusals(report));
  optional(rows, 'Dropped', drops(report));
  if (report.workerCrashes > 0) rows.push(['Crashes', `${n(report.workerCrashes)} of copying threads`]);
  const width = Math.max(...rows.map(([name]) => name.length)) + 1;
  const lines = rows.map(([name, value]) => `${`${name}:`.padEnd(width)} ${value}`);
  return report.compare === null ? lines : [...lines, ...compareLines(report.compare)];
}

function optional(rows: Row[], name: string, causes: readonly string[]): void {
  if (causes.length > 0) rows.push([name, causes.join(', ')]);
}

const named = (causes: readonly (readonly [number, string])[]): string[] =>
  causes.filter(([count]) => count > 0).map(([count, cause]) => `${n(count)} ${cause}`);

function retransmitted({ counts }: AgentSnapshot): string {
  const { RetransmittedTimeout, RetransmittedFast, RetransmittedProbe, RetransmittedSyn } = counts;
  const parts = [
    `${n(RetransmittedTimeout)} by time-out`,
    `${n(RetransmittedFast)} fast`,
    `${n(RetransmittedProbe)} tail probes`,
    `${n(RetransmittedSyn)} SYNs`,
  ];
  return parts.join(', ');
}

function late({ counts: { RequestsAhead, RequestsLate } }: AgentSnapshot): string {
  const ahead = RequestsAhead === 0 ? '' : `, ${n(RequestsAhead)} ahead of it, to catch up`;
  return `${n(RequestsLate)} sent without the reply to the one before${ahead}`;
}

function skippedCauses({ counts }: AgentSnapshot): string[] {
  const names = Object.keys(Count) as (keyof typeof Count)[];
  return named(SKIPPED.map(([cause, cell]) => [counts[names.find((name) => Count[name] === cell)!], cause] as const));
}

/** A session that was not begun with its SYN may try again with each request: tries are counted, not sessions. */
function shedCauses({ counts }: AgentSnapshot): string[] {
  return named([
    [counts.ShedTableFull, 'tries to begin a session above --max-sessions'],
    [counts.ShedMemory, 'tries without memory'],
    [counts.ShedIncarnations, 'tries of ports used again too soon'],
    [counts.ShedCollision, 'tries for which no address and port was free'],
    [counts.ShedLoad, 'tries over the processor limit, at the end, or without interception'],
    [counts.DroppedByPolicy, 'sessions by --when-full drop'],
    [counts.ClientNotAdmitted, 'packets of clients outside --percent, or whom the target answers itself'],
  ]);
}

function refusals({ counts, framesRefused, devicesReopened }: AgentSnapshot): string[] {
  return named([
    [counts.SendErrors, 'packets by the kernel or the missing interception'],
    [framesRefused, 'of them by the device'],
    [counts.SendTooLong, 'packets as too long'],
    [devicesReopened, 'devices opened again'],
    [counts.TargetRefused, 'connections by the target'],
    [counts.TargetReset, 'connections reset by the target'],
    [counts.TargetSilent, 'connections without any answer'],
  ]);
}

function drops({ counts, kernelDrops, replyDrops, tunnel }: AgentSnapshot): string[] {
  return named([
    [kernelDrops, "client packets by the kernel's ring"],
    [replyDrops, "replies by the kernel's ring"],
    [tunnel.lost, 'replies by the tunnel'],
    [counts.ClientMalformed, 'malformed packets'],
    [counts.ClientBadChecksum, 'packets with a wrong checksum'],
    [counts.ClientFragments, 'fragments'],
  ]);
}
