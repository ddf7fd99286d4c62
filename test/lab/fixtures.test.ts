/** The committed captures against their records, and the generator of large ones. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { programsMissing } from '../../lab/availability.ts';
import { generateCapture } from '../../lab/generate.ts';
import { encodePcap, readPcap } from '../../lab/pcapfile.ts';
import { runProgram } from '../../lab/process.ts';
import { packageRoot } from '../structure/repository.ts';

interface CaseRecord {
  readonly name: string;
  readonly file: string;
  readonly format: 'pcap' | 'pcapng';
  readonly precision: 'micro' | 'nano';
  readonly bigEndian: boolean;
  readonly packets: number;
  readonly linktypes: readonly number[];
  readonly capturedBytes: number;
}

const directory = path.join(packageRoot(), 'fixtures/pcaps');
const CASE_BYTES_MAX = 150_000;
const ALL_BYTES_MAX = 1_500_000;

const cases = fs
  .readdirSync(directory)
  .sort()
  .map((name) => JSON.parse(fs.readFileSync(path.join(directory, name, 'case.json'), 'utf8')) as CaseRecord);
const fileOf = (each: CaseRecord): string => path.join(directory, each.name, each.file);

t.test('every case is what its record says', async (t) => {
  let total = 0;
  for (const each of cases) {
    const { size } = fs.statSync(fileOf(each));
    total += size;
    t.ok(size < CASE_BYTES_MAX, `${each.name} is small`);
    if (each.format !== 'pcap') continue;
    const { packets, linktype, precision, bigEndian } = readPcap(fileOf(each));
    const capturedBytes = packets.reduce((sum, packet) => sum + packet.data.length, 0);
    const found = { linktypes: [linktype], precision, bigEndian, packets: packets.length, capturedBytes };
    t.match(each, found, each.name);
  }
  t.ok(total < ALL_BYTES_MAX, 'all together are small');
});

t.test('every format, precision, byte order and link type is there', async (t) => {
  const kinds = cases.map((each) => `${each.format} ${each.precision} ${each.bigEndian ? 'big' : 'little'}`);
  t.equal(new Set(kinds).size, 8);
  t.strictSame(
    [...new Set(cases.flatMap((each) => each.linktypes))].sort((a, b) => a - b),
    [1, 101, 113, 276],
  );
});

t.test('tcpdump reads as many packets', { skip: programsMissing('tcpdump') ?? false }, async (t) => {
  for (const each of cases) {
    // tcpdump refuses pcapng files with more than one link type.
    if (each.linktypes.length > 1) continue;
    const lines = runProgram(['tcpdump', '-nr', fileOf(each)])
      .stdout.trim()
      .split('\n');
    t.equal(lines.filter((line) => /^\d/.test(line)).length, each.packets, each.name);
  }
});

t.test('the plain writer and reader agree in every precision and byte order', async (t) => {
  const dir = t.testdir({});
  const packets = [{ sec: 1, nsec: 123_456_789, len: 9, data: Buffer.from([1, 2, 3]) }];
  for (const precision of ['micro', 'nano'] as const) {
    for (const bigEndian of [false, true]) {
      const file = { linktype: 1, snaplen: 96, precision, bigEndian, packets };
      fs.writeFileSync(path.join(dir, 'a.pcap'), encodePcap(file));
      const nsec = precision === 'nano' ? 123_456_789 : 123_456_000;
      t.same(readPcap(path.join(dir, 'a.pcap')), { ...file, packets: [{ ...packets[0], nsec }] });
    }
  }
});

t.test('generated packets are whole and true', { skip: programsMissing('tcpdump') ?? false }, async (t) => {
  const file = path.join(t.testdir({}), 'made.pcap');
  for (const size of [60, 61, 1514]) {
    generateCapture(file, { packets: 3000, size, flows: 70, gapNs: 999_999 });
    const { packets } = readPcap(file);
    t.equal(packets.length, 3000);
    const last = packets.at(-1)!;
    t.equal((last.sec - packets[0]!.sec) * 1e9 + last.nsec, 2999 * 999_999, 'the gaps add up');
    const verdict = runProgram(['tcpdump', '-nvvr', file], { timeoutMs: 60_000 }).stdout;
    t.notMatch(verdict, /bad|incorrect|wrong/, `checksums of ${size}-byte frames`);
    t.equal(verdict.match(/\(correct\)|udp sum ok/g)?.length, 3000, `every checksum of ${size}-byte frames is judged`);
  }
  t.throws(() => generateCapture(file, { size: 59 }), /size is 59: a whole number from 60 to 9000/);
});
