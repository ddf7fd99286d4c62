/** What an operator reads: the text report against tcpreplay's own output, JSON, live line, watching a run. */
import t from 'tap';
import { until } from '../../lab/process.ts';
import { liveLine } from '../../src/cli/live_line.ts';
import { exitOf } from '../../src/cli/replay_run.ts';
import { jsonReport } from '../../src/cli/report_json.ts';
import { loopLine, rateLines, reportLines, testCompleteLine, testStartLine } from '../../src/cli/report_text.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import { Watch } from '../../src/cli/watch.ts';
import type { OutputReport, ReplayReport, ReplaySnapshot } from '../../src/replay/report.ts';

const OUTPUT: OutputReport = {
  name: 'nic1',
  backend: 'af_packet',
  sent: 537,
  sentBytes: 207_000,
  failed: 0,
  truncated: 0,
  retriedNoBufs: 0,
  retriedAgain: 0,
  flows: null,
  wire: null,
};
const FLOWS = { flows: 47, unique: 47, expired: 0, flowPackets: 528, nonFlowPackets: 6, invalidPackets: 0 };
const REPORT: ReplayReport = {
  startedAtMs: 1000,
  finishedAtMs: 2000,
  seconds: 0.00131,
  interrupted: false,
  loops: 3,
  files: [{ path: 'a.pcap', packets: 179, bytes: 69_000 }],
  packets: { read: 537, sent: 537, failed: 0, skipped: 0 },
  bytesSent: 207_000,
  latenessNs: null,
  wire: null,
  flows: FLOWS,
  drops: {},
  edited: 0,
  notEditable: {},
  outputs: [OUTPUT],
  fault: null,
  complete: true,
};
const SNAPSHOT: ReplaySnapshot = {
  packetsRead: 1500,
  packetsSent: 1234,
  packetsFailed: 0,
  packetsSkipped: 0,
  bytesSent: 1_000_000,
  seconds: 2,
  loop: 1,
  loopCount: 1,
  packetsTotal: 3000,
  progress: 0.5,
  latenessNsLast: 1500,
  latenessNsMax: 9000,
  paused: false,
  outputs: [{ name: 'nic1', sent: 1234, failed: 0 }],
};

t.test("tcpreplay's lines, as tcpreplay printed them", (t) => {
  t.same(reportLines(REPORT, { flowExpiry: true }), [
    'Actual: 537 packets (207000 bytes) sent in 0.001310 seconds',
    'Rated: 158015267.1 Bps, 1264.12 Mbps, 409923.66 pps',
    'Flows: 47 flows, 47 unique, 0 expired, 35877.86 fps, 528 unique flow packets, 6 unique non-flow packets',
    'Statistics for network device: nic1',
    '\tSuccessful packets:        537',
    '\tFailed packets:            0',
    '\tTruncated packets:         0',
    '\tRetried packets (ENOBUFS): 0',
    '\tRetried packets (EAGAIN):  0',
  ]);
  const runs: readonly (readonly [number, number, number, string, string])[] = [
    [179, 69_000, 0.000652, '0.000652', 'Rated: 105828220.8 Bps, 846.62 Mbps, 274539.87 pps'],
    [358, 138_000, 0.001002, '0.001002', 'Rated: 137724550.8 Bps, 1101.79 Mbps, 357285.42 pps'],
    [3, 225, 0.00868, '0.008680', 'Rated: 25921.6 Bps, 0.207 Mbps, 345.62 pps'],
    [400, 151_087, 0.44761, '0.447610', 'Rated: 337541.6 Bps, 2.70 Mbps, 893.63 pps'],
    [2, 159, 0.000032, '0.000032', 'Rated: 4968750.0 Bps, 39.75 Mbps, 62500.00 pps'],
    [179, 69_000, 0.00047, '0.000470', 'Rated: 146808510.6 Bps, 1174.46 Mbps, 380851.06 pps'],
    [179, 69_000, 1.483337, '1.48', 'Rated: 46516.7 Bps, 0.372 Mbps, 120.67 pps'],
  ];
  for (const [packets, bytes, seconds, shown, rated] of runs) {
    t.same(rateLines(packets, bytes, seconds), [
      `Actual: ${packets} packets (${bytes} bytes) sent in ${shown} seconds`,
      rated,
    ]);
  }
  t.same(
    rateLines(5, 500, 0),
    ['Actual: 5 packets (500 bytes) sent in 0.000000 seconds', 'Rated: 0.0 Bps, 0.00 Mbps, 0.00 pps'],
    'no time, no rate',
  );
  t.same(rateLines(0, 0, 1), []);
  const split = { ...OUTPUT, flows: { ...FLOWS, flows: 19, unique: 19, flowPackets: 70, nonFlowPackets: 10 } };
  t.same(
    reportLines({ ...REPORT, outputs: [split, OUTPUT] }, { flowExpiry: false })
      .slice(2, 3)
      .concat(reportLines({ ...REPORT, outputs: [split, OUTPUT] }, { flowExpiry: false }).slice(9, 15)),
    [
      'Flows: 47 flows, 35877.86 fps, 528 unique flow packets, 6 unique non-flow packets',
      '\tFlows total:               19',
      '\tFlows unique:              19',
      '\tFlows expired:             0',
      '\tFlow packets:              70',
      '\tNon-flow packets:          10',
      '\tInvalid flow packets:      0',
    ],
  );
  t.end();
});

