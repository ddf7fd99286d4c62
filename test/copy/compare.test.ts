/** `tscopy --compare` between real kernels: a test server that answers otherwise, and what is said of it. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import { until } from '../../lab/process.ts';
import type { CompareReport } from '../../src/copy/agent/index.ts';
import { readPage } from '../cli/page_rig.ts';
import { makeRig, PRODUCTION, type Rig, ROOT, TARGET } from './lab_rig.ts';

const skip = labUnavailable('nginx', 'tcpdump') ?? false;
const PORT = 8082;
/** Requests of each kind. */
const REQUESTS = 20;
const SLOW_MS = 20;

/** Answers what its first argument says: `production` the same always, `target` by the path. */
const SERVER = `
require('node:http').createServer((request, response) => {
  const kind = process.argv[1] === 'target' ? request.url : '/same';
  const answer = (status, body) => response.writeHead(status).end(body);
  if (kind === '/status') answer(500, 'ok');
  else if (kind === '/longer') answer(200, 'ok and more');
  else if (kind === '/slow') setTimeout(() => answer(200, 'ok'), ${SLOW_MS});
  else if (kind === '/missing') request.socket.destroy();
  else answer(200, 'ok');
}).listen(${PORT}, '0.0.0.0', () => console.log('listening'));`;

/** One connection for each kind; each asks ${REQUESTS} times, one after the other. */
const CLIENT = `
const http = require('node:http');
const ask = (agent, path) => new Promise((resolve, reject) => {
  http.get({ host: '${PRODUCTION}', port: ${PORT}, path, agent }, (response) => {
    response.resume().on('end', () => resolve(response.statusCode));
  }).on('error', reject);
});
Promise.all(process.argv.slice(1).map(async (path) => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < ${REQUESTS}; i++) {
    if (await ask(agent, path) !== 200) throw new Error(path);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  agent.destroy();
})).catch((error) => { console.error(error); process.exit(1); });`;

async function startServers(rig: Rig): Promise<void> {
  for (const [host, role] of [
    [rig.production, 'production'],
    [rig.target, 'target'],
  ] as const) {
    await host.spawn([process.execPath, '-e', SERVER, role]).waitFor(/listening/);
  }
}

function ask(rig: Rig, ...paths: string[]): void {
  rig.clients.run([process.execPath, '-e', CLIENT, ...paths], { timeoutMs: 60_000 });
}

/** Has the page written until all exchanges in it are judged; returns its data. */
async function settled(rig: Rig, page: string, exchanges: number): Promise<CompareReport> {
  let report: CompareReport | null = null;
  await until(`the page holds ${exchanges} exchanges`, () => {
    rig.agent!.child.kill('SIGHUP');
    if (!fs.existsSync(page)) return false;
    report = JSON.parse(readPage(fs.readFileSync(page, 'utf8')).data) as CompareReport;
    return report.compared + report.missingTarget >= exchanges;
  });
  return report!;
}

const ALL = ['/same', '/status', '/longer', '/slow', '/missing'];

function assertAll(t: Test, report: CompareReport, missing: number = REQUESTS): void {
  t.match(report, {
    compared: 4 * REQUESTS,
    same: 2 * REQUESTS,
    http: 4 * REQUESTS,
    statusEqual: 3 * REQUESTS,
    bytesEqual: 2 * REQUESTS,
    missingTarget: missing,
    missingProduction: 0,
    unanswered: 0,
    noRoom: 0,
    waiting: 0,
    statuses: [
      { production: 200, target: 200, count: 3 * REQUESTS },
      { production: 200, target: 500, count: REQUESTS },
    ],
    differing: { status: REQUESTS, bytes: REQUESTS, missingTarget: missing, missingProduction: 0 },
  });
  t.equal(report.exchanges.length, 2 * REQUESTS + missing);
  for (const { client, kind, production, request, target, targetReply } of report.exchanges) {
    assert.equal(client, '10.91.0.10');
    assert.equal(target, `${TARGET}:${PORT}`);
    assert.ok(request >= 1 && request <= REQUESTS, `request ${request}`);
    assert.equal(production!.status, 200);
    if (kind === 'status') assert.equal(targetReply!.status, 500);
    else if (kind === 'bytes') assert.equal(targetReply!.bytes - production!.bytes, ' and more'.length);
    else assert.equal(targetReply, null);
  }
  // A quarter of those compared is slow; percentiles are exact to 6 %.
  const slowest = report.target.firstByteNs.p90;
  t.ok(slowest >= SLOW_MS * 1e6 * 0.93, `${slowest} ns at the test server`);
  t.ok(report.production.firstByteNs.p50 < slowest, `${report.production.firstByteNs.p50} ns at production`);
  t.equal(
    report.course.compared.reduce((sum, count) => sum + count, 0),
    4 * REQUESTS,
    'the course of it',
  );
}

