/**
 * HOT: the key of a copied session as both ends of the tunnel know it: client address and port, service address and
 * port. Eight address words and one word of ports; an IPv4 address is written ::ffff:a.b.c.d (RFC 4291 section
 * 2.5.5.2), so that both families have one layout.
 */
import { mixEnd, mixWord } from '../../flow/hash.ts';

/** Words: client 0..3, service 4..7, client port in the high and service port in the low half of 8. */
export const KEY_WORDS = 9;
export const KEY_CLIENT = 0;
export const KEY_SERVICE = 4;
export const KEY_PORTS = 8;
/** Third word of an IPv4 address written as IPv6. */
export const V4_MAPPED = 0x0000_ffff;

/** Writes an IPv4 address at `word` of a key. */
export function setKeyV4(key: Int32Array, word: number, address: number): void {
  key[word] = 0;
  key[word + 1] = 0;
  key[word + 2] = V4_MAPPED;
  key[word + 3] = address;
}

export function setKeyPorts(key: Int32Array, clientPort: number, servicePort: number): void {
  key[KEY_PORTS] = (clientPort << 16) | servicePort;
}

/** Whether the address at `word` is an IPv4 address. */
export function isKeyV4(key: Int32Array, word: number): boolean {
  return key[word] === 0 && key[word + 1] === 0 && key[word + 2] === V4_MAPPED;
}

export function hashKey(key: Int32Array): number {
  let h = 0x3d1c7a55;
  for (let i = 0; i < KEY_WORDS; i++) h = mixWord(h, key[i]!);
  return mixEnd(h) | 0;
}
