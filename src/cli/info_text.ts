/** The text report of `tsinfo`. */
import { formatNs, groupDigits } from '../base/units.ts';
import { bar, columnChart, gather } from './info_chart.ts';
import type { CaptureFacts, ChecksumCounts, TimeFacts, Traffic } from './info_facts.ts';
import type { Obstacle } from './info_ready.ts';

const LABEL_COLUMNS = 14;
const CHART_COLUMNS = 64;
const CHART_ROWS = 5;
const BAR_COLUMNS = 40;

/** `charts` false: without those made of characters. */
export function* factLines(facts: CaptureFacts, style: { readonly charts: boolean }): Generator<string> {
  yield* fileLines(facts);
  if (facts.time === null) return;
  yield* timeLines(facts, facts.time);
  yield* sizeLines(facts);
  yield* checkLines(facts);
  yield* trafficLines(facts);
  if (!style.charts) return;
  yield* rateChart(facts.time);
  yield* sizeChart(facts);
}

/** `Ready to replay: yes`, or a line per obstacle. */
export function* readyLines(path: string, found: readonly Obstacle[]): Generator<string> {
  const blocking = found.filter((obstacle) => obstacle.blocks).length;
  const verdict = found.length === 0 ? 'yes' : blocking === 0 ? 'yes, but' : 'no';
  yield `Ready to replay ${path}: ${verdict}`;
  for (const { blocks, packets, firstPacket, what, remedy } of found) {
    const share = packets === 0 ? '' : `${groupDigits(packets)} × `;
    const first = firstPacket > 0 ? ` (first: packet ${groupDigits(firstPacket)})` : '';
    yield `  ${blocks ? '✗' : '•'} ${share}${what}${first}: ${remedy}`;
  }
}

function row(label: string, value: string): string {
  return `${`${label}:`.padEnd(LABEL_COLUMNS)} ${value}`;
}

function* fileLines(facts: CaptureFacts): Generator<string> {
  yield row('File', facts.path);
  const size = facts.fileBytes === null ? 'a stream' : `${groupDigits(facts.fileBytes)} bytes`;
  const packed = facts.compression === 'none' ? '' : ` in ${facts.compression}`;
  yield row('Format', `${facts.format}${packed}, ${facts.bigEndian ? 'big' : 'little'}-endian, ${size}`);
  const made = [facts.application, facts.os, facts.hardware].filter((part) => part !== '');
  if (made.length > 0) yield row('Made by', made.join('; '));
  for (const comment of facts.comments) yield row('Comment', comment.replace(/\s+/g, ' '));
  for (const [i, each] of facts.interfaces.entries()) {
    const name = each.name === '' ? '' : `${each.name}${each.description === '' ? '' : ` (${each.description})`}: `;
    const snaplen = each.snaplen === 0 ? 'no snaplen' : `snaplen ${groupDigits(each.snaplen)}`;
    const dropped = each.dropped === null ? '' : `, ${groupDigits(each.dropped)} lost by the capture`;
    const packets = facts.interfaces.length > 1 ? `, ${count(each.packets, 'packet')}` : '';
    const stamps = `10^-${each.timestampDigits} s stamps`;
    const label = facts.interfaces.length > 1 ? `Interface ${i}` : 'Interface';
    yield row(label, `${name}${each.linktypeName}, ${snaplen}, ${stamps}${packets}${dropped}`);
  }
  const captured = facts.capturedBytes === facts.bytes ? '' : `, ${groupDigits(facts.capturedBytes)} captured`;
  yield row('Packets', `${groupDigits(facts.packets)}, ${groupDigits(facts.bytes)} bytes${captured}`);
}

