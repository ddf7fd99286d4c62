/**
 * The capture that a rewriting writes: header as the reference tool's, link types checked, stamps within a file's
 * reach.
 */
import fs from 'node:fs';
import { OperatorError } from '../base/errors.ts';
import type { Region } from '../base/region.ts';
import { groupDigits } from '../base/units.ts';
import { type CaptureWriter, createCaptureWriter, type PcapngCaptureWriter } from '../pcap/index.ts';
import { linktypeName } from '../wire/linktype.ts';

/** Stated in the file header, as the reference tool does. */
export const SNAPLEN = 65_535;
const SNAPLEN_AT = 16;
const SECONDS_MAX = 0xffff_ffff;

export interface RewriteOutputSpec {
  readonly path: string;
  readonly format: 'pcap' | 'pcapng';
  readonly digits: 6 | 9;
  /** Of the first frame, or of an empty capture's interface. */
  readonly linktype: number;
}

export class RewriteOutput {
  readonly #spec: RewriteOutputSpec;
  readonly #writer: CaptureWriter;
  /** pcapng: link type of each interface declared. */
  readonly #declared: number[] = [];
  /** pcapng: index here by `interfaceIndex` of the input and link type. */
  readonly #interfaces = new Map<string, number>();
  #longest = 0;

  constructor(spec: RewriteOutputSpec) {
    this.#spec = spec;
    const { path, format, digits, linktype } = spec;
    this.#writer = createCaptureWriter(
      path,
      format === 'pcap'
        ? { format, timestampDigits: digits, linktype, snaplen: SNAPLEN }
        : { format, timestampDigits: digits, interfaces: [] },
    );
  }

  get name(): string {
    return this.#writer.name;
  }

  get packetsWritten(): number {
    return this.#writer.packetsWritten;
  }

  /** Declares an interface of the input, where the format has interfaces. */
  declare(input: number, linktype: number, name: string): number {
    const key = `${input} ${linktype}`;
    const known = this.#interfaces.get(key);
    if (known !== undefined) return known;
    const index = (this.#writer as PcapngCaptureWriter).addInterface({
      linktype,
      snaplen: 0,
      ...(name === '' ? {} : { name }),
    });
    this.#declared.push(linktype);
    this.#interfaces.set(key, index);
    return index;
  }

  /** `input`, `name`: the interface that the frame came from. */
  write(
    region: Region,
    at: number,
    caplen: number,
    len: number,
    sec: number,
    nsec: number,
    linktype: number,
    input: number,
    name: string,
  ): void {
    if (sec < 0 || sec > SECONDS_MAX) this.#refuseStamp(sec);
    if (caplen > this.#longest) this.#longest = caplen;
    if (this.#spec.format === 'pcap') {
      if (linktype !== this.#spec.linktype) this.#refuseLinktype(linktype);
      this.#writer.write(region, at, caplen, len, sec, nsec);
      return;
    }
    this.#writer.write(region, at, caplen, len, sec, nsec, this.declare(input, linktype, name));
  }

  close(): void {
    this.#writer.close();
    // A header that says less than is there makes readers refuse the file.
    if (this.#spec.format === 'pcap' && this.#longest > SNAPLEN) raiseSnaplen(this.#spec.path);
  }

  #refuseLinktype(linktype: number): never {
    const names = `${linktypeName(this.#spec.linktype)} and ${linktypeName(linktype)}`;
    throw new OperatorError(
      'FRAMING',
      `packet ${groupDigits(this.packetsWritten + 1)} of ${this.name} ` +
        `would have another link type (${names}), which a pcap file cannot hold: ` +
        'add --format=pcapng, or --dlt to convert all',
    );
  }

  #refuseStamp(sec: number): never {
    const where = sec < 0 ? 'before 1970' : 'after 2106';
    throw new OperatorError(
      'USAGE',
      `packet ${groupDigits(this.packetsWritten + 1)} of ${this.name} ` +
        `would be stamped ${where}, which a capture cannot say: give another --shift-time or --start-at`,
    );
  }
}

/** Longer frames than the header says were written to a file: the header is made true. */
export function raiseSnaplen(path: string): void {
  const stat = fs.statSync(path, { throwIfNoEntry: false });
  if (path === '-' || stat === undefined || !stat.isFile()) return;
  const fd = fs.openSync(path, 'r+');
  try {
    fs.writeSync(fd, new Uint8Array(new Uint32Array([262_144]).buffer), 0, 4, SNAPLEN_AT);
  } finally {
    fs.closeSync(fd);
  }
}
