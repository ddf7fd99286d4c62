/**
 * A device that fills in TCP checksums and cuts what was joined into segments, as kernel and card do (virtio-net
 * header, `src/device/segmentation.ts`). What joins a packet leaves here as a packet of its own at once.
 */
import assert from 'node:assert/strict';
import type { Region } from '../../../src/base/region.ts';
import { checksumAdd, checksumFinish } from '../../../src/wire/checksum.ts';

const ACK_PUSH = 0x18;

export class SegmentingDevice {
  #last: Uint8Array | null = null;
  /** Payload of the first packet; nothing joins what was shorter. */
  #segment = 0;
  #isShort = false;

  /** A built packet whose checksum field holds the sum of the pseudo-header: with its checksum. */
  filled(region: Region, at: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = region.bytes.slice(at, at + length);
    const { view, ip, tcp } = headersOf(bytes);
    const pseudo = checksumAdd(view, ip, tcp, 6 + length - tcp);
    assert.equal(view.getUint16(tcp + 16), pseudo, 'the field holds the sum of the pseudo-header');
    view.setUint16(tcp + 16, checksumFinish(checksumAdd(view, tcp, length)));
    return bytes;
  }

  /** This packet was handed over last. */
  note(bytes: Uint8Array): void {
    const { payload } = headersOf(bytes);
    this.#last = bytes;
    this.#segment = bytes.length - payload;
    this.#isShort = false;
  }

  /** Everything was handed to the kernel. */
  flush(): void {
    this.#last = null;
  }

  /** The segment that these bytes become, or null: they want a packet. */
  join(region: Region, at: number, length: number, isPush: boolean): Uint8Array<ArrayBuffer> | null {
    if (this.#last === null) return null;
    assert.ok(length > 0 && length <= this.#segment, 'a segment is no longer than the first one');
    assert.ok(!this.#isShort, 'nothing follows a segment that is shorter');
    const before = headersOf(this.#last);
    const bytes = new Uint8Array(before.payload + length);
    bytes.set(this.#last.subarray(0, before.payload));
    bytes.set(region.bytes.subarray(at, at + length), before.payload);
    const { view, ip, tcp, isIpv6 } = headersOf(bytes);
    view.setUint32(tcp + 4, (view.getUint32(tcp + 4) + this.#last.length - before.payload) >>> 0);
    view.setUint8(tcp + 13, isPush ? ACK_PUSH : ACK_PUSH & 0x10);
    if (isIpv6) view.setUint16(4, bytes.length - 40);
    else {
      view.setUint16(2, bytes.length);
      view.setUint16(4, view.getUint16(4) + 1);
      view.setUint16(10, 0);
      view.setUint16(10, checksumFinish(checksumAdd(view, 0, 20)));
    }
    view.setUint16(tcp + 16, 0);
    view.setUint16(tcp + 16, checksumFinish(checksumAdd(view, ip, bytes.length, 6 + bytes.length - tcp)));
    this.#last = bytes;
    this.#isShort = length < this.#segment;
    return bytes;
  }
}

/** `ip`: where the addresses begin. */
function headersOf(bytes: Uint8Array): {
  view: DataView;
  ip: number;
  tcp: number;
  payload: number;
  isIpv6: boolean;
} {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isIpv6 = bytes[0]! >> 4 === 6;
  const tcp = isIpv6 ? 40 : 20;
  return { view, ip: isIpv6 ? 8 : 12, tcp, payload: tcp + (bytes[tcp + 12]! >> 4) * 4, isIpv6 };
}