function* timeLines(facts: CaptureFacts, time: TimeFacts): Generator<string> {
  yield row('First', time.first);
  yield row('Last', time.last);
  yield row('Duration', `${time.seconds} s`);
  if (time.packetsPerSecond !== null && time.bitsPerSecond !== null) {
    yield row('Rate', `${decimal(time.packetsPerSecond)} packets/s, ${bits(time.bitsPerSecond)}`);
  }
  const { gapNs, backward } = time;
  if (facts.packets > 1) {
    const at = gapNs.max > 0 ? ` (in front of packet ${groupDigits(gapNs.maxAtPacket)})` : '';
    yield row(
      'Gaps',
      `median ${formatNs(gapNs.p50)}, 99 % ${formatNs(gapNs.p99)}, longest ${formatNs(gapNs.max)}${at}`,
    );
  }
  const first = `, first packet ${groupDigits(backward.firstPacket)}, by up to ${formatNs(backward.largestNs)}`;
  const order = backward.packets === 0 ? 'yes' : `no: ${count(backward.packets, 'packet')} too early${first}`;
  const equal = time.equal === 0 ? '' : `; ${groupDigits(time.equal)} with the stamp of the one in front`;
  yield row('Time order', `${order}${equal}`);
}

function* sizeLines(facts: CaptureFacts): Generator<string> {
  const { sizes, findings } = facts;
  const longest = `${groupDigits(sizes.max)} bytes (packet ${groupDigits(sizes.maxAtPacket)})`;
  const range = `${groupDigits(sizes.min)} to ${longest}`;
  yield row('Lengths', `${range}, mean ${decimal(sizes.mean)}; longest IP packet ${groupDigits(sizes.networkMax)}`);
  const odd: string[] = [];
  const add = (packets: number, what: string): void => {
    if (packets > 0) odd.push(`${groupDigits(packets)} ${what}`);
  };
  add(findings.oversize.packets, 'longer than the MTU');
  add(findings.cut.packets, 'cut by the snaplen');
  add(findings.empty.packets, 'without a byte');
  add(findings.overlong.packets, 'longer than on the wire');
  add(findings.headerCut.packets, 'with cut headers');
  add(findings.malformed.packets, 'malformed');
  add(findings.ipLengthZero.packets, 'with IP length 0');
  if (odd.length > 0) yield row('Unusual', odd.join(', '));
}

function* checkLines(facts: CaptureFacts): Generator<string> {
  const ip = checksums(facts.ipChecksums, 0);
  const partial = facts.findings.transportChecksumPartial.packets;
  yield row('Checksums', `IPv4 ${ip}; TCP, UDP, ICMP ${checksums(facts.transportChecksums, partial)}`);
}

function checksums(counts: ChecksumCounts, partial: number): string {
  const parts: string[] = [];
  const bad = counts.bad - partial;
  if (counts.good > 0) parts.push(`${groupDigits(counts.good)} good`);
  if (bad > 0) parts.push(`${groupDigits(bad)} bad`);
  if (partial > 0) parts.push(`${groupDigits(partial)} partial`);
  if (counts.unknown > 0) parts.push(`${groupDigits(counts.unknown)} not to be told`);
  return parts.length === 0 ? 'none' : parts.join(', ');
}

function* trafficLines(facts: CaptureFacts): Generator<string> {
  const more = [
    [facts.fragments, 'fragments'],
    [facts.vlanPackets, 'with VLAN tags'],
    [facts.tunnelPackets, 'in tunnels'],
  ] as const;
  const extra = more.filter(([n]) => n > 0).map(([n, what]) => `${groupDigits(n)} ${what}`);
  const protocols = facts.protocols.map((each) => `${each.name} ${groupDigits(each.packets)}`);
  yield row('Protocols', [...protocols, ...extra].join(', '));
  const { flows, tcp } = facts;
  yield row('Flows', `${groupDigits(flows.oneWay)} (each direction counts), ${count(facts.hosts, 'host')}`);
  if (tcp.segments > 0) {
    const parts = [`${groupDigits(tcp.complete)} with whole handshake`];
    if (tcp.unanswered > 0) parts.push(`${groupDigits(tcp.unanswered)} with half a handshake`);
    if (tcp.midstream > 0) parts.push(`${groupDigits(tcp.midstream)} met in the middle`);
    parts.push(`${groupDigits(tcp.finished)} closed`, `${groupDigits(tcp.reset)} reset`);
    yield row('TCP', `${count(tcp.connections, 'connection')}: ${parts.join(', ')}`);
    yield `${' '.repeat(LABEL_COLUMNS + 1)}${count(tcp.segments, 'segment')}: ${segmentWords(facts)}`;
  }
  yield* table('Talkers', facts.talkers.map(talkerRow));
  yield* table('Ports', facts.ports.map(portRow));
}

