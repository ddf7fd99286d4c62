/**
 * `--dump`: the structure of a pcap file line by line, byte for byte what tcpcapinfo prints. Reads records as they
 * stand, without the checks of a capture reader, and stops where the reference stops; what stopped it is returned.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { OperatorError } from '../base/errors.ts';
import { reasonOf } from './inputs.ts';
import type { Terminal } from './terminal.ts';

const HEADER_BYTES = 24;
const RECORD_BYTES = 16;
/** Kuznetzov's records go on with interface index, protocol and packet type. */
const KUZNETZOV_RECORD_BYTES = 24;
const BUFFER_BYTES = 1 << 20;
/** Larger packets are taken for damage, whatever the snap length says. */
const PACKET_BYTES_MAX = 262_144;
const LINES_AT_ONCE = 1000;

interface Magic {
  readonly name: string;
  readonly little: boolean;
}

/** By the first word read as little-endian. */
const MAGICS: ReadonlyMap<number, Magic> = new Map([
  [0xa1b2c3d4, { name: 'tcpdump', little: true }],
  [0xd4c3b2a1, { name: 'tcpdump/swapped', little: false }],
  [0xa1b2cd34, { name: 'Kuznetzov', little: true }],
  [0x34cdb2a1, { name: 'Kuznetzov/swapped', little: false }],
  [0xa1b234cd, { name: 'Fmesquita', little: true }],
  [0xcd34b2a1, { name: 'Fmesquita', little: false }],
  [0xa12b3c4d, { name: 'Navtel', little: true }],
  [0x4d3c2ba1, { name: 'Navtel/swapped', little: false }],
  [0xa1b23c4d, { name: 'Nsec', little: true }],
  [0x4d3cb2a1, { name: 'Nsec/swapped', little: false }],
]);

/** Prints one file. Returns a sentence on what is wrong with it, or null. Throws FILE where it cannot be read. */
export function dumpFile(path: string, terminal: Terminal): string | null {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    throw new OperatorError('FILE', `${path} cannot be opened: ${reasonOf(error)}`, { cause: error });
  }
  try {
    return new Dump(path, fd, terminal).run();
  } finally {
    closeSync(fd);
  }
}

class Dump {
  readonly #path: string;
  readonly #fd: number;
  readonly #terminal: Terminal;
  readonly #bytes = new Uint8Array(BUFFER_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #begin = 0;
  #end = 0;
  #offset = 0;
  #lines: string[] = [];

  constructor(path: string, fd: number, terminal: Terminal) {
    this.#path = path;
    this.#fd = fd;
    this.#terminal = terminal;
  }

  run(): string | null {
    try {
      return this.#file();
    } finally {
      this.#flush();
    }
  }

  /** Makes `length` bytes readable at #begin; false at the end of the file. */
  #need(length: number): boolean {
    if (this.#end - this.#begin >= length) return true;
    this.#bytes.copyWithin(0, this.#begin, this.#end);
    this.#end -= this.#begin;
    this.#begin = 0;
    while (this.#end < length) {
      const got = readSync(this.#fd, this.#bytes, this.#end, BUFFER_BYTES - this.#end, null);
      if (got === 0) return false;
      this.#end += got;
    }
    return true;
  }

  #skip(length: number): void {
    this.#begin += length;
    this.#offset += length;
  }

