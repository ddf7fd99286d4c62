/** What `tsinfo` knows of one capture, as plain data: the JSON object, and what text and page are made of. */
import { histogramQuantile } from '../base/histogram.ts';
import {
  addressText,
  Finding,
  HostCell,
  hostWords,
  SIZE_CLASSES,
  type Survey,
  type SurveyTime,
} from '../flow/survey_index.ts';
import type { CaptureReader } from '../pcap/reader.ts';
import { linktypeName } from '../wire/linktype.ts';
import { Checksum } from '../wire/verify.ts';
import { protocolName } from './info_names.ts';

export interface Counted {
  readonly packets: number;
  /** Number of the first such packet, 0 where there is none. */
  readonly firstPacket: number;
}

export interface ChecksumCounts {
  readonly good: number;
  readonly bad: number;
  /** Not all that is summed was captured, or it is spread over fragments. */
  readonly unknown: number;
}

export interface Traffic {
  readonly name: string;
  readonly packets: number;
  readonly bytes: number;
}

export interface Talker {
  readonly address: string;
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
}

export interface InterfaceFacts {
  readonly linktype: number;
  readonly linktypeName: string;
  readonly snaplen: number;
  readonly name: string;
  readonly description: string;
  readonly timestampDigits: number;
  readonly packets: number;
  /** Packets that the capturing program says it lost; null where it does not say. */
  readonly dropped: number | null;
}

/** All numbers are of the packets in front of `fault`, where there is one. Bytes are those on the wire. */
export interface CaptureFacts {
  readonly path: string;
  readonly format: 'pcap' | 'pcapng';
  readonly compression: 'none' | 'gzip' | 'zstd';
  readonly bigEndian: boolean;
  readonly fileBytes: number | null;
  /** Why the capture could not be read to its end, or null. */
  readonly fault: string | null;
  readonly application: string;
  readonly os: string;
  readonly hardware: string;
  readonly comments: readonly string[];
  readonly interfaces: readonly InterfaceFacts[];
  readonly linktypes: readonly { readonly linktype: number; readonly name: string; readonly packets: number }[];
  readonly packets: number;
  readonly bytes: number;
  readonly capturedBytes: number;
  readonly time: TimeFacts | null;
  readonly sizes: SizeFacts;
  readonly protocols: readonly Traffic[];
  readonly ports: readonly Traffic[];
  readonly fragments: number;
  readonly vlanPackets: number;
  readonly tunnelPackets: number;
  readonly ipChecksums: ChecksumCounts;
  readonly transportChecksums: ChecksumCounts;
  readonly findings: Readonly<Record<FindingName, Counted>>;
  readonly flows: { readonly oneWay: number; readonly packets: number; readonly otherPackets: number };
  readonly tcp: TcpFacts;
  readonly hosts: number;
  readonly talkers: readonly Talker[];
}

export interface TimeFacts {
  /** ISO 8601 with the digits that the stamps carry. */
  readonly first: string;
  readonly last: string;
  /** Latest less earliest. */
  readonly seconds: number;
  /** Null where no time passed. */
  readonly packetsPerSecond: number | null;
  readonly bitsPerSecond: number | null;
  readonly gapNs: {
    readonly p50: number;
    readonly p99: number;
    readonly max: number;
    /** Number of the packet behind the largest gap. */
    readonly maxAtPacket: number;
  };
  readonly backward: Counted & { readonly largestNs: number };
  readonly equal: number;
  /** Packets and bytes in bins of equal length from the first packet on. */
  readonly rate: {
    readonly binSeconds: number;
    readonly packets: readonly number[];
    readonly bytes: readonly number[];
  };
}

export interface SizeFacts {
  readonly min: number;
  readonly max: number;
  readonly maxAtPacket: number;
  readonly mean: number;
  /** Longest IP packet, or what stands in its place, without link header. */
  readonly networkMax: number;
  /** `to` null: no upper end. */
  readonly classes: readonly { readonly from: number; readonly to: number | null; readonly packets: number }[];
}

export interface TcpFacts {
  readonly connections: number;
  readonly complete: number;
  readonly unanswered: number;
  readonly midstream: number;
  readonly finished: number;
  readonly reset: number;
  readonly segments: number;
  readonly retransmissions: number;
  readonly outOfOrder: number;
  readonly keepAlives: number;
  readonly holes: number;
  readonly zeroWindows: number;
  /** Segments of connections beyond the half million that are told apart. */
  readonly untracked: number;
}

