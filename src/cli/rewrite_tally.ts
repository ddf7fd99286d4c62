/** What became of every packet of one rewriting: each packet read counts in exactly one of the first four. */
import type { RewriteCounters } from '../rewrite/causes.ts';

export interface RewriteTally {
  read: number;
  /** Changed as asked for. */
  edited: number;
  /** Not changed, by reason: nothing asked for concerned them. */
  readonly unchanged: Record<string, number>;
  /** Could not be edited as asked for, by cause. */
  readonly failed: Record<string, number>;
  /** Left out because the operator said so, by reason. */
  readonly dropped: Record<string, number>;
  /** Failed packets that are not in the output. */
  failedDropped: number;
  written: number;
  /** Packets that splitting and fragroute made more (or fewer) of. */
  added: number;
}

export function newTally(): RewriteTally {
  return { read: 0, edited: 0, unchanged: {}, failed: {}, dropped: {}, failedDropped: 0, written: 0, added: 0 };
}

/** Reasons, as `--json` names them and as the text report says them. */
export const REASONS: Readonly<Record<string, string>> = {
  'no-rule': 'no rule concerns them',
  'not-ip': 'no IP header',
  'dont-send': 'not to be sent, says the cache',
  'length-frame': '802.3 length frames, which tcprewrite leaves alone',
  undecodable: 'cut or malformed headers',
  'protocol-unknown': 'no number for their protocol in the new link header',
  'linktype-unknown': 'a link type that cannot be edited or converted',
  'no-destination-mac': 'no destination MAC address is known',
  'no-source-mac': 'no source MAC address is known',
  'too-long': 'longer than a packet can be',
  fragment: "a fragment holds a part of the tunnel's packet only",
  'fragroute-cut': 'cut by the capture, so not for fragroute',
  'fragroute-too-many': 'too many packets would come out of fragroute',
  fuzz: 'fuzzing',
  cut: 'cut by the capture (--fixlen=del)',
  empty: 'no bytes left',
  oversize: 'longer than --mtu',
  fragroute: 'fragroute rules',
  'not-splittable': 'longer than --mtu and not to be split',
};

export function bump(cells: Record<string, number>, name: string, by = 1): void {
  if (by !== 0) cells[name] = (cells[name] ?? 0) + by;
}

export function total(cells: Readonly<Record<string, number>>): number {
  return Object.values(cells).reduce((sum, n) => sum + n, 0);
}

/** Adds what a rewriter has counted; `dontSend` packets never reached it. */
export function addCounters(tally: RewriteTally, counters: RewriteCounters, dontSend: number): void {
  tally.edited += counters.edited;
  bump(tally.unchanged, 'no-rule', counters.unchanged - counters.unchangedNotIp);
  bump(tally.unchanged, 'not-ip', counters.unchangedNotIp);
  bump(tally.unchanged, 'dont-send', dontSend);
  for (const [cause, packets] of Object.entries(counters.failures())) {
    // The reference's rule for these frames, not a failure.
    bump(cause === 'length-frame' ? tally.unchanged : tally.failed, cause, packets);
  }
  bump(tally.dropped, 'cut', counters.cut);
  bump(tally.dropped, 'fuzz', counters.dropped - counters.cut);
}

/** Adds another worker's share. */
export function addTally(to: RewriteTally, from: RewriteTally): void {
  to.read += from.read;
  to.edited += from.edited;
  to.failedDropped += from.failedDropped;
  to.written += from.written;
  to.added += from.added;
  for (const part of ['unchanged', 'failed', 'dropped'] as const) {
    for (const [name, packets] of Object.entries(from[part])) bump(to[part], name, packets);
  }
}
