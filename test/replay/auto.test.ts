/** `--auto`: packets split by what their hosts do, without a cache file. */
import { deepEqual } from 'node:assert/strict';
import t from 'tap';
import type { PcapPacket } from '../../lab/pcapfile.ts';
import type { MemorySink } from '../../src/device/memory.ts';
import { AUTO_DEFAULTS, type AutoMode } from '../../src/flow/index.ts';
import { checkReplaySpec } from '../../src/replay/check.ts';
import { type ReplaySpec, toFile } from '../../src/replay/spec.ts';
import { runEngine, scratchFolder, specOf, writeCapture } from './rig.ts';

const SYN = 2;
const SYN_ACK = 18;
const ACK = 16;

/** An Ethernet frame with a TCP segment; the last number says which packet it is. */
function segment(n: number, src: readonly number[], dst: readonly number[], flags: number): PcapPacket {
  const data = Buffer.alloc(54);
  data.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 40, 0, n, 0, 0, 64, 6], 0);
  data.set([...src, ...dst], 26);
  data.set([4, 0, 0, 80], 34);
  data.set([0x50, flags], 46);
  return { sec: 1_700_000_000 + n, nsec: 0, len: data.length, data };
}

const CLIENT = [10, 0, 0, 1];
const SERVER = [10, 0, 1, 1];

/** Numbers of the packets that went out of each output. */
function split(inputs: readonly string[], changes: Partial<ReplaySpec> = {}, mode: AutoMode = 'bridge'): number[][] {
  const run = runEngine({
    inputs,
    secondary: toFile('memory2'),
    split: { kind: 'auto', auto: { ...AUTO_DEFAULTS, mode } },
    rate: { kind: 'topspeed' },
    ...changes,
  });
  return run.sinks.map((sink) => (sink as MemorySink).frames.map((frame) => frame.bytes[19]!));
}

t.test('clients to the first output, servers to the second', (t) => {
  const folder = scratchFolder(t);
  // The capture begins in the middle: only its last packets tell who is who.
  const one = writeCapture(folder, 'one.pcap', [
    segment(1, SERVER, CLIENT, ACK),
    segment(2, CLIENT, SERVER, ACK),
    segment(3, CLIENT, SERVER, SYN),
    segment(4, SERVER, CLIENT, SYN_ACK),
  ]);
  deepEqual(split([one]), [
    [2, 3],
    [1, 4],
  ]);
  deepEqual(split([one], {}, 'first'), [
    [1, 4],
    [2, 3],
  ]);
  t.pass('in one file');
  // What the second file tells holds for the first one too, and packet numbers play no part.
  const two = writeCapture(folder, 'two.pcap', [segment(9, SERVER, CLIENT, SYN_ACK), segment(8, CLIENT, SERVER, SYN)]);
  const middle = writeCapture(folder, 'middle.pcap', [
    segment(1, SERVER, CLIENT, ACK),
    segment(2, CLIENT, SERVER, ACK),
  ]);
  deepEqual(split([middle, two]), [
    [2, 8],
    [1, 9],
  ]);
  const loop = { count: 2, delayNs: 0, uniqueIp: false, uniqueIpEvery: 1 };
  for (const preload of [false, true]) {
    deepEqual(split([one], { loop: { ...loop, preload } }), [
      [2, 3, 2, 3],
      [1, 4, 1, 4],
    ]);
  }
  t.pass('over several files and loops');
  t.end();
});

t.test('what cannot be split is said before the start', (t) => {
  const folder = scratchFolder(t);
  const near = writeCapture(folder, 'near.pcap', [
    segment(1, [10, 0, 0, 1], [10, 0, 0, 0], SYN),
    segment(2, [10, 0, 0, 0], [10, 0, 0, 1], SYN_ACK),
    segment(3, [10, 9, 0, 0], [10, 0, 0, 1], ACK),
  ]);
  const unparted = /client 10\.0\.0\.1 and server 10\.0\.0\.0 share 31 bits.*raise --minmask/;
  t.throws(() => split([near], {}, 'router'), unparted);
  t.throws(() => split(['-']), /--auto reads its input twice/);
  const spec = specOf({ inputs: [near], split: { kind: 'auto', auto: { ...AUTO_DEFAULTS, mode: 'first' } } });
  t.throws(() => checkReplaySpec(spec), /--auto needs a second interface: add --intf2/);
  t.end();
});
