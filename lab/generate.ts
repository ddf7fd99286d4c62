/**
 * Large captures of made traffic: many flows, fixed size and gap, valid TCP and UDP with true checksums (RFC 1071).
 * Streams to the file through one buffer; a million packets take about a second.
 */
import fs from 'node:fs';

export interface GenerateSpec {
  readonly packets: number;
  /** Bytes of a frame as captured (no FCS), 60 to 9,000. */
  readonly size: number;
  /** Flows, taken in turn; 1 to 1,000,000. */
  readonly flows: number;
  /** Nanoseconds between two packets. */
  readonly gapNs: number;
  /** `mixed`: every other flow is UDP. */
  readonly protocol: 'tcp' | 'udp' | 'mixed';
}

export const GENERATE_DEFAULTS: GenerateSpec = {
  packets: 1_000_000,
  size: 64,
  flows: 1000,
  gapNs: 1000,
  protocol: 'mixed',
};

const RECORD_LEN = 16;
const ETHERNET_LEN = 14;
const IPV4_LEN = 20;
const TCP_LEN = 20;
const UDP_LEN = 8;
const CHUNK_BYTES = 1 << 20;
const START_SEC = 1_700_000_000;

/** The frame of a flow without what changes from packet to packet, and the sums over it. */
interface Flow {
  readonly frame: Uint8Array;
  readonly tcp: boolean;
  readonly payload: number;
  readonly ipSum: number;
  readonly transportSum: number;
  seq: number;
  id: number;
}

function wordSum(view: DataView, from: number, to: number): number {
  let sum = 0;
  for (let at = from; at + 1 < to; at += 2) sum += view.getUint16(at);
  if ((to - from) % 2 === 1) sum += view.getUint8(to - 1) << 8;
  return sum;
}

function folded(sum: number): number {
  let rest = sum;
  while (rest > 0xffff) rest = (rest % 0x1_0000) + Math.floor(rest / 0x1_0000);
  return ~rest & 0xffff;
}

function makeFlow(spec: GenerateSpec, index: number): Flow {
  const frame = new Uint8Array(spec.size);
  const view = new DataView(frame.buffer);
  const tcp = spec.protocol === 'tcp' || (spec.protocol === 'mixed' && index % 2 === 0);
  const transport = ETHERNET_LEN + IPV4_LEN;
  frame.set([0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01, 0x08, 0x00]);
  view.setUint16(14, 0x4500);
  view.setUint16(16, spec.size - ETHERNET_LEN);
  view.setUint16(20, 0x4000);
  view.setUint16(22, (64 << 8) | (tcp ? 6 : 17));
  view.setUint32(26, 0x0a000000 + 1 + Math.floor(index / 50_000));
  view.setUint32(30, 0x0a800000 + 1 + (index % 250));
  const ipSum = wordSum(view, ETHERNET_LEN, transport);
  view.setUint16(transport, 10_000 + (index % 50_000));
  view.setUint16(transport + 2, tcp ? 80 : 53);
  if (tcp) {
    view.setUint32(transport + 8, 1);
    view.setUint32(transport + 12, 0x5018_ffff);
  } else {
    view.setUint16(transport + 4, spec.size - transport);
  }
  const headers = transport + (tcp ? TCP_LEN : UDP_LEN);
  for (let at = headers; at < spec.size; at++) frame[at] = 0x20 + ((at * 7 + index) % 95);
  const pseudo = wordSum(view, 26, 34) + (tcp ? 6 : 17) + (spec.size - transport);
  const transportSum = pseudo + wordSum(view, transport, spec.size);
  return { frame, tcp, payload: spec.size - headers, ipSum, transportSum, seq: 1 + index * 1000, id: index };
}

function check(spec: GenerateSpec): void {
  const within = (name: keyof GenerateSpec, min: number, max: number): void => {
    const value = spec[name] as number;
    if (!(Number.isInteger(value) && value >= min && value <= max)) {
      throw new RangeError(`${name} is ${value}: a whole number from ${min} to ${max}`);
    }
  };
  within('packets', 1, 2 ** 32);
  within('size', 60, 9000);
  within('flows', 1, 1_000_000);
  within('gapNs', 0, 3_600_000_000_000);
}

/** Writes packet `n` of its flow at `at`: sequence number, identification and both checksums. */
function writeFrame(out: Uint8Array, view: DataView, at: number, flow: Flow): void {
  out.set(flow.frame, at);
  const transport = at + ETHERNET_LEN + IPV4_LEN;
  flow.id = (flow.id + 1) & 0xffff;
  view.setUint16(at + 18, flow.id);
  view.setUint16(at + 24, folded(flow.ipSum + flow.id));
  if (!flow.tcp) {
    view.setUint16(transport + 6, folded(flow.transportSum) || 0xffff);
    return;
  }
  view.setUint32(transport + 4, flow.seq);
  view.setUint16(transport + 16, folded(flow.transportSum + (flow.seq >>> 16) + (flow.seq & 0xffff)));
  flow.seq = (flow.seq + flow.payload) >>> 0;
}

/** Writes a little-endian nanosecond pcap of Ethernet frames. Returns its length in bytes. */
export function generateCapture(path: string, wanted: Partial<GenerateSpec> = {}): number {
  const spec = { ...GENERATE_DEFAULTS, ...wanted };
  check(spec);
  const flows = Array.from({ length: Math.min(spec.flows, spec.packets) }, (_, index) => makeFlow(spec, index));
  const out = new Uint8Array(CHUNK_BYTES);
  const view = new DataView(out.buffer);
  const file = fs.openSync(path, 'w');
  try {
    [0xa1b23c4d, 0x0004_0002, 0, 0, 262_144, 1].forEach((word, i) => {
      view.setUint32(i * 4, word, true);
    });
    let used = 24;
    let total = 0;
    let sec = START_SEC;
    let nsec = 0;
    for (let n = 0; n < spec.packets; n++) {
      if (used + RECORD_LEN + spec.size > CHUNK_BYTES) {
        total += fs.writeSync(file, out, 0, used);
        used = 0;
      }
      view.setUint32(used, sec, true);
      view.setUint32(used + 4, nsec, true);
      view.setUint32(used + 8, spec.size, true);
      view.setUint32(used + 12, spec.size, true);
      writeFrame(out, view, used + RECORD_LEN, flows[n % flows.length]!);
      used += RECORD_LEN + spec.size;
      nsec += spec.gapNs;
      if (nsec >= 1_000_000_000) {
        sec += Math.floor(nsec / 1_000_000_000);
        nsec %= 1_000_000_000;
      }
    }
    return total + fs.writeSync(file, out, 0, used);
  } finally {
    fs.closeSync(file);
  }
}
