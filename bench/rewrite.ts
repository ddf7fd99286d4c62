/**
 * What an edit costs: nanoseconds a packet of `--pnat --portmap --ttl`, and of decoding alone, over a batch of TCP
 * packets in plain memory. `node dist/bench/rewrite.js`
 */
import { FrameBatch } from '../src/base/batch.ts';
import { plainRegion } from '../src/base/region.ts';
import {
  compileRewriter,
  Direction,
  EMPTY_REWRITE,
  parseAddressMap,
  parsePortMap,
  type RewriteSpec,
} from '../src/rewrite/index.ts';
import { decode } from '../src/wire/decode.ts';
import { Layers } from '../src/wire/layers.ts';
import { Linktype } from '../src/wire/linktype.ts';

/** A usual batch: fits the cache, as it does in a replay. */
const FRAMES = 256;
const SLOT = 128;
const ROUNDS = 4000;
const REPEATS = 7;

/** Ethernet, then IPv4 or IPv6, then TCP with ports 40000 and 80. */
function frames(version: 4 | 6): FrameBatch {
  const region = plainRegion(FRAMES * SLOT);
  const batch = new FrameBatch(FRAMES, region);
  const { view } = region;
  for (let i = 0; i < FRAMES; i++) {
    const at = i * SLOT + 32;
    const l4 = at + 14 + (version === 4 ? 20 : 40);
    view.setUint16(at + 12, version === 4 ? 0x0800 : 0x86dd);
    if (version === 4) {
      view.setUint32(at + 14, 0x45000000 | 60);
      view.setUint16(at + 22, 0x4006);
      view.setUint32(at + 26, 0x0a000000 | (i & 0xffff));
      view.setUint32(at + 30, 0x0a010000 | (i & 0xff));
    } else {
      view.setUint32(at + 14, 0x60000000);
      view.setUint32(at + 18, (40 << 16) | 0x0640);
      view.setUint32(at + 22, 0x20010db8);
      view.setUint32(at + 38, 0x20010db8);
    }
    view.setUint16(l4, 40_000);
    view.setUint16(l4 + 2, 80);
    view.setUint8(l4 + 12, 0x50);
    batch.at[i] = at;
    batch.caplen[i] = l4 + 40 - at;
    batch.len[i] = batch.caplen[i]!;
    batch.linktype[i] = Linktype.EN10MB;
  }
  batch.count = FRAMES;
  return batch;
}

/** Least of several runs: what it costs when nobody else wants the core. */
function nsPerPacket(run: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const start = performance.now();
    for (let round = 0; round < ROUNDS; round++) run();
    best = Math.min(best, ((performance.now() - start) * 1e6) / (ROUNDS * FRAMES));
  }
  return best;
}

function measure(name: string, version: 4 | 6, change: Partial<RewriteSpec>): void {
  const batch = frames(version);
  const layers = new Layers();
  const { view } = batch.region;
  const decoding = nsPerPacket(() => {
    for (let i = 0; i < FRAMES; i++) {
      decode(view, batch.at[i]!, batch.at[i]! + batch.caplen[i]!, batch.linktype[i]!, layers);
    }
  });
  // There and back, so that every packet is changed each time.
  const rewriter = compileRewriter({ ...EMPTY_REWRITE, ...change });
  const editing = nsPerPacket(() => {
    for (let i = 0; i < FRAMES; i++) rewriter.edit(batch, i, Direction.ClientToServer);
  });
  const beyond = editing - decoding;
  const [a, b, c] = [decoding, editing, beyond].map((ns) => ns.toFixed(1).padStart(6));
  console.log(`${name.padEnd(24)} IPv${version}  decode ${a} ns  decode and edit ${b} ns  beyond decoding ${c} ns`);
}

const swap: Partial<RewriteSpec> = {
  pnat: [
    [
      ...parseAddressMap('--pnat', '10.0.0.0/8:172.0.0.0/8,172.0.0.0/8:10.0.0.0/8'),
      ...parseAddressMap('--pnat', '[2001::/16]:[fd00::/16],[fd00::/16]:[2001::/16]'),
    ],
  ],
  portMap: parsePortMap('--portmap', '80:8080,8080:80'),
  ttl: { mode: 'subtract', value: 1 },
};
for (const version of [4, 6] as const) {
  measure('nothing', version, {});
  measure('--ttl', version, { ttl: { mode: 'subtract', value: 1 } });
  measure('--pnat --portmap --ttl', version, swap);
  measure('--seed --enet-dmac', version, { seed: 7, macSeed: { seed: 7, keepBytes: 0 } });
}
