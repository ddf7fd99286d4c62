/** Why a packet could not be edited. Numbers index `RewriteCounters.softErrors`; the names go into reports. */
export const Cause = {
  None: 0,
  /** The link header, or an IP header that had to be edited, is cut or malformed. */
  Undecodable: 1,
  /** 802.3 length frames, which the reference tool leaves alone (`compat: 'tcprewrite'` only). */
  LengthFrame: 2,
  /** The new framing carries IP only. */
  NotIp: 3,
  /** The new framing has no number for this protocol. */
  ProtocolUnknown: 4,
  /** The link type cannot be converted from or to. */
  LinktypeUnknown: 5,
  /** No destination MAC address is known for an Ethernet header. */
  NoDestinationMac: 6,
  NoSourceMac: 7,
  /** The edited frame would be longer than an IP packet can be. */
  TooLong: 8,
  /** A fragment of a tunnel's packet holds only a part of what is to be taken out of it. */
  Fragment: 9,
} as const;
export type Cause = (typeof Cause)[keyof typeof Cause];

export const CAUSE_NAMES: readonly string[] = [
  'none',
  'undecodable',
  'length-frame',
  'not-ip',
  'protocol-unknown',
  'linktype-unknown',
  'no-destination-mac',
  'no-source-mac',
  'too-long',
  'fragment',
];

/** One cell a packet: every call of `edit` that does not end in `NoRoom` counts in exactly one of the first four. */
export class RewriteCounters {
  edited = 0;
  unchanged = 0;
  dropped = 0;
  failed = 0;
  /** Those of `unchanged` that hold neither an IP nor an ARP packet. */
  unchangedNotIp = 0;
  /** Those of `dropped` that the capture had cut (`fixLength: 'delete'`). */
  cut = 0;
  /** Failed packets by `Cause`. */
  readonly softErrors: Float64Array = new Float64Array(CAUSE_NAMES.length);

  fail(cause: Cause): void {
    this.failed++;
    this.softErrors[cause] = this.softErrors[cause]! + 1;
  }

  /** Cause name -> packets, causes that happened only. */
  failures(): Record<string, number> {
    const found: Record<string, number> = {};
    for (const [cause, packets] of this.softErrors.entries()) {
      if (packets > 0) found[CAUSE_NAMES[cause]!] = packets;
    }
    return found;
  }
}
