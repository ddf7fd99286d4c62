/** The short cut of `decode` says of every frame what the long way says. */
import { deepEqual } from 'node:assert/strict';
import t from 'tap';
import { Rng } from '../../src/base/rng.ts';
import { decode, decodeAny } from '../../src/wire/decode.ts';
import { Layers } from '../../src/wire/layers.ts';
import { Linktype } from '../../src/wire/linktype.ts';

/** Everything a caller may look at; the cursor of the pass is not. */
function said(layers: Layers): unknown {
  const { kind, at, end, count, nextType: _type, nextAt: _at, nextEnd: _end, linkDone: _done, ...rest } = layers;
  const first = (cells: ArrayLike<number>): number[] => Array.from(cells).slice(0, count);
  return { ...rest, count, kind: first(kind), at: first(at), end: first(end) };
}

t.test('plain frames, whole, cut and mutated', (t) => {
  const rng = new Rng(20);
  const short = new Layers();
  const long = new Layers();
  let taken = 0;
  for (let round = 0; round < 20_000; round++) {
    const length = 40 + rng.below(60);
    const view = new DataView(new ArrayBuffer(length + 8), 4, length);
    view.setUint16(12, 0x0800);
    view.setUint16(14, 0x4500);
    view.setUint16(16, rng.below(8) === 0 ? rng.below(80) : length - 14);
    view.setUint8(23, 6);
    if (length > 46) view.setUint8(46, 0x50 + (rng.below(4) << 4));
    if (rng.below(3) === 0) view.setUint8(12 + rng.below(length - 12), rng.below(256));
    const status = decode(view, 0, length, Linktype.EN10MB, short);
    const wanted = decodeAny(view, 0, length, Linktype.EN10MB, long);
    deepEqual({ status, ...(said(short) as object) }, { status: wanted, ...(said(long) as object) });
    if (short.l4 === 34 && short.payload > 0) taken++;
  }
  t.ok(taken > 5000, `${taken} of 20,000 were plain`);
  t.end();
});
