/** HOT: classic capture files, µs or ns, in host byte order. No object per packet. */
import os from 'node:os';
import { assert } from '../base/assert.ts';
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { FRAME_BYTES_MAX, type Region } from '../base/region.ts';
import { copyFrame } from './copy.ts';
import { CaptureOutput } from './output.ts';
import { PCAP_FILE_HEADER_BYTES, PCAP_MAGIC_NS, PCAP_MAGIC_US, PCAP_RECORD_HEADER_BYTES } from './pcap_format.ts';
import type { CaptureWriter, CaptureWriterOptions } from './writer.ts';

export const HOST_IS_LITTLE: boolean = os.endianness() === 'LE';

/** FCS length of the link type word: present flag, and the length in 16-bit words. */
function fcsBits(fcsBytes: number | undefined): number {
  if (fcsBytes === undefined || fcsBytes < 0) return 0;
  if (fcsBytes % 2 !== 0 || fcsBytes > 30) {
    throw new OperatorError(
      'USAGE',
      `a pcap file cannot state a frame check sequence of ${fcsBytes} bytes: write pcapng`,
    );
  }
  return (0x04000000 | ((fcsBytes / 2) << 28)) >>> 0;
}

const recordBytes = (view: DataView, at: number): number =>
  PCAP_RECORD_HEADER_BYTES + view.getUint32(at + 8, HOST_IS_LITTLE);

export class PcapWriter implements CaptureWriter {
  readonly #output: CaptureOutput;
  readonly #isNano: boolean;
  #packets = 0;

  constructor(target: string | number, blockBytes: number, options: CaptureWriterOptions) {
    const word = fcsBits(options.fcsBytes ?? options.interfaces?.[0]?.fcsBytes);
    const output = new CaptureOutput(target, blockBytes, {
      lengthAt: (view, at) => (isHeader(at) ? PCAP_FILE_HEADER_BYTES : recordBytes(view, at)),
      isPacketAt: (_view, at) => !isHeader(at),
    });
    // the file header is the first thing in the first block
    const isHeader = (at: number): boolean => at === 0 && output.flushedBytes === 0;
    this.#output = output;
    const first = options.interfaces?.[0];
    this.#isNano = (options.timestampDigits ?? first?.timestampDigits ?? 6) === 9;
    const view = output.view;
    const at = output.reserve(PCAP_FILE_HEADER_BYTES);
    view.setUint32(at, this.#isNano ? PCAP_MAGIC_NS : PCAP_MAGIC_US, HOST_IS_LITTLE);
    view.setUint16(at + 4, 2, HOST_IS_LITTLE);
    view.setUint16(at + 6, 4, HOST_IS_LITTLE);
    view.setUint32(at + 8, 0, HOST_IS_LITTLE);
    view.setUint32(at + 12, 0, HOST_IS_LITTLE);
    view.setUint32(at + 16, options.snaplen ?? first?.snaplen ?? FRAME_BYTES_MAX, HOST_IS_LITTLE);
    view.setUint32(at + 20, word + (options.linktype ?? first?.linktype ?? 1), HOST_IS_LITTLE);
  }

  get name(): string {
    return this.#output.name;
  }

  get packetsWritten(): number {
    return this.#packets - this.#output.lostPackets;
  }

  get bytesWritten(): number {
    return this.#output.flushedBytes + this.#output.used;
  }

  write(region: Region, at: number, caplen: number, len: number, sec: number, nsec: number): void {
    assert(caplen <= FRAME_BYTES_MAX, 'a frame is at most FRAME_BYTES_MAX long');
    const output = this.#output;
    const to = output.reserve(PCAP_RECORD_HEADER_BYTES + caplen);
    const view = output.view;
    view.setUint32(to, sec, HOST_IS_LITTLE);
    view.setUint32(to + 4, this.#isNano ? nsec : Math.floor(nsec / 1000), HOST_IS_LITTLE);
    view.setUint32(to + 8, caplen, HOST_IS_LITTLE);
    view.setUint32(to + 12, len, HOST_IS_LITTLE);
    copyFrame(region, at, output.block, to + PCAP_RECORD_HEADER_BYTES, caplen);
    this.#packets++;
  }

  writeBatch(batch: FrameBatch): void {
    const { region, at, caplen, len, sec, nsec, count } = batch;
    for (let i = 0; i < count; i++) this.write(region, at[i]!, caplen[i]!, len[i]!, sec[i]!, nsec[i]!);
  }

  flush(): void {
    this.#output.flush();
  }

  close(): void {
    this.#output.close();
  }
}
