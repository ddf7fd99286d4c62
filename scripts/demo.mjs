/**
 * `npm run demo`: two hosts made of network namespaces, a capture replayed five times as fast from one to the other,
 * tscap with nanosecond stamps on the far side, and how exact it was; then live sessions copied to a test server.
 * Touches no interface of this machine.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import { runCopyDemo } from './demo-copy.mjs';
import { root, setup } from './setup.mjs';

const FACTOR = 5;
const FIXTURE = 'fixtures/pcaps/mixed/in.pcap';
const REPLAY_MS_MAX = 12_000;
const SETTLE_MS = 200;
const BAR_COLUMNS = 40;
/** Upper bounds of the histogram's rows, µs. */
const ROWS_US = [1, 2, 5, 10, 20, 50, 100, 200, 500, Number.POSITIVE_INFINITY];

const print = (text = '') => process.stdout.write(`${text}\n`);
const micros = (ns) => `${(ns / 1000).toFixed(1)} µs`;

/** Nanoseconds of each packet since the first. */
function timesNs(packets) {
  const [first] = packets;
  return packets.map((each) => (each.sec - first.sec) * 1e9 + (each.nsec - first.nsec));
}

function compare(sent, received) {
  const same = sent.length === received.length && sent.every((each, i) => each.data.equals(received[i].data));
  const asked = timesNs(sent).map((ns) => ns / FACTOR);
  const got = received.length > 0 ? timesNs(received) : [];
  const gapErrors = [];
  for (let i = 1; i < Math.min(asked.length, got.length); i++) {
    gapErrors.push(Math.abs(got[i] - got[i - 1] - (asked[i] - asked[i - 1])));
  }
  gapErrors.sort((a, b) => a - b);
  return { same, askedNs: asked.at(-1), tookNs: got.at(-1) ?? 0, gapErrors };
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];

function drawHistogram(sorted) {
  const counts = ROWS_US.map((bound, row) => {
    const from = row === 0 ? -1 : ROWS_US[row - 1] * 1000;
    return sorted.filter((ns) => ns > from && ns <= bound * 1000).length;
  });
  const most = Math.max(...counts);
  const last = counts.findLastIndex((count) => count > 0);
  for (let row = 0; row <= last; row++) {
    const bound = ROWS_US[row];
    const label = Number.isFinite(bound) ? `up to ${bound} µs` : `over ${ROWS_US[row - 1]} µs`;
    const bar = '█'.repeat(Math.ceil((counts[row] / most) * BAR_COLUMNS));
    print(`  ${label.padStart(13)} ${bar.padEnd(BAR_COLUMNS)} ${counts[row]}`);
  }
}

function report(original, arrived, counts) {
  const result = compare(original, arrived);
  print('\nOn the far side (kernel stamps in nanoseconds):');
  print(`  sent ${original.length}, received ${arrived.length}, lost by the capture ${counts.dropped.kernel}`);
  print(`  bytes and order: ${result.same ? 'the same as in the file' : 'DIFFERENT from the file'}`);
  if (result.gapErrors.length > 0) {
    const { gapErrors, askedNs, tookNs } = result;
    const figures = [quantile(gapErrors, 0.5), quantile(gapErrors, 0.99), gapErrors.at(-1)].map(micros);
    print(
      `  asked: ${(askedNs / 1e9).toFixed(6)} s (the capture's time / ${FACTOR}); took: ${(tookNs / 1e9).toFixed(6)} s`,
    );
    print(
      `  total drift ${micros(tookNs - askedNs)}; gap error p50 ${figures[0]}, p99 ${figures[1]}, max ${figures[2]}`,
    );
    print('\n  gap error');
    drawHistogram(gapErrors);
  }
  return result.same;
}

async function runDemo({ makeLab, pair, readPcap, hasProgram }) {
  const original = readPcap(path.join(root, FIXTURE)).packets;
  // Hosts without addresses: nobody answers what is replayed.
  const spec = pair({ offloads: hasProgram('ethtool') ? 'off' : 'keep', staticNeighbours: false });
  const [{ a, b, ...link }] = spec.links;
  const bare = ({ host, iface }) => ({ host, iface });
  const lab = makeLab({ hosts: spec.hosts, links: [{ ...link, a: bare(a), b: bare(b) }] });
  try {
    const file = path.join(lab.directory, 'received.pcap');
    const cli = path.join(root, 'dist/src/cli/tsreplay.js');
    const capturing = ['-i', 'eth0', '-Q', 'in', '--json', '-w'];
    print(`host b$ tscap ${capturing.join(' ')} received.pcap`);
    const capture = lab
      .host('b')
      .spawn([process.execPath, path.join(root, 'dist/src/cli/tscap.js'), ...capturing, file]);
    await capture.waitFor(/listening on/);
    const args = ['--multiplier', String(FACTOR), '-i', 'eth0', FIXTURE];
    print(`host a$ tsreplay ${args.join(' ')}\n`);
    const [program, ...rest] = lab.host('a').command([process.execPath, cli, ...args]);
    const run = spawnSync(program, rest, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      timeout: REPLAY_MS_MAX,
    });
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    await capture.stop('SIGINT');
    const counts = JSON.parse(capture.stdout);
    const same = report(original, readPcap(file).packets, counts);
    if (run.status !== 0) print(`\ntsreplay ended with status ${run.status ?? run.signal}`);
    return run.status === 0 && same;
  } finally {
    await lab.teardown();
  }
}

async function main() {
  // Started again in namespaces of its own, everything has been set up.
  const { typeErrors } = process.env.TSREPLAY_LAB_UNSHARED ? { typeErrors: '' } : setup('demo');
  if (typeErrors) process.stderr.write('demo: the build has type errors (npm run build); going on\n');
  const load = (name) => import(path.join(root, 'dist/lab', name));
  const { labUnavailable, rerunUnshared, hasProgram } = await load('availability.js');
  const reason = labUnavailable();
  if (reason) {
    const status = rerunUnshared();
    if (status !== null) return status;
    const remedy = reason.startsWith('needs root') ? 'sudo npm run demo' : 'apt-get install iproute2 ethtool';
    print(`The demo ${reason}. Type: ${remedy}`);
    return 3;
  }
  const { makeLab, pair } = await load('lab.js');
  const { readPcap } = await load('pcapfile.js');
  const replayed = await runDemo({ makeLab, pair, readPcap, hasProgram });
  const copied = await runCopyDemo(makeLab);
  return replayed && copied ? 0 : 1;
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error) => {
    process.stderr.write(`demo: ${error.message}\n`);
    process.exitCode = 1;
  },
);
