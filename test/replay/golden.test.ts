/**
 * Golden cases: `fixtures/golden/<case>/case.json` names a fixture and options; `out.pcap` is what leaves, byte for
 * byte
 * and in order, `counters.json` what the report says. `npm run golden -- --update` writes both anew, for review.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import t from 'tap';
import { labUnavailable, programsMissing } from '../../lab/availability.ts';
import { makeLab, pair } from '../../lab/lab.ts';
import { readPcap } from '../../lab/pcapfile.ts';
import { runProgram } from '../../lab/process.ts';
import { packageRoot } from '../structure/repository.ts';
import { scratchFolder } from './rig.ts';

interface Case {
  readonly about: string;
  readonly input: string;
  readonly args: readonly string[];
}

const TSREPLAY = path.join(packageRoot(), 'dist/src/cli/tsreplay.js');
const GOLDEN = path.join(packageRoot(), 'fixtures/golden');
const update = process.env['UPDATE_GOLDEN'] === '1';
const names = fs.readdirSync(GOLDEN).sort();

const caseOf = (name: string): Case =>
  JSON.parse(fs.readFileSync(path.join(GOLDEN, name, 'case.json'), 'utf8')) as Case;

function inputOf(fixture: string): string {
  const folder = path.join(packageRoot(), 'fixtures/pcaps', fixture);
  return path.join(folder, fs.readdirSync(folder).find((file) => file.startsWith('in.pcap'))!);
}

/** What the report says of the packets, and of the reasons of those that did not leave. */
function countersOf(stdout: string): object {
  const { packets, bytesSent, drops, edited, notEditable, flows } = JSON.parse(stdout) as Record<string, object>;
  return { packets, bytesSent, drops, edited, notEditable, flows };
}

t.test('each case gives its bytes and counters', async (t) => {
  const folder = scratchFolder(t);
  for (const name of names) {
    const { input, args } = caseOf(name);
    const out = path.join(folder, `${name}.pcap`);
    const argv = [TSREPLAY, '-t', '--json', ...args, '-w', out, inputOf(input)];
    const done = spawnSync(process.execPath, argv, { encoding: 'utf8' });
    t.ok(done.status === 0, `${name}: status ${done.status} ${done.stderr}`);
    const counters = `${JSON.stringify(countersOf(done.stdout), null, 2)}\n`;
    const golden = { pcap: path.join(GOLDEN, name, 'out.pcap'), counters: path.join(GOLDEN, name, 'counters.json') };
    if (update) {
      fs.copyFileSync(out, golden.pcap);
      fs.writeFileSync(golden.counters, counters);
    }
    t.ok(fs.readFileSync(out).equals(fs.readFileSync(golden.pcap)), `${name}: bytes`);
    t.equal(counters, fs.readFileSync(golden.counters, 'utf8'), `${name}: counters`);
  }
});

t.test(
  'tcpdump finds no checksum wrong that the input did not have',
  { skip: programsMissing('tcpdump') ?? false },
  async (t) => {
    const wrong = (file: string): number => {
      const shown = runProgram(['tcpdump', '-nvvr', file], { check: false }).stdout;
      return shown.match(/incorrect|bad (udp )?cksum|wrong icmp6? cksum/g)?.length ?? 0;
    };
    for (const name of names) {
      const { input, args } = caseOf(name);
      const loops = Number(args[args.indexOf('--loop') + 1] ?? 1) || 1;
      // Fixing sums leaves none wrong; a payload cut or fuzzed on purpose is no concern of the sum's.
      const allowed = args.includes('--fixcsum') && !args.includes('pad') ? 0 : wrong(inputOf(input)) * loops;
      if (args.includes('--mtu-trunc') || args.includes('pad')) continue;
      const found = wrong(path.join(GOLDEN, name, 'out.pcap'));
      t.ok(found <= allowed, `${name}: ${found} wrong, ${allowed} in the input`);
    }
  },
);

const skip = labUnavailable() ?? programsMissing('tcpdump', 'nft') ?? false;
t.test('over a wire the same frames arrive in the same order', { skip }, async (t) => {
  const lab = makeLab(pair());
  t.teardown(() => lab.teardown());
  lab.host('b').dropAtIngress('eth0');
  for (const name of names) {
    const { input, args } = caseOf(name);
    // Fuzzing cuts frames below an Ethernet header, which no interface takes: they are counted as failed.
    const golden = readPcap(path.join(GOLDEN, name, 'out.pcap')).packets.filter(({ data }) => data.length > 14);
    if (golden.some((packet) => packet.data.length > 1514)) continue;
    const capture = await lab.host('b').capture('eth0', path.join(lab.directory, `${name}.pcap`));
    lab
      .host('a')
      .run([process.execPath, TSREPLAY, '-t', ...args, '-i', 'eth0', inputOf(input)], { check: name !== 'fuzz' });
    const arrived = (await capture.finish()).packets;
    const same = arrived.length === golden.length && golden.every((packet, n) => packet.data.equals(arrived[n]!.data));
    t.ok(same, `${name}: ${arrived.length} of ${golden.length} packets`);
  }
});
