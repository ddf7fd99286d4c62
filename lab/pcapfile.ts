/**
 * A small, plain reader and writer of capture files for tests and scripts: whole files in memory, an object a packet.
 * It shares nothing with `src/pcap`, so that one can be checked against the other. Layouts:
 * draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
 */
import fs from 'node:fs';

export interface PcapPacket {
  readonly sec: number;
  readonly nsec: number;
  /** Bytes on the wire. */
  readonly len: number;
  readonly data: Buffer;
}

export interface PcapFile {
  readonly linktype: number;
  readonly snaplen: number;
  readonly precision: 'micro' | 'nano';
  readonly bigEndian: boolean;
  readonly packets: readonly PcapPacket[];
}

const MAGIC_MICRO = 0xa1b2c3d4;
const MAGIC_NANO = 0xa1b23c4d;
const FILE_HEADER_LEN = 24;
const RECORD_HEADER_LEN = 16;

/** Reads a pcap file (not pcapng). A packet that is not there whole (a capture still running) ends the reading. */
export function readPcap(path: string): PcapFile {
  const bytes = fs.readFileSync(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < FILE_HEADER_LEN)
    return { linktype: 1, snaplen: 0, precision: 'nano', bigEndian: false, packets: [] };
  const bigEndian = [MAGIC_MICRO, MAGIC_NANO].includes(view.getUint32(0));
  const u32 = (at: number): number => view.getUint32(at, !bigEndian);
  const magic = u32(0);
  if (magic !== MAGIC_MICRO && magic !== MAGIC_NANO) throw new Error(`${path} is not a pcap file`);
  const precision = magic === MAGIC_NANO ? 'nano' : 'micro';
  const packets: PcapPacket[] = [];
  for (let at = FILE_HEADER_LEN; at + RECORD_HEADER_LEN <= bytes.length; ) {
    const caplen = u32(at + 8);
    const start = at + RECORD_HEADER_LEN;
    if (start + caplen > bytes.length) break;
    const nsec = u32(at + 4) * (precision === 'nano' ? 1 : 1000);
    packets.push({ sec: u32(at), nsec, len: u32(at + 12), data: bytes.subarray(start, start + caplen) });
    at = start + caplen;
  }
  return { linktype: u32(20) & 0x0fff_ffff, snaplen: u32(16), precision, bigEndian, packets };
}

/** The bytes of a pcap file in the precision and byte order that `file` names. */
export function encodePcap(file: PcapFile): Buffer {
  const u32 = words(file.bigEndian);
  const header = [file.precision === 'nano' ? MAGIC_NANO : MAGIC_MICRO];
  const version = Buffer.alloc(4);
  const view = new DataView(version.buffer, version.byteOffset, 4);
  view.setUint16(0, 2, !file.bigEndian);
  view.setUint16(2, 4, !file.bigEndian);
  const parts: Buffer[] = [u32(header), version, u32([0, 0, file.snaplen, file.linktype])];
  for (const packet of file.packets) {
    const fraction = file.precision === 'nano' ? packet.nsec : Math.floor(packet.nsec / 1000);
    parts.push(u32([packet.sec, fraction, packet.data.length, packet.len]), packet.data);
  }
  return Buffer.concat(parts);
}

function words(bigEndian: boolean): (values: readonly number[]) => Buffer {
  return (values) => {
    const bytes = Buffer.alloc(values.length * 4);
    values.forEach((value, i) => {
      if (bigEndian) bytes.writeUInt32BE(value >>> 0, i * 4);
      else bytes.writeUInt32LE(value >>> 0, i * 4);
    });
    return bytes;
  };
}

export interface PcapngInterface {
  readonly name: string;
  readonly file: PcapFile;
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);

/**
 * The bytes of a pcapng file of one section: an interface description for each capture (with `if_name` and
 * `if_tsresol`), then the packets of all of them in order of time. Byte order: that of the first capture.
 */
export function encodePcapng(interfaces: readonly PcapngInterface[], comment = ''): Buffer {
  const bigEndian = interfaces[0]?.file.bigEndian ?? false;
  const u32 = words(bigEndian);
  const u16 = (a: number, b: number): Buffer => (bigEndian ? u32([a * 0x1_0000 + b]) : u32([b * 0x1_0000 + a]));
  const option = (code: number, value: Buffer): Buffer => Buffer.concat([u16(code, value.length), padded(value)]);
  const block = (type: number, body: Buffer): Buffer => {
    const total = u32([body.length + 12]);
    return Buffer.concat([u32([type]), total, body, total]);
  };
  const end = u32([0]);
  const options = comment === '' ? [] : [option(1, Buffer.from(comment)), end];
  const unknownLength = u32([0xffff_ffff, 0xffff_ffff]);
  const parts = [block(0x0a0d0d0a, Buffer.concat([u32([0x1a2b3c4d]), u16(1, 0), unknownLength, ...options]))];
  for (const { name, file } of interfaces) {
    const resolution = option(9, Buffer.from([file.precision === 'nano' ? 9 : 6]));
    const body = [u16(file.linktype, 0), u32([file.snaplen]), option(2, Buffer.from(name)), resolution, end];
    parts.push(block(1, Buffer.concat(body)));
  }
  const all = interfaces.flatMap(({ file }, index) => file.packets.map((packet) => ({ index, file, packet })));
  all.sort((x, y) => x.packet.sec - y.packet.sec || x.packet.nsec - y.packet.nsec);
  for (const { index, file, packet } of all) {
    const perSecond = file.precision === 'nano' ? 1_000_000_000n : 1_000_000n;
    const stamp = BigInt(packet.sec) * perSecond + BigInt(packet.nsec) / (file.precision === 'nano' ? 1n : 1000n);
    const head = u32([index, Number(stamp >> 32n), Number(stamp & 0xffff_ffffn), packet.data.length, packet.len]);
    parts.push(block(6, Buffer.concat([head, padded(packet.data)])));
  }
  return Buffer.concat(parts);
}