t.test('our lines', (t) => {
  const report: ReplayReport = {
    ...REPORT,
    packets: { read: 540, sent: 537, failed: 2, skipped: 1 },
    latenessNs: { p50: 850, p99: 12_340, max: 4_560_000 },
    drops: { 'longer than the MTU': 1, EMSGSIZE: 2, filter: 0 },
    edited: 12,
    notEditable: { undecodable: 4 },
    outputs: [
      { ...OUTPUT, wire: { packets: 536, dropped: 1 } },
      { ...OUTPUT, name: 'out.pcap' },
    ],
  };
  const lines = reportLines(report, { flowExpiry: false });
  t.equal(lines[2], 'Failed write attempts: 2');
  t.same(lines.slice(-6), [
    'Lateness: p50 850 ns, p99 12.3 µs, max 4.56 ms',
    'Edited: 12 packets',
    'Not editable (undecodable): 4 packets, sent as they were',
    'On the wire: sent 537, nic1 counted 536 and dropped 1',
    'Not sent: 1 packets, longer than the MTU',
    'Not sent: 2 packets, EMSGSIZE',
  ]);
  const none: ReplayReport = { ...REPORT, packets: { read: 9, sent: 0, failed: 0, skipped: 9 }, bytesSent: 0 };
  t.equal(reportLines(none, { flowExpiry: false })[0], 'No packets sent of 9 read');
  t.equal(loopLine(1, 3, 1), 'Loop 1 of 3...');
  t.equal(loopLine(2, 3, 1), 'Loop 2 of 3 (1 unique)...');
  t.equal(loopLine(5, 0, 2), 'Loop 5 (2 unique)...');
  t.equal(loopLine(7, 0, 0), 'Loop 7...');
  const at = new Date(2026, 10, 22, 20, 25, 0).getTime();
  t.equal(testStartLine(at + 7.0625), 'Test start: 2026-11-22 20:25:00.007062 ...');
  t.equal(testCompleteLine(at + 780), 'Test complete: 2026-11-22 20:25:00.780000');
  t.end();
});

t.test('exit statuses', (t) => {
  t.equal(exitOf(REPORT), 0);
  t.equal(exitOf({ ...REPORT, complete: false }), 1);
  t.equal(exitOf({ ...REPORT, fault: 'eth1 went down' }), 1);
  t.equal(exitOf({ ...REPORT, interrupted: true, complete: false, fault: 'x' }), 130);
  t.end();
});

