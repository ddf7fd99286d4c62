/** One thing that a doctor looked at, as data. */

/** `unknown`: nobody of ours can look there. */
export type CheckStatus = 'ok' | 'warning' | 'broken' | 'unknown';

/** In the order of a packet's path. */
export type CheckPlace = 'this host' | 'tunnel' | 'far side' | 'probe';

export interface Check {
  readonly place: CheckPlace;
  /** A word or two: `route`, `clock`. */
  readonly name: string;
  /** `10.0.0.9:80`; null: of no target in particular. */
  readonly target: string | null;
  readonly status: CheckStatus;
  /** What was found; no full stop. */
  readonly text: string;
  /** What to type or to do; null: nothing. */
  readonly remedy: string | null;
  /** Replies reach the clients. */
  readonly isLeak: boolean;
}

export function check(
  place: CheckPlace,
  name: string,
  status: CheckStatus,
  text: string,
  more: { readonly remedy?: string | null; readonly target?: string; readonly isLeak?: boolean } = {},
): Check {
  const { remedy = null, target = null, isLeak = false } = more;
  return { place, name, target, status, text, remedy, isLeak };
}

/** `text: remedy`, as in errors. */
export function sentence({ text, remedy }: Check): string {
  return remedy === null ? text : `${text}: ${remedy}`;
}

/** `10.0.0.9:80`, `[fd00::9]:80`. */
export function hostPortText({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

const ORDER: readonly CheckStatus[] = ['ok', 'unknown', 'warning', 'broken'];

/** The worst status; of none: unknown. */
export function worst(checks: readonly Check[]): CheckStatus {
  const ranks = checks.map(({ status }) => ORDER.indexOf(status));
  return ranks.length === 0 ? 'unknown' : ORDER[Math.max(...ranks)]!;
}

/** The check that names the broken hop: a leak before anything else, then the first broken one on the path. */
export function brokenHop(checks: readonly Check[]): Check | null {
  return checks.find(({ isLeak }) => isLeak) ?? checks.find(({ status }) => status === 'broken') ?? null;
}