t.test('status, length, delay and silence, with --intercept local; the page; notes', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  await startServers(rig);
  const page = path.join(rig.lab.directory, 'differences.html');
  const target = ['--target', `${TARGET}:${PORT}`, '--intercept', 'local', '-i', 'eth0'];
  await rig.startAgent(...target, '--json', '--report', page);
  ask(rig, '/same');
  t.match(await settled(rig, page, REQUESTS), { compared: REQUESTS, same: REQUESTS }, 'so far, on SIGHUP');
  ask(rig, ...ALL.slice(1));
  await settled(rig, page, 5 * REQUESTS);
  const lines = (await rig.stopAgent()).trim().split('\n');
  const objects = lines.map((line) => JSON.parse(line) as { event: string; compare: CompareReport });
  const report = objects.find(({ event }) => event === 'report')!.compare;
  assertAll(t, report);
  t.equal(report.productionUnpaired, 0, 'each reply of production answers a copied request');
  const notes = objects.filter(({ event }) => event === 'note');
  t.match(notes.at(-1), { level: 'info', name: 'tscopy', text: `the comparison is in ${page}` }, 'by pino');
  const { data, charts } = readPage(fs.readFileSync(page, 'utf8'));
  const { course: _, ...told } = JSON.parse(data) as CompareReport;
  t.match(told, { compared: report.compared, statuses: report.statuses, exchanges: report.exchanges });
  t.equal(charts, 5);
  t.same(
    fs.readdirSync(rig.lab.directory).filter((name) => name.startsWith('.')),
    [],
    'nothing is left beside it',
  );
});

t.test('the same through tsintercept, and what people read', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  await startServers(rig);
  const key = path.join(rig.lab.directory, 'key');
  fs.writeFileSync(key, 'a key of more than sixteen bytes', { mode: 0o600 });
  const program = [process.execPath, path.join(ROOT, 'dist/src/cli/tsintercept.js')];
  const intercept = rig.target.spawn([...program, '--service', String(PORT), '--key-file', key, '--json']);
  await intercept.waitFor(/ready/i);
  const page = path.join(rig.lab.directory, 'differences.html');
  const compare = ['--report', page, '--log-level', 'warn', '--workers', '2'];
  await rig.startAgent('--target', `${TARGET}:${PORT}`, '--key-file', key, '-i', 'eth0', ...compare);
  ask(rig, ...ALL);
  await settled(rig, page, 5 * REQUESTS);
  const printed = await rig.stopAgent();
  assertAll(t, JSON.parse(readPage(fs.readFileSync(page, 'utf8')).data) as CompareReport);
  t.match(printed, /Replies compared: 80, of which 50\.00 % are alike \(status and length\)/);
  t.match(printed, /Status: 75\.00 % equal of 80\n\t\t200 -> 500: 20\n/);
  t.match(printed, /Length: 50\.00 % equal\n\tNot compared: 20 replies missing at the test server\n/);
  t.match(printed, /First byte p50 .* ms|µs .*x\n/);
  t.notMatch(rig.agent!.stderr, /info:/, '--log-level');
  const joined = intercept.stderr.split('\n').find((line) => line.includes('agentJoined'))!;
  t.match(JSON.parse(joined), { level: 'info', name: 'tsintercept', event: 'agentJoined', text: /joined/ });
});

t.test('out of a capture that holds both sides; no replies to compare with', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  await startServers(rig);
  const both = path.join(rig.lab.directory, 'both.pcap');
  const requests = path.join(rig.lab.directory, 'requests.pcap');
  const capture = await rig.production.capture('eth0', both, { filter: `tcp port ${PORT}` });
  const half = await rig.production.capture('eth0', requests, { filter: `tcp dst port ${PORT}` });
  ask(rig, ...ALL.filter((path) => path !== '/missing'));
  await capture.finish();
  await half.finish();
  const replay = async (
    file: string,
  ): Promise<readonly { event: string; text?: string; compare?: CompareReport }[]> => {
    const options = ['--target', `${TARGET}:${PORT}`, '--intercept', 'local', '--input', file, '--compare', '--json'];
    const agent = await rig.startAgent(...options, '--multiplier', '2');
    await agent.ended;
    return agent.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string });
  };
  const whole = (await replay(both)).find(({ event }) => event === 'report')!.compare!;
  assertAll(t, whole, 0);
  const blind = await replay(requests);
  t.match(blind.find(({ event }) => event === 'report')!.compare, { compared: 0, missingProduction: 4 * REQUESTS });
  t.ok(
    blind.some(({ text }) => text?.includes('the capture holds no replies of production') ?? false),
    'it says why there is nothing to compare',
  );
});