export type FindingName =
  | 'cut'
  | 'overlong'
  | 'empty'
  | 'oversize'
  | 'headerCut'
  | 'malformed'
  | 'ipLengthZero'
  | 'ipChecksumBad'
  | 'transportChecksumBad'
  | 'transportChecksumPartial';

const FINDING_NAMES: Readonly<Record<FindingName, Finding>> = {
  cut: Finding.Cut,
  overlong: Finding.Overlong,
  empty: Finding.Empty,
  oversize: Finding.Oversize,
  headerCut: Finding.HeaderCut,
  malformed: Finding.Malformed,
  ipLengthZero: Finding.IpLengthZero,
  ipChecksumBad: Finding.IpChecksumFalse,
  transportChecksumBad: Finding.TransportChecksumFalse,
  transportChecksumPartial: Finding.TransportChecksumPartial,
};

export function captureFacts(reader: CaptureReader, survey: Survey, fault: string | null, top: number): CaptureFacts {
  const { info, details } = reader;
  const { protocols, tcp, flows } = survey;
  const section = details?.sections[0];
  const digits = info.interfaces.reduce((most, each) => Math.max(most, each.timestampDigits), 0);
  return {
    path: info.path,
    format: info.format,
    compression: info.compression,
    bigEndian: info.bigEndian,
    fileBytes: info.byteLength < 0 ? null : info.byteLength,
    fault,
    application: section?.application ?? '',
    os: section?.os ?? '',
    hardware: section?.hardware ?? '',
    comments: details?.sections.flatMap((each) => each.comments) ?? [],
    interfaces: interfaceFacts(reader, survey),
    linktypes: [...survey.linktypes].map(([linktype, packets]) => ({
      linktype,
      name: linktypeName(linktype),
      packets,
    })),
    packets: survey.packets,
    bytes: survey.wireBytes,
    capturedBytes: survey.capturedBytes,
    time: survey.packets === 0 ? null : timeFacts(survey.time, survey.wireBytes, digits),
    sizes: sizeFacts(survey),
    protocols: protocolFacts(survey),
    ports: portFacts(survey, top),
    fragments: protocols.fragments,
    vlanPackets: protocols.vlan,
    tunnelPackets: protocols.tunnels,
    ipChecksums: checksumCounts(survey.ipChecksums),
    transportChecksums: checksumCounts(survey.transportChecksums),
    findings: findings(survey),
    flows: { oneWay: flows.unique, packets: flows.flowPackets, otherPackets: flows.nonFlowPackets },
    tcp: {
      connections: tcp.connections,
      complete: tcp.complete,
      unanswered: tcp.opened,
      midstream: tcp.midstream,
      finished: tcp.finished,
      reset: tcp.reset,
      segments: tcp.segments,
      retransmissions: tcp.retransmissions,
      outOfOrder: tcp.outOfOrder,
      keepAlives: tcp.keepAlives,
      holes: tcp.holes,
      zeroWindows: tcp.zeroWindows,
      untracked: tcp.untracked,
    },
    hosts: survey.hosts.hosts.count,
    talkers: talkers(survey, top),
  };
}

function interfaceFacts(reader: CaptureReader, survey: Survey): InterfaceFacts[] {
  const { info, details } = reader;
  return info.interfaces.map((each, i) => {
    const last = details?.statistics.findLast((one) => one.interfaceIndex === i);
    return {
      linktype: each.linktype,
      linktypeName: linktypeName(each.linktype),
      snaplen: each.snaplen,
      name: each.name,
      description: details?.interfaces[i]?.description ?? '',
      timestampDigits: each.timestampDigits,
      packets: survey.interfaces.get(i) ?? 0,
      dropped: last === undefined || last.dropped < 0 ? null : last.dropped,
    };
  });
}

