/** What `tscopy doctor` prints: a line a check, a picture of the path, a sentence. */
import { brokenHop, type Check, type CheckStatus, sentence, worst } from '../copy/doctor/index.ts';

const LABELS: Readonly<Record<CheckStatus, string>> = {
  ok: 'ok',
  warning: 'warning',
  broken: 'BROKEN',
  unknown: 'unknown',
};
const LABEL_COLUMNS = 8;
const PLACE_COLUMNS = 10;
const NAME_COLUMNS = 13;

/** `isShared`: several targets are looked at, so a line says which it is about. */
export function checkLine(check: Check, isShared: boolean): string {
  const { status, place, name, target } = check;
  const whose = isShared && target !== null ? `${target}: ` : '';
  const columns = LABELS[status].padEnd(LABEL_COLUMNS) + place.padEnd(PLACE_COLUMNS) + name.padEnd(NAME_COLUMNS);
  return `${columns}${whose}${sentence(check)}`;
}

/** The path of one target's probe, the state of each hop under its arrow. */
export function pictureLines(target: string, interception: string | null, checks: readonly Check[]): string[] {
  const own = checks.filter((check) => check.target === target && check.place === 'probe');
  const of = (...names: readonly string[]): Check[] => own.filter(({ name }) => names.includes(name));
  const tunnel = checks.filter(({ place }) => place === 'tunnel');
  const hops: (readonly [arrow: string, status: CheckStatus, to: string])[] = [
    ['SYN', worst(of('left', 'reached')), target],
    ['SYN-ACK', worst(of('answered', 'swallowed')), interception === null ? 'this host' : 'tsintercept'],
  ];
  if (interception !== null) hops.push(['tunnel', worst(tunnel), 'this host']);
  let path = 'this host';
  let marks = '';
  let leakAt = 0;
  for (const [arrow, status, to] of hops) {
    if (to === target) leakAt = `${path} --${arrow}--> `.length;
    marks = marks.padEnd(path.length + 3) + LABELS[status];
    path += ` --${arrow.padEnd(LABELS[status].length, '-')}--${status === 'broken' ? 'X' : '>'} ${to}`;
  }
  const leak = own.find(({ isLeak }) => isLeak);
  const lines = [path, marks];
  if (leak !== undefined) lines.push(`${' '.repeat(leakAt)}\`--LEAK--> clients`);
  return lines.map((line) => `  ${line}`);
}

export interface Verdict {
  readonly status: CheckStatus;
  /** One sentence, without the full stop. */
  readonly text: string;
  readonly hop: Check | null;
}

export function verdictOf(checks: readonly Check[]): Verdict {
  const hop = brokenHop(checks);
  if (hop !== null) {
    const where = hop.target === null ? hop.place : `${hop.place} of ${hop.target}`;
    const what = hop.isLeak ? 'replies leak to clients, so do not copy; ' : '';
    return { status: 'broken', hop, text: `${what}${where}, ${hop.name}: ${sentence(hop)}` };
  }
  const count = (status: CheckStatus): number => checks.filter((check) => check.status === status).length;
  const warnings = count('warning');
  const unknown = count('unknown');
  const parts = [
    ...(warnings > 0 ? [warnings === 1 ? '1 warning' : `${warnings} warnings`] : []),
    ...(unknown > 0 ? [`${unknown} not observable from here`] : []),
  ];
  const rest = parts.length === 0 ? '' : ` (${parts.join(', ')})`;
  const text = `copies arrive, are answered, and their answers are swallowed${rest}`;
  return { status: unknown > 0 ? 'unknown' : warnings > 0 ? 'warning' : 'ok', hop: null, text };
}
