/** The registry, scraped over HTTP as Prometheus does. */
import { createServer } from 'node:net';
import t from 'tap';
import {
  METRIC_ROWS,
  OUTPUT_METRIC_ROWS,
  type ReplayMetrics,
  replayRegistry,
  serveMetrics,
} from '../../src/metrics/index.ts';

const START: ReplayMetrics = {
  packetsRead: 10,
  packetsSkipped: 1,
  bytesSent: 640,
  seconds: 0.5,
  loop: 1,
  latenessNsLast: 1500,
  latenessNsMax: 2_000_000,
  paused: false,
  outputs: [
    { name: 'eth0', sent: 8, failed: 1 },
    { name: 'eth1', sent: 0, failed: 0 },
  ],
};

/** Name (with labels) -> value. */
async function scrape(url: string): Promise<Map<string, number>> {
  const response = await fetch(url);
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

t.test('a scrape shows the counters of that moment', async (t) => {
  let now = START;
  const server = await serveMetrics(
    replayRegistry(() => now),
    '127.0.0.1',
    0,
  );
  t.teardown(() => server.close());
  t.ok(server.port > 0);
  t.equal(server.url, `http://127.0.0.1:${server.port}/metrics`);
  const first = await scrape(server.url);
  t.same(Object.fromEntries(first), {
    tsreplay_packets_read_total: 10,
    tsreplay_packets_skipped_total: 1,
    tsreplay_bytes_sent_total: 640,
    tsreplay_elapsed_seconds: 0.5,
    tsreplay_loop: 1,
    tsreplay_lateness_seconds: 0.0000015,
    tsreplay_lateness_max_seconds: 0.002,
    tsreplay_paused: 0,
    'tsreplay_packets_sent_total{interface="eth0"}': 8,
    'tsreplay_packets_sent_total{interface="eth1"}': 0,
    'tsreplay_packets_failed_total{interface="eth0"}': 1,
    'tsreplay_packets_failed_total{interface="eth1"}': 0,
  });
  now = { ...START, packetsRead: 12, paused: true };
  const second = await scrape(server.url);
  t.equal(second.get('tsreplay_packets_read_total'), 12, 'counters follow, and are not added up');
  t.equal(second.get('tsreplay_paused'), 1);
  const text = await (await fetch(server.url)).text();
  for (const { name, help } of [...METRIC_ROWS, ...OUTPUT_METRIC_ROWS]) t.match(text, `# HELP ${name} ${help}`);
  t.equal((await fetch(server.url.replace('/metrics', '/other'))).status, 404);
  t.equal((await fetch(server.url, { method: 'POST' })).status, 405);
  t.match((await fetch(server.url)).headers.get('content-type'), /^text\/plain/);
  t.end();
});

t.test('a port that cannot be had', async (t) => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => blocker.once('listening', resolve));
  t.teardown(() => blocker.close());
  const { port } = blocker.address() as { port: number };
  const registry = replayRegistry(() => START);
  await t.rejects(serveMetrics(registry, '127.0.0.1', port), {
    code: 'RESOURCE',
    message: `--metrics-port 127.0.0.1:${port} is in use: take another port, or 0 for any free one`,
  });
  await t.rejects(serveMetrics(registry, '203.0.113.1', 0), {
    code: 'RESOURCE',
    message: /is no address of this machine/,
  });
  t.end();
});