t.test('JSON', (t) => {
  const json = jsonReport('tsreplay', '1.2.3', { ...REPORT, seconds: 0.5 }, ['careful']);
  t.same(JSON.parse(JSON.stringify(json)), {
    tool: 'tsreplay',
    version: '1.2.3',
    files: ['a.pcap'],
    interfaces: [OUTPUT],
    packets: { read: 537, sent: 537, failed: 0, skipped: 0 },
    bytesSent: 207_000,
    seconds: 0.5,
    pps: 1074,
    mbps: 3.312,
    latenessNs: null,
    wire: null,
    flows: FLOWS,
    drops: {},
    loops: 3,
    edited: 0,
    notEditable: {},
    startedAt: '1970-01-01T00:00:01.000Z',
    finishedAt: '1970-01-01T00:00:02.000Z',
    interrupted: false,
    complete: true,
    fault: null,
    warnings: ['careful'],
  });
  t.equal(jsonReport('tsreplay', '1', { ...REPORT, seconds: 0 }, []).pps, 0, 'no Infinity, which JSON turns to null');
  t.end();
});

t.test('live line', (t) => {
  const before = { seconds: 1, packets: 234, bytes: 500_000 };
  t.equal(liveLine(SNAPSHOT, before, 120), '1,234 packets, 50 %, 1,000 pps, 4.00 Mbps, late 1.5 µs, 2s left');
  for (let columns = 0; columns < 100; columns++) {
    const line = liveLine({ ...SNAPSHOT, packetsFailed: 3, loopCount: 0, loop: 9 }, before, columns);
    if (line.length > Math.max(0, columns - 1)) t.fail(`${columns} columns: ${line}`);
  }
  t.equal(liveLine(SNAPSHOT, before, 24), '1,234 packets, 50 %');
  t.equal(liveLine({ ...SNAPSHOT, paused: true }, before, 120), '1,234 packets, paused, 50 %, 1,000 pps, 4.00 Mbps');
  const endless = { ...SNAPSHOT, loopCount: 0, loop: 7, packetsTotal: -1, packetsFailed: 5, latenessNsMax: 0 };
  t.equal(liveLine(endless, before, 120), '1,234 packets, 1,000 pps, 4.00 Mbps, 5 failed, loop 7');
  const stream = { ...SNAPSHOT, packetsTotal: -1, progress: 0.25, loopCount: 2, loop: 2, seconds: 125 };
  t.match(
    liveLine(stream, { ...before, seconds: 125 }, 120),
    /^1,234 packets, 62 %, 0 pps, 0.00 Mbps, late .*, 1m15s left, loop 2 of 2$/,
  );
  t.end();
});

t.test('watching', async (t) => {
  const out: string[] = [];
  let drawn = '';
  const terminal: Terminal = {
    out: (line) => out.push(line),
    error: (line) => out.push(`! ${line}`),
    draw: (text) => {
      drawn += text;
    },
    errorIsTerminal: true,
    columns: () => 80,
  };
  let now: ReplaySnapshot = { ...SNAPSHOT, loopCount: 3 };
  const watch = new Watch(terminal, () => now, { live: true, statsSeconds: 0, loopCount: 3, uniqueEvery: 1 });
  watch.start(new Date(2026, 0, 2, 3, 4, 5).getTime());
  await until('a live line', () => drawn !== '');
  now = { ...now, loop: 2 };
  await until('the second loop', () => out.length === 5);
  watch.stop();
  t.same(out, [
    'Loop 1 of 3...',
    'Test start: 2026-01-02 03:04:05.000000 ...',
    'Actual: 1234 packets (1000000 bytes) sent in 2.00 seconds',
    'Rated: 500000.0 Bps, 4.00 Mbps, 617.00 pps',
    'Loop 2 of 3 (1 unique)...',
  ]);
  t.match(drawn, /\r\x1b\[K1,234 packets, 50 %/);
  t.match(drawn, /\r\x1b\[K$/, 'taken away at the end');
  const lines = out.length;
  const timed = new Watch(terminal, () => now, { live: false, statsSeconds: 0.05, loopCount: 1, uniqueEvery: 0 });
  timed.start(0);
  await until('a start line and two pairs of rate lines', () => out.length - lines >= 1 + 2 * 2);
  timed.stop();
  t.equal((out.length - lines) % 2, 1, 'whole pairs');
  t.end();
});
