/** What a copying thread plays before there is traffic: whole conversations, and nothing of them is left or leaves. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { labUnavailable } from '../../lab/availability.ts';
import type { AgentSnapshot } from '../../src/copy/agent/report.ts';
import type { AgentSpec, AgentTarget, ReplySource } from '../../src/copy/agent/spec.ts';
import { Rehearsal } from '../../src/copy/agent/warm_up.ts';
import { makeRig, PORT, PRODUCTION, TARGET } from './lab_rig.ts';

t.setTimeout(120_000);

const TURNS = 400;
const LOCAL: ReplySource = { kind: 'local', devices: ['none0'] };
const TUNNEL: ReplySource = { kind: 'tunnel', host: '192.0.2.1', port: 1, key: new Uint8Array(16), tls: null };

/** Of interfaces that no host has. */
function specOf(replies: ReplySource, address: AgentTarget['address'], macs = new Uint8Array(12)): AgentSpec {
  return {
    targets: [{ address, port: PORT, mtu: 1500, host: 'target', device: 'none0', sender: 'af_packet', macs }],
    services: [{ address: null, port: PORT, targets: [0], mirror: false, text: '' }],
    packets: { kind: 'live', device: 'none0', netns: null, except: [], filter: '', bufferBytes: 0 },
    replies,
    engine: { percent: 1, rampNs: 1e12, maxSessions: 1_000_000 },
    clones: { copies: 1, pool: null },
    workers: 1,
    cpuPercentMax: 0,
    closeMs: 0,
  };
}

const socketsOpen = (): number =>
  fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;

const notLinux = process.platform === 'linux' ? false : 'rings and queues are those of Linux';

t.test('conversations are played to their end, without a socket', { skip: notLinux }, async (t) => {
  for (const [name, spec] of [
    ['replies by a ring', specOf(LOCAL, [0x0a00_0009])],
    ['replies by the tunnel', specOf(TUNNEL, [0x0a00_0009])],
    ['without Ethernet', specOf(LOCAL, [0x0a00_0009], new Uint8Array(0))],
    ['IPv6', specOf(LOCAL, [0xfd00_0000, 0, 0, 9])],
    ['IPv6 by the tunnel', specOf(TUNNEL, [0xfd00_0000, 0, 0, 9])],
  ] as const) {
    const before = socketsOpen();
    const rehearsal = new Rehearsal(spec, 0);
    for (let n = 0; n < TURNS; n++) rehearsal.turn();
    t.equal(socketsOpen(), before, `${name}: no socket`);
    const counts = rehearsal.engine.statistics();
    t.match(
      counts,
      {
        ClientMalformed: 0,
        ClientBadChecksum: 0,
        ClientOutOfOrder: 0,
        ClientOutOfWindow: 0,
        TargetStray: 0,
        TargetInvalid: 0,
        ShedTableFull: 0,
        ShedMemory: 0,
        SkippedFull: 0,
        SendErrors: 0,
        SendTooLong: 0,
      },
      `${name}: nothing is refused`,
    );
    t.ok(counts.SessionsEnded > 500, `${name}: ${counts.SessionsEnded} sessions ended`);
    t.ok(counts.RequestsDelivered > counts.RequestsSent * 0.95, `${name}: ${counts.RequestsDelivered} requests`);
    const built = counts.DataPackets - counts.PacketsInPlace;
    t.ok(counts.PacketsInPlace > 500 && built > 500, `${name}: ${counts.PacketsInPlace} in place, ${built} built`);
    t.ok(rehearsal.emitter.sent() > 1_000, `${name}: the queue was emptied`);
    rehearsal.close();
  }
});

const skip = labUnavailable('nginx', 'curl', 'tcpdump') ?? false;

t.test('nothing of it leaves, and nothing of it is counted', { skip }, async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.lab.teardown());
  const capture = await rig.target.capture('eth0', path.join(rig.lab.directory, 'stray.pcap'), {
    filter: 'net 198.18.0.0/15',
  });
  const report = async (): Promise<AgentSnapshot> =>
    JSON.parse((await rig.stopAgent()).trim().split('\n').at(-1)!) as AgentSnapshot;
  const options = ['--target', `${TARGET}:${PORT}`, '--intercept', 'local', '-i', 'eth0', '--json'];

  await rig.startAgent(...options);
  const idle = await report();
  const counted = Object.entries(idle.counts).filter(([, value]) => value > 0);
  t.same(counted, [], 'without traffic every count is 0');
  t.match(idle, { framesSent: 0, framesRefused: 0, framesReceived: 0 });
  t.equal(idle.lagNs.max, 0);

  await rig.startAgent(...options);
  rig.clients.run(['curl', '-s', '-o', '/dev/null', `http://${PRODUCTION}:${PORT}/one`]);
  await rig.settled(1);
  const { counts } = await report();
  t.match(counts, { SessionsSeen: 1, RequestsSeen: 1, RequestsSent: 1, RequestsDelivered: 1, SynPackets: 1 });
  t.equal((await capture.finish()).packets.length, 0, 'no packet of a made client came to the test server');
});
