/** Address blocks as predicates over hosts, and the choice of packets by them. */
import type { HostPredicate } from './direction.ts';

/** `words`: one u32 (IPv4) or four, most significant first. */
export interface AddressBlock {
  readonly version: 4 | 6;
  readonly words: readonly number[];
  /** 0..32 or 0..128. */
  readonly prefixLength: number;
}

/** True for hosts in at least one of the blocks. */
export function blockPredicate(blocks: readonly AddressBlock[]): HostPredicate {
  return (version, words) => blocks.some((block) => holds(block, version, words));
}

function holds(block: AddressBlock, version: 4 | 6, words: readonly number[]): boolean {
  return block.version === version && commonPrefix(block.words, words) >= block.prefixLength;
}

/** Leading bits that two addresses of one version share. */
export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) {
    const differ = a[i]! ^ b[i]!;
    if (differ !== 0) return i * 32 + Math.clz32(differ);
  }
  return a.length * 32;
}
