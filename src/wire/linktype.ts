/** LINKTYPE_ values of capture files (www.tcpdump.org/linktypes.html), names and lookup both ways. */

export const Linktype = {
  NULL: 0,
  EN10MB: 1,
  PPP: 9,
  RAW_BSD: 12, // DLT_RAW of most systems, found in files of old writers
  RAW_OPENBSD: 14,
  PPP_SERIAL: 50,
  PPP_ETHER: 51,
  RAW: 101,
  C_HDLC: 104,
  IEEE802_11: 105,
  LOOP: 108,
  LINUX_SLL: 113,
  IEEE802_11_RADIOTAP: 127,
  USER0: 147,
  JUNIPER_ETHER: 178,
  IPV4: 228,
  IPV6: 229,
  LINUX_SLL2: 276,
} as const;
export type Linktype = (typeof Linktype)[keyof typeof Linktype];

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(Linktype).map(([name, value]) => [value, name.startsWith('RAW_') ? 'RAW' : name] as const),
);

const VALUES: ReadonlyMap<string, number> = new Map<string, number>([
  ...Object.entries(Linktype),
  // tcpreplay's and libpcap's other names
  ['ETHERNET', Linktype.EN10MB],
  ['ENET', Linktype.EN10MB],
  ['HDLC', Linktype.C_HDLC],
  ['LINUXSLL', Linktype.LINUX_SLL],
  ['LINUXSLL2', Linktype.LINUX_SLL2],
  ['PPPSERIAL', Linktype.PPP_SERIAL],
  ['IEEE80211', Linktype.IEEE802_11],
  ['IEEE802_11_RADIO', Linktype.IEEE802_11_RADIOTAP],
  ['RADIOTAP', Linktype.IEEE802_11_RADIOTAP],
  ['JNPR_ETH', Linktype.JUNIPER_ETHER],
]);

/** Bytes of link headers of constant length; 0 where there is none. */
const HEADER_LEN: ReadonlyMap<number, number> = new Map<number, number>([
  [Linktype.NULL, 4],
  [Linktype.EN10MB, 14],
  [Linktype.RAW_BSD, 0],
  [Linktype.RAW_OPENBSD, 0],
  [Linktype.RAW, 0],
  [Linktype.C_HDLC, 4],
  [Linktype.PPP_SERIAL, 4],
  [Linktype.LOOP, 4],
  [Linktype.LINUX_SLL, 16],
  [Linktype.IPV4, 0],
  [Linktype.IPV6, 0],
  [Linktype.LINUX_SLL2, 20],
]);

/** `1` -> `EN10MB`; `LINKTYPE_999` for a number without a name here. */
export function linktypeName(linktype: number): string {
  return NAMES.get(linktype) ?? `LINKTYPE_${linktype}`;
}

/** `EN10MB`, `en10mb`, `LINKTYPE_EN10MB`, `DLT_EN10MB`, `enet`, `1` -> 1; -1 for an unknown name. */
export function linktypeByName(name: string): number {
  const bare = name
    .trim()
    .toUpperCase()
    .replace(/^(LINKTYPE|DLT)_/, '')
    .replaceAll('-', '_');
  const value = VALUES.get(bare);
  if (value !== undefined) return value;
  return /^\d{1,5}$/.test(bare) && Number(bare) <= 0xffff ? Number(bare) : -1;
}

/** Bytes of the link header without tags where its length is constant; -1 where it varies or is unknown. */
export function linkHeaderLen(linktype: number): number {
  return HEADER_LEN.get(linktype) ?? -1;
}

/** True for framings that hold an IP packet and nothing else. */
export function isRawIp(linktype: number): boolean {
  return (
    linktype === Linktype.RAW ||
    linktype === Linktype.IPV4 ||
    linktype === Linktype.IPV6 ||
    linktype === Linktype.RAW_BSD ||
    linktype === Linktype.RAW_OPENBSD
  );
}