function segmentWords({ tcp }: CaptureFacts): string {
  const parts = [`${groupDigits(tcp.retransmissions)} sent again`, `${groupDigits(tcp.outOfOrder)} out of order`];
  parts.push(`${groupDigits(tcp.holes)} behind a hole`);
  if (tcp.keepAlives > 0) parts.push(`${groupDigits(tcp.keepAlives)} keep-alives`);
  if (tcp.zeroWindows > 0) parts.push(`${groupDigits(tcp.zeroWindows)} with window 0`);
  if (tcp.untracked > 0) parts.push(`${groupDigits(tcp.untracked)} of connections not followed`);
  return parts.join(', ');
}

function talkerRow(talker: CaptureFacts['talkers'][number]): readonly string[] {
  const { sentPackets, sentBytes, receivedPackets, receivedBytes } = talker;
  const sent = `sent ${groupDigits(sentPackets)} packets, ${groupDigits(sentBytes)} bytes`;
  return [talker.address, sent, `received ${groupDigits(receivedPackets)}, ${groupDigits(receivedBytes)} bytes`];
}

function portRow(port: Traffic): readonly string[] {
  return [port.name, `${groupDigits(port.packets)} packets`, `${groupDigits(port.bytes)} bytes`];
}

/** Rows of three cells under a heading; nothing where there are none. */
function* table(heading: string, rows: readonly (readonly string[])[]): Generator<string> {
  if (rows.length === 0) return;
  yield '';
  yield `${heading}:`;
  const widths = [0, 1].map((k) => rows.reduce((most, cells) => Math.max(most, cells[k]!.length), 0));
  for (const [a, b, c] of rows as readonly (readonly [string, string, string])[]) {
    yield `  ${a.padEnd(widths[0]!)}  ${b.padEnd(widths[1]!)}  ${c}`;
  }
}

function* rateChart(time: TimeFacts): Generator<string> {
  const { rate } = time;
  if (rate.packets.length < 2) return;
  const columns = gather(rate.packets, CHART_COLUMNS);
  const seconds = (rate.packets.length * rate.binSeconds) / columns.length;
  const most = Math.max(...columns);
  yield '';
  yield `Packets over time: a column is ${formatNs(seconds * 1e9)}, the highest ${decimal(most / seconds)} packets/s`;
  for (const line of columnChart(columns, CHART_ROWS)) yield `  ${line.trimEnd()}`;
  yield `  ${'▔'.repeat(columns.length)}`;
}

function* sizeChart(facts: CaptureFacts): Generator<string> {
  const { classes } = facts.sizes;
  const most = Math.max(...classes.map((each) => each.packets));
  yield '';
  yield 'Packet lengths in bytes:';
  for (const { from, to, packets } of classes) {
    if (packets === 0) continue;
    const range = to === null ? `${from} and more` : `${from} to ${to}`;
    const share = ((packets / facts.packets) * 100).toFixed(1);
    yield `  ${range.padStart(14)}  ${bar(packets, most, BAR_COLUMNS)} ${groupDigits(packets)} (${share} %)`;
  }
}

function count(n: number, noun: string): string {
  return `${groupDigits(n)} ${noun}${n === 1 ? '' : 's'}`;
}

/** Three digits or more, without more decimals than they need. */
function decimal(n: number): string {
  return n >= 100 ? groupDigits(n) : n.toFixed(n >= 10 ? 1 : 2);
}

function bits(perSecond: number): string {
  if (perSecond >= 1e9) return `${(perSecond / 1e9).toFixed(2)} Gbit/s`;
  if (perSecond >= 1e6) return `${(perSecond / 1e6).toFixed(2)} Mbit/s`;
  return `${(perSecond / 1e3).toFixed(2)} kbit/s`;
}
