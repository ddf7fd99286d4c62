/** Services and networks as numbers. */
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { SERVICE_WORDS } from './reader.ts';
import type { ServiceSpec } from './spec.ts';

/** Four words of an IP address; IPv4 in the first, the others 0. */
export function addressWords(address: string): readonly number[] {
  if (isIPv4(address)) return [wordOf(address), 0, 0, 0];
  const [head = '', tail] = address.split('%')[0]!.split('::');
  const groups = (text: string): number[] =>
    text
      .split(':')
      .filter((group) => group !== '')
      .flatMap((group) =>
        group.includes('.') ? [wordOf(group) >>> 16, wordOf(group) & 0xffff] : [Number.parseInt(group, 16)],
      );
  const front = groups(head);
  const back = groups(tail ?? '');
  const all = [...front, ...new Array<number>(Math.max(0, 8 - front.length - back.length)).fill(0), ...back];
  return [0, 2, 4, 6].map((i) => (all[i]! << 16) | all[i + 1]!);
}

function wordOf(address: string): number {
  return address.split('.').reduce((word, byte) => (word << 8) | Number(byte), 0);
}

/** For `ReplyReader`. */
export function serviceWords(services: readonly ServiceSpec[]): Int32Array {
  const words = new Int32Array(services.length * SERVICE_WORDS);
  services.forEach(({ address, port }, i) => {
    const at = i * SERVICE_WORDS;
    words[at] = port;
    if (address === null) return;
    words[at + 1] = 1;
    words[at + 2] = isIPv6(address) ? 1 : 0;
    words.set(addressWords(address), at + 3);
  });
  return words;
}

/** The first of `addresses` that lies in none of the networks, or null. */
export function outside(addresses: readonly string[], networks: readonly string[]): string | null {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits = ''] = network.split('/');
    list.addSubnet(address, Number(bits), isIPv6(address) ? 'ipv6' : 'ipv4');
  }
  return addresses.find((address) => !list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')) ?? null;
}
