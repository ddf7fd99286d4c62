/** The line that is drawn over and over while a replay runs: packets, share, rates, lateness, time left. */
import { formatNs, groupDigits } from '../base/units.ts';
import type { ReplaySnapshot } from '../replay/report.ts';

export interface LivePoint {
  readonly seconds: number;
  readonly packets: number;
  readonly bytes: number;
}

/**
 * The line, cut to `columns`: parts are left out from the right, never cut in two. Rates are those since `previous`.
 */
export function liveLine(now: ReplaySnapshot, previous: LivePoint, columns: number): string {
  const span = now.seconds - previous.seconds;
  const pps = span > 0 ? (now.packetsSent - previous.packets) / span : 0;
  const mbps = span > 0 ? ((now.bytesSent - previous.bytes) * 8) / span / 1e6 : 0;
  const done = shareDone(now);
  const parts = [`${groupDigits(now.packetsSent)} packets`];
  if (done >= 0) parts.push(`${Math.floor(done * 100)} %`);
  parts.push(`${groupDigits(pps)} pps`, `${mbps < 100 ? mbps.toFixed(2) : groupDigits(mbps)} Mbps`);
  if (now.paused) parts.splice(1, 0, 'paused');
  else if (now.latenessNsMax > 0) parts.push(`late ${formatNs(now.latenessNsLast)}`);
  const left = secondsLeft(now, done);
  if (left >= 0) parts.push(`${formatSeconds(left)} left`);
  if (now.packetsFailed > 0) parts.push(`${groupDigits(now.packetsFailed)} failed`);
  if (now.loopCount !== 1) parts.push(`loop ${now.loop}${now.loopCount === 0 ? '' : ` of ${now.loopCount}`}`);
  let line = parts[0]!;
  for (const part of parts.slice(1)) {
    if (line.length + 2 + part.length > columns - 1) break;
    line += `, ${part}`;
  }
  return line.slice(0, Math.max(0, columns - 1));
}

/** 0..1 over all loops, or -1 where it cannot be known. */
function shareDone(now: ReplaySnapshot): number {
  if (now.packetsTotal > 0) return Math.min(1, now.packetsRead / now.packetsTotal);
  if (now.progress < 0 || now.loopCount === 0) return -1;
  return Math.min(1, (Math.max(0, now.loop - 1) + now.progress) / now.loopCount);
}

function secondsLeft(now: ReplaySnapshot, done: number): number {
  return done <= 0.001 || now.paused ? -1 : (now.seconds * (1 - done)) / done;
}

/** `7s`, `3m07s`, `2h05m`. */
function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (n: number): string => String(n).padStart(2, '0');
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
}
