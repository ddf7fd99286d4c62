import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { BATCH_FRAMES, FrameBatch } from '../../src/base/batch.ts';
import { plainRegion } from '../../src/base/region.ts';
import { LinePrinter, PRINT_DEFAULTS, type PrintOptions } from '../../src/capture/print/index.ts';
import { openCapture } from '../../src/pcap/index.ts';
import { packageRoot } from '../structure/repository.ts';
import * as frames from '../wire/frames.ts';

const root = packageRoot();
const fixtures = path.join(root, 'fixtures/pcaps');
const hasTcpdump = spawnSync('tcpdump', ['--version']).status === 0;

function captureOf(name: string): string {
  const folder = path.join(fixtures, name);
  return path.join(folder, fs.readdirSync(folder).find((file) => file.startsWith('in.'))!);
}

function print(file: string, options: Partial<PrintOptions>): string[] {
  const printer = new LinePrinter({ ...PRINT_DEFAULTS, ...options });
  const reader = openCapture(file);
  const batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
  const lines: string[] = [];
  while (reader.read(batch) > 0) for (let i = 0; i < batch.count; i++) lines.push(printer.line(batch, i));
  reader.close();
  return lines;
}

function tcpdump(file: string, ...options: string[]): string[] {
  const run = spawnSync('tcpdump', ['-n', ...options, '-r', file], { encoding: 'utf8', maxBuffer: 1 << 26 });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout.split('\n').slice(0, -1);
}

/** What a line says about the layers that are printed here: nothing about RESP behind a TCP length. */
function comparable(line: string): string {
  return line
    .replace(/: RESP .*$/, '')
    .replace(/^(\d+\.\d+ )?\S+ +(Out|In|B|M|P) +/, '$1')
    .trimEnd();
}

t.test('lines equal to those of tcpdump -n', { skip: hasTcpdump ? false : 'needs tcpdump' }, (t) => {
  let compared = 0;
  for (const name of fs.readdirSync(fixtures)) {
    const file = captureOf(name);
    // tcpdump refuses files with interfaces of two link types
    if (name === 'pcapng-two-interfaces') continue;
    for (const [mine, theirs] of [
      [{ time: 'none' }, ['-t']],
      [{ time: 'none', absoluteSeq: true }, ['-t', '-S']],
      [{ time: 'epoch' }, ['-tt']],
    ] as const) {
      const expected = tcpdump(file, ...theirs).map(comparable);
      const found = print(file, mine).map(comparable);
      assert.equal(found.length, expected.length);
      for (const [i, line] of found.entries()) assert.equal(line, expected[i], `${name}, frame ${i + 1}`);
      compared += found.length;
    }
  }
  t.ok(compared > 1000, `${compared} lines`);
  t.end();
});

