/** IP addresses as words and as text. */
import { addressBytes } from '../../device/addressing.ts';
import type { SparedNetwork } from '../spared.ts';
import type { AddressWords } from '../targets.ts';

/** Precondition: `node:net` `isIP(text)` is not 0. */
export function addressWords(text: string): AddressWords {
  const bytes = addressBytes(text);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength === 4) return [view.getUint32(0)];
  return [view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12)];
}

/** Precondition: `text` is a network, or an address, that the kernel or `tsintercept` has written: `10.1.0.0/16`. */
export function sparedNetwork(text: string): SparedNetwork {
  const [address = '', bits] = text.split('/');
  const words = addressWords(address);
  return { isIpv6: words.length === 4, words, prefixLength: bits === undefined ? words.length * 32 : Number(bits) };
}

export function addressText(words: AddressWords): string {
  if (words.length === 1) {
    const word = words[0] >>> 0;
    return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.');
  }
  return words.flatMap((word) => [(word >>> 16).toString(16), (word & 0xffff).toString(16)]).join(':');
}