function timeFacts(time: SurveyTime, bytes: number, digits: number): TimeFacts {
  const seconds = time.spanNs / 1e9;
  const rate = (amount: number): number | null => (seconds > 0 ? amount / seconds : null);
  return {
    first: stampText(time.firstSec, time.firstNsec, digits),
    last: stampText(time.lastSec, time.lastNsec, digits),
    seconds,
    packetsPerSecond: rate(time.packets),
    bitsPerSecond: rate(bytes * 8),
    gapNs: {
      p50: histogramQuantile(time.gaps, 0.5),
      p99: histogramQuantile(time.gaps, 0.99),
      max: time.gapNsMax,
      maxAtPacket: time.gapAt,
    },
    backward: { packets: time.backward, firstPacket: time.backwardFirst, largestNs: time.backwardNsMax },
    equal: time.equal,
    rate: {
      binSeconds: time.binNs / 1e9,
      packets: Array.from(time.binPackets.subarray(0, time.bins)),
      bytes: Array.from(time.binBytes.subarray(0, time.bins)),
    },
  };
}

/** `2026-11-22T20:25:00.779093Z`. Stamps of pcap fit in 32 bits of seconds; others are given as seconds. */
export function stampText(sec: number, nsec: number, digits: number): string {
  const fraction = String(nsec).padStart(9, '0').slice(0, digits);
  const dot = fraction === '' ? '' : '.';
  if (!(sec >= 0 && sec < 8.64e12)) return `${sec}${dot}${fraction}`;
  return `${new Date(sec * 1000).toISOString().slice(0, -5)}${dot}${fraction}Z`;
}

function sizeFacts(survey: Survey): SizeFacts {
  return {
    min: survey.sizeMin,
    max: survey.sizeMax,
    maxAtPacket: survey.sizeMaxAt,
    mean: survey.packets === 0 ? 0 : survey.wireBytes / survey.packets,
    networkMax: survey.networkBytesMax,
    classes: SIZE_CLASSES.map((from, i) => {
      const next = SIZE_CLASSES[i + 1];
      return { from, to: next === undefined ? null : next - 1, packets: survey.sizes[i]! };
    }),
  };
}

/** Most packets first. */
function protocolFacts(survey: Survey): Traffic[] {
  const { protocols } = survey;
  const rows: Traffic[] = [];
  for (let number = 0; number < 256; number++) {
    const packets = protocols.ipPackets[number]!;
    if (packets > 0) rows.push({ name: protocolName(number), packets, bytes: protocols.ipBytes[number]! });
  }
  if (protocols.arp > 0) rows.push({ name: 'ARP', packets: protocols.arp, bytes: protocols.arpBytes });
  if (protocols.others > 0) rows.push({ name: 'not IP', packets: protocols.others, bytes: protocols.otherBytes });
  return rows.sort((a, b) => b.packets - a.packets || (a.name < b.name ? -1 : 1));
}

function portFacts(survey: Survey, top: number): Traffic[] {
  const { portPackets, portBytes } = survey.protocols;
  const rows: Traffic[] = [];
  for (let cell = 0; cell < portPackets.length; cell++) {
    const packets = portPackets[cell]!;
    if (packets === 0) continue;
    const name = `${cell & 0xffff}/${cell < 65_536 ? 'tcp' : 'udp'}`;
    rows.push({ name, packets, bytes: portBytes[cell]! });
  }
  return rows.sort((a, b) => b.bytes - a.bytes || b.packets - a.packets).slice(0, top);
}

function checksumCounts(verdicts: Float64Array): ChecksumCounts {
  return {
    good: verdicts[Checksum.True]!,
    bad: verdicts[Checksum.False]!,
    unknown: verdicts[Checksum.Unknown]!,
  };
}

function findings(survey: Survey): Record<FindingName, Counted> {
  const out: Partial<Record<FindingName, Counted>> = {};
  for (const [name, finding] of Object.entries(FINDING_NAMES) as [FindingName, Finding][]) {
    out[name] = { packets: survey.findings[finding]!, firstPacket: survey.findingFirst[finding]! };
  }
  return out as Record<FindingName, Counted>;
}

function talkers(survey: Survey, top: number): Talker[] {
  const { hosts } = survey;
  return hosts.top(top).map((id) => ({
    address: addressText(hosts.hosts.version(id), hostWords(hosts.hosts, id)),
    sentPackets: hosts.of(id, HostCell.SentPackets),
    sentBytes: hosts.of(id, HostCell.SentBytes),
    receivedPackets: hosts.of(id, HostCell.ReceivedPackets),
    receivedBytes: hosts.of(id, HostCell.ReceivedBytes),
  }));
}