  #print(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length >= LINES_AT_ONCE) this.#flush();
  }

  #flush(): void {
    if (this.#lines.length > 0) this.#terminal.out(this.#lines.join('\n'));
    this.#lines = [];
  }

  #file(): string | null {
    this.#print(`file size   = ${fstatSync(this.#fd).size} bytes`);
    if (!this.#need(HEADER_BYTES)) return `${this.#path} is too short for a pcap file header of ${HEADER_BYTES} bytes`;
    const view = this.#view;
    const at = this.#begin;
    const word = view.getUint32(at, true);
    const magic = MAGICS.get(word);
    const little = magic?.little ?? true;
    const u32 = (offset: number): number => view.getUint32(at + offset, little);
    const order = little ? 'little' : 'big';
    const snaplen = u32(16);
    const major = view.getUint16(at + 4, little);
    const minor = view.getUint16(at + 6, little);
    const named = magic === undefined ? '(unknown)' : `(${magic.name}) (${order}-endian)`;
    this.#print(`magic       = 0x${hex(word, 8)} ${named}`);
    this.#print(`version     = ${major}.${minor}`);
    this.#print(`thiszone    = 0x${hex(u32(8), 8)}`);
    this.#print(`sigfigs     = 0x${hex(u32(12), 8)}`);
    this.#print(`snaplen     = ${snaplen}`);
    this.#print(`linktype    = 0x${hex(u32(20), 8)}`);
    if (major !== 2 && minor !== 4) {
      this.#print('Sorry, we only support file format version 2.4');
      return `${this.#path} is no pcap file of version 2.4: --dump shows plain pcap only (leave it out for pcapng)`;
    }
    this.#skip(HEADER_BYTES);
    return this.#records(little, magic?.name.startsWith('Kuznetzov') ?? false, snaplen);
  }

  #records(little: boolean, kuznetzov: boolean, snaplen: number): string | null {
    const view = this.#view;
    this.#print(
      kuznetzov
        ? 'Packet\tOrigLen\t\tCaplen\t\tTimestamp\t\tIndex\tProto\tPktType\tPktCsum\tNote'
        : 'Packet\tOrigLen\t\tCaplen\t\tTimestamp\tCsum\tNote',
    );
    const recordBytes = kuznetzov ? KUZNETZOV_RECORD_BYTES : RECORD_BYTES;
    let lastSec = 0;
    let lastFraction = 0;
    for (let number = 1; ; number++) {
      if (!this.#need(recordBytes)) return this.#atEnd(number, recordBytes);
      const at = this.#begin;
      const sec = view.getUint32(at, little);
      const fraction = view.getUint32(at + 4, little);
      const caplen = view.getUint32(at + 8, little);
      const lengths = `${pad(view.getUint32(at + 12, little))}\t\t${pad(caplen)}`;
      const head = `${number}\t${lengths}\t\t${hex(sec)}.${hex(fraction)}`;
      const more = kuznetzov ? this.#kuznetzov(at + RECORD_BYTES, little) : '';
      const place = `${this.#path}: packet ${number} at byte ${this.#offset}`;
      this.#skip(recordBytes);
      if (caplen > snaplen || caplen > PACKET_BYTES_MAX) {
        this.#print(`${head}${more}\n\nCapture file appears to be damaged or corrupt.`);
        this.#print(`Contains packet of size ${caplen}, bigger than snap length ${snaplen}`);
        return `${place} has ${caplen} bytes, more than the snap length ${snaplen}`;
      }
      if (!this.#need(caplen)) {
        this.#print(`${head}${more}File truncated!  Unable to jump to next packet.`);
        return `${place}: the file ends in it`;
      }
      const backward = number > 1 && (sec < lastSec || (sec === lastSec && fraction < lastFraction));
      this.#print(`${head}${more}\t${hex(this.#sum(caplen))}\t${backward ? 'BAD_TS' : 'OK'}`);
      this.#skip(caplen);
      lastSec = sec;
      lastFraction = fraction;
    }
  }

  #atEnd(number: number, recordBytes: number): string | null {
    const left = this.#end - this.#begin;
    if (left === 0) return null;
    const where = `${this.#path}: packet ${number} at byte ${this.#offset}`;
    return `${where}: the file ends after ${left} of the ${recordBytes} bytes of its record header`;
  }

  #kuznetzov(at: number, little: boolean): string {
    const view = this.#view;
    const index = pad(view.getUint32(at, little));
    return `\t\t${index}\t${pad(view.getUint16(at + 4, little))}\t${pad(view.getUint8(at + 6))}`;
  }

  /** 16-bit words in little-endian order added up, not folded, not inverted; an odd last byte is a low one. */
  #sum(length: number): number {
    const view = this.#view;
    const end = this.#begin + length;
    let sum = 0;
    let at = this.#begin;
    for (; at + 1 < end; at += 2) sum += view.getUint16(at, true);
    if (at < end) sum += view.getUint8(at);
    return sum >>> 0;
  }
}

function hex(n: number, digits = 1): string {
  return n.toString(16).padStart(digits, '0');
}

function pad(n: number): string {
  return String(n).padStart(4);
}