t.test('IP headers and checksums equal to those of tcpdump -v', { skip: hasTcpdump ? false : 'needs tcpdump' }, (t) => {
  const header = /IP6? \(.*?length:? \d+|bad cksum|cksum 0x\w+ \((in)?correct/g;
  // What is quoted in an error is not looked into: those lines begin with a tab.
  const headers = (lines: string[]): string[] =>
    lines
      .flatMap((line) => line.split('\n'))
      .flatMap((line) => (line.startsWith('\t') ? [] : (line.match(header) ?? [])));
  let compared = 0;
  for (const name of fs.readdirSync(fixtures)) {
    if (name === 'pcapng-two-interfaces') continue;
    const expected = headers(tcpdump(captureOf(name), '-t', '-v'));
    t.same(headers(print(captureOf(name), { time: 'none', verbose: 1 })), expected, name);
    compared += expected.length;
  }
  t.ok(compared > 1000, `${compared} headers`);
  const wrong = frames.ipv4(6, frames.tcp(4, []));
  wrong[10]! ^= 0xff;
  const line = new LinePrinter({ ...PRINT_DEFAULTS, verbose: 1 }).line(batchOf(frames.ethernet(0x0800, wrong), 1), 0);
  t.match(line, /length 40, bad cksum [0-9a-f]+!\)/);
  t.end();
});

t.test('link headers and dumps equal to those of tcpdump', { skip: hasTcpdump ? false : 'needs tcpdump' }, (t) => {
  for (const name of ['dns', 'vlan', 'qinq', 'http-ipv6', 'icmp-errors', 'sll']) {
    const file = captureOf(name);
    const expected = tcpdump(file, '-t', '-e').map(comparable);
    for (const [i, line] of print(file, { time: 'none', link: true }).entries()) {
      assert.equal(comparable(line), expected[i], `${name}, frame ${i + 1}`);
    }
  }
  for (const [dump, withLink, letter] of [
    ['hex', false, '-x'],
    ['hex', true, '-xx'],
    ['hex-ascii', false, '-X'],
    ['hex-ascii', true, '-XX'],
  ] as const) {
    const expected = tcpdump(captureOf('dns'), '-t', letter).filter((line) => line.startsWith('\t'));
    const printed = print(captureOf('dns'), { time: 'none', dump, dumpWithLink: withLink });
    const found = printed
      .join('\n')
      .split('\n')
      .filter((line) => line.startsWith('\t'));
    assert.deepEqual(
      found.map((line) => line.trimEnd()),
      expected.map((line) => line.trimEnd()),
      letter,
    );
  }
  const numbers = print(captureOf('dns'), { time: 'none', number: true }).map((line) => line.slice(0, 7));
  t.same(
    numbers,
    tcpdump(captureOf('dns'), '-t', '-#').map((line) => line.slice(0, 7)),
    'numbers',
  );
  t.match(print(captureOf('http-keepalive'), { dump: 'ascii' }).join('\n'), /GET \/a\.txt HTTP\/1\.1\nHost: /);
  t.end();
});

function batchOf(data: readonly number[] | Uint8Array, linktype: number, guardBytes = 0): FrameBatch {
  const region = plainRegion(data.length + 2 * guardBytes);
  region.bytes.fill(0xa5);
  region.bytes.set(data, guardBytes);
  const batch = new FrameBatch(1, region);
  batch.at[0] = guardBytes;
  batch.caplen[0] = data.length;
  batch.len[0] = data.length;
  batch.linktype[0] = linktype;
  batch.count = 1;
  return batch;
}

t.test('tunnels, and what is not known', (t) => {
  const line = (data: number[], options: Partial<PrintOptions> = {}): string =>
    new LinePrinter({ ...PRINT_DEFAULTS, time: 'none', ...options }).line(batchOf(data, 1), 0);
  const tcp = frames.tcp(4, [1, 2, 3]);
  const inner = frames.ethernet(0x0800, frames.ipv4(6, tcp));
  const vxlan = frames.udp(4, [8, 0, 0, 0, 0, 0, 7, 0, ...inner], 4789);
  const segment = 'Flags [P.], seq 287454020:287454023, ack 1432778632, win 256, length 3: HTTP';
  const text = `IP 10.0.0.1.8080 > 10.0.0.2.80: ${segment}`;
  t.equal(
    line(frames.ethernet(0x0800, frames.ipv4(17, vxlan))),
    `IP 10.0.0.1.49152 > 10.0.0.2.4789: VXLAN, flags [I] (0x08), vni 7\n${text}`,
  );
  const gre = [0, 0, 8, 0, ...frames.ipv4(6, tcp)];
  t.equal(line(frames.ethernet(0x0800, frames.ipv4(47, gre))), `IP 10.0.0.1 > 10.0.0.2: GREv0, length 43: ${text}`);
  const init = frames.sctp([1, 0, 0, 4]);
  t.equal(line(frames.ethernet(0x0800, frames.ipv4(132, init))), 'IP 10.0.0.1.8080 > 10.0.0.2.80: sctp (1) [INIT]');
  t.equal(line(frames.ethernet(0x0800, frames.ipv4(89, [1, 2, 3, 4]))), 'IP 10.0.0.1 > 10.0.0.2: ip-proto-89 4');
  t.equal(line(frames.ethernet(0x88cc, [1, 2, 3, 4])), 'ethertype 0x88cc, length 4');
  t.equal(line(frames.ethernet(0x0800, [0x45, 0])), 'IP [|ip], length 2');
  t.equal(line([1, 2, 3]), '[|link], length 3');
  t.match(line(frames.ethernet(0x0800, frames.ipv4(6, tcp)), { verbose: 1 }), /proto TCP \(6\).*\n.*\(correct\)/);
  t.end();
});

t.test('hostile bytes: no throw, nothing read behind the frame', (t) => {
  const seeds = fs.readdirSync(fixtures).flatMap((name) => {
    const reader = openCapture(captureOf(name));
    const batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
    const found: { data: Uint8Array; linktype: number }[] = [];
    while (reader.read(batch) > 0) {
      for (let i = 0; i < batch.count; i += 3) {
        const at = batch.at[i]!;
        found.push({
          data: batch.region.bytes.slice(at, at + Math.min(batch.caplen[i]!, 300)),
          linktype: batch.linktype[i]!,
        });
      }
    }
    reader.close();
    return found;
  });
  const options = { ...PRINT_DEFAULTS, link: true, verbose: 2, dump: 'hex-ascii', time: 'date' } as const;
  const edit = fc.tuple(fc.nat(), fc.nat(255));
  fc.assert(
    fc.property(fc.nat(), fc.array(edit, { maxLength: 10 }), fc.nat(120), (pick, edits, cut) => {
      const { data, linktype } = seeds[pick % seeds.length]!;
      const bytes = Uint8Array.from(data.subarray(0, Math.max(0, data.length - cut)));
      for (const [at, value] of edits) if (bytes.length > 0) bytes[at % Math.min(bytes.length, 150)] = value;
      // an exact view throws where the frame is overread; guards show it where it does not
      const exact = new LinePrinter(options).line(batchOf(bytes, linktype), 0);
      assert.equal(new LinePrinter(options).line(batchOf(bytes, linktype, 64), 0), exact);
    }),
    { numRuns: 5000, seed: 3 },
  );
  t.pass('5,000 frames');
  t.end();
});
