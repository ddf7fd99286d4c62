import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { programsMissing } from '../../lab/availability.ts';
import { certificate } from '../../lab/servers.ts';
import { Rng } from '../../src/base/rng.ts';
import { ReplyRouter } from '../../src/copy/intercept/router.ts';
import { Header, TargetHeader } from '../../src/copy/target_header.ts';
import type { AgentLink } from '../../src/copy/tunnel/agent_link.ts';
import { TunnelClient, type TunnelState } from '../../src/copy/tunnel/client.ts';
import { frameOf } from '../../src/copy/tunnel/frames.ts';
import { newNonce, proofOf } from '../../src/copy/tunnel/key.ts';
import { Frame, HELLO_BYTES, MAGIC, TUNNEL_VERSION } from '../../src/copy/tunnel/protocol.ts';
import { REPLY_BYTES_MAX, writeReply } from '../../src/copy/tunnel/reply.ts';
import { ReplyBatch } from '../../src/copy/tunnel/reply_batch.ts';
import {
  openTunnelServer,
  type TunnelLimits,
  type TunnelServer,
  type TunnelTls,
} from '../../src/copy/tunnel/server.ts';
import { sessionKey } from './session_key.ts';

const KEY = Buffer.from('a key of more than sixteen bytes');
type Tap = { teardown(fn: () => unknown): void };

interface Rig {
  readonly server: TunnelServer;
  readonly router: ReplyRouter;
  readonly left: string[];
  readonly refused: string[];
  readonly linkOf: (index: number) => AgentLink;
}

async function serve(
  t: Tap,
  options: { port?: number; limits?: Partial<TunnelLimits>; tls?: TunnelTls; key?: Buffer } = {},
): Promise<Rig> {
  const left: string[] = [];
  const refused: string[] = [];
  const links: AgentLink[] = [];
  let router: ReplyRouter;
  const server = await openTunnelServer({
    host: '127.0.0.1',
    port: options.port ?? 0,
    key: options.key ?? KEY,
    tls: options.tls ?? null,
    welcome: { mode: 'host', services: ['80'] },
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    events: {
      joined: (link) => links.push(link),
      session: (link, isAdded, key) => (isAdded ? router.register(link, key) : router.unregister(link, key)),
      left: (link, why) => {
        left.push(why);
        router.forget(link);
      },
      refused: (_address, why) => refused.push(why),
      status: (link) => ({
        replies: 1,
        routed: 2,
        unrouted: 3,
        droppedByKernel: 4,
        lostToAgent: link.lost,
        sessions: 5,
      }),
    },
  });
  router = new ReplyRouter((id) => server.agent(id));
  t.teardown(() => server.close());
  return { server, router, left, refused, linkOf: (index) => links[index]! };
}

interface Agent {
  readonly client: TunnelClient;
  /** `client port:sequence` of every reply. */
  readonly seen: string[];
  readonly states: TunnelState[];
}

function agent(t: Tap, port: number, more: { key?: Buffer; tls?: TunnelTls; host?: string } = {}): Agent {
  const seen: string[] = [];
  const states: TunnelState[] = [];
  const header = new TargetHeader();
  const client = new TunnelClient({
    host: more.host ?? '127.0.0.1',
    port,
    key: more.key ?? KEY,
    tls: more.tls ?? null,
    backOffMs: [10, 50],
    onReplies(batch) {
      while (batch.next(header)) seen.push(`${header.cells[Header.ClientPort]}:${header.cells[Header.Seq]! >>> 0}`);
    },
    onState: (state) => states.push(state),
  });
  t.teardown(() => client.close());
  return { client, seen, states };
}

const records = Buffer.alloc(REPLY_BYTES_MAX * 4);
const recordsView = new DataView(records.buffer, records.byteOffset, records.length);

/** Routes one reply to a session, as the ring does. */
function reply(router: ReplyRouter, clientPort: number, seq: number): void {
  const header = new TargetHeader();
  header.cells[Header.Client0] = 0x0a630005;
  header.cells[Header.Target0] = 0x0a4d0002;
  header.cells[Header.ClientPort] = clientPort;
  header.cells[Header.TargetPort] = 80;
  header.cells[Header.Seq] = seq;
  header.cells[Header.Shift] = -1;
  router.route(records, recordsView, 0, writeReply(header, recordsView, 0), 0.1, performance.now());
}

async function until(what: string, ready: () => boolean, ms = 30_000): Promise<void> {
  const end = Date.now() + ms;
  while (!ready()) {
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

t.test('replies reach the agent that registered their session, and no other', async (t) => {
  const { server, router } = await serve(t);
  const [a, b] = [agent(t, server.port), agent(t, server.port)];
  t.same(await a.client.connect(), { mode: 'host', services: ['80'] });
  await b.client.connect();
  for (let port = 1; port <= 100; port++) (port % 2 === 0 ? a : b).client.register(sessionKey(port));
  await until('registered', () => router.sessions === 100);
  for (let port = 1; port <= 100; port++) reply(router, port, port * 10);
  await until('replies', () => a.seen.length === 50 && b.seen.length === 50);
  t.same(
    a.seen,
    Array.from({ length: 50 }, (_, i) => `${2 * i + 2}:${(2 * i + 2) * 10}`),
  );
  reply(router, 7777, 1);
  reply(router, 7777, 2);
  t.equal(router.early.count, 2, 'not registered: they wait');
  b.client.register(sessionKey(7777));
  await until('late replies', () => b.seen.length === 52);
  t.same(b.seen.slice(50), ['7777:1', '7777:2'], 'in order');
  b.client.unregister(sessionKey(7777));
  await until('unregistered', () => router.sessions === 100);
  a.client.register(sessionKey(1));
  await until('taken over', () => router.takenOver === 1);
  b.client.unregister(sessionKey(1));
  b.client.flush();
  reply(router, 1, 5);
  await until('to its new agent', () => a.seen.includes('1:5'));
  b.client.close();
  await until('gone', () => server.agentCount === 1);
  t.equal(router.sessions, 51, 'its sessions went with it');
  await until('status', () => a.client.remote !== null);
  t.same(a.client.remote, { replies: 1, routed: 2, unrouted: 3, droppedByKernel: 4, lostToAgent: 0, sessions: 5 });
});

t.test('both ends prove that they have the key', async (t) => {
  const { server, refused } = await serve(t);
  const wrong = agent(t, server.port, { key: Buffer.from('another key of sixteen bytes') });
  await t.rejects(wrong.client.connect(), { code: 'PERMISSION', message: /has another key: copy the key file/ });
  t.same(refused, ['wrongKey']);
  const nobody = agent(t, 1);
  await t.rejects(nobody.client.connect(), { code: 'ADDRESS', message: /nothing listens at 127.0.0.1:1/ });
  // A server that lets everybody in and sends back what it was given.
  const { createServer } = await import('node:net');
  const sockets = new Set<Socket>();
  const impostor = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    let frames = 0;
    socket.on('data', (chunk) => {
      const answer = frames++ === 0 ? Buffer.concat([Buffer.from([0, TUNNEL_VERSION]), newNonce()]) : chunk.subarray(5);
      socket.write(frameOf(frames === 1 ? Frame.Challenge : Frame.Welcome, answer));
    });
  });
  await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    impostor.close();
  });
  const cheated = agent(t, (impostor.address() as { port: number }).port);
  await t.rejects(cheated.client.connect(), { code: 'PERMISSION', message: /does not have the key/ });
  const a = newNonce();
  t.notSame(proofOf(KEY, 'agent', a, a), proofOf(KEY, 'server', a, a), 'a proof serves one role');
  await t.rejects(
    openTunnelServer({
      host: '127.0.0.1',
      port: server.port,
      key: KEY,
      tls: null,
      welcome: { mode: 'host', services: [] },
      events: {} as never,
    }),
    { code: 'RESOURCE', message: /is in use: ss -ltnp/ },
  );
});

/** A connection that sends `bytes`; resolves with what came back when the far end closed it. */
function raw(port: number, bytes: Uint8Array, isEnded = false): Promise<Buffer> {
  return new Promise((resolve) => {
    const back: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(bytes);
      if (isEnded) socket.end();
    });
    socket.on('data', (chunk) => back.push(chunk));
    socket.on('error', () => {});
    socket.on('close', () => resolve(Buffer.concat(back)));
  });
}

function hello(version = TUNNEL_VERSION): Buffer {
  const payload = Buffer.alloc(HELLO_BYTES);
  payload.writeUInt32BE(MAGIC, 0);
  payload.writeUInt16BE(version, 4);
  return frameOf(Frame.Hello, payload);
}

t.test('whoever speaks otherwise is closed and counted', async (t) => {
  const { server, refused } = await serve(t, { limits: { handshakeMsMax: 200, strangersMax: 4 } });
  t.equal((await raw(server.port, Buffer.from('GET / HTTP/1.1\r\n\r\n'))).length, 0, 'a scanner learns nothing');
  t.same(refused.splice(0), ['tooLong']);
  await raw(server.port, frameOf(99));
  t.same(refused.splice(0), ['garbage']);
  const back = await raw(server.port, hello(99));
  t.same([back[4], back[5], back.readUInt16BE(6)], [Frame.Reject, 2, TUNNEL_VERSION], 'told which version is here');
  t.same(refused.splice(0), ['wrongVersion']);
  await raw(server.port, Buffer.alloc(0));
  t.same(refused.splice(0), ['handshakeTimeout'], 'silence ends');
  await raw(server.port, hello());
  t.same(refused.splice(0), ['handshakeTimeout'], 'half a handshake ends');
  await Promise.all(Array.from({ length: 20 }, () => raw(server.port, hello())));
  t.equal(refused.filter((why) => why === 'crowded').length, 16, 'the oldest make room');
  t.equal(server.ends.get('crowded'), 16);
  const good = agent(t, server.port);
  await good.client.connect();
  t.equal(server.accepted, 26);
});

t.test('a far end with the key that sends nonsense', async (t) => {
  const { server, router, left } = await serve(t);
  const entry = Buffer.from([1, 0, 1, 0, 80, 10, 99, 0, 5, 10, 77, 0, 2]);
  const bad: [Buffer, string][] = [
    [frameOf(Frame.Welcome), 'garbage'],
    [frameOf(Frame.Sessions, Buffer.from([7])), 'garbage'],
    [frameOf(Frame.Sessions, entry.subarray(0, 12)), 'garbage'],
    [Buffer.from([0, 4, 0, 1, 0]), 'tooLong'],
    [Buffer.from([0xff, 0xff, 0xff, 0xff, 6]), 'tooLong'],
    [Buffer.from([0, 0, 0, 0, 6]), 'garbage'],
  ];
  for (const [bytes, why] of bad) {
    const socket = connect(server.port, '127.0.0.1');
    const closed = new Promise((resolve) => socket.on('error', () => {}).on('close', resolve));
    socket.write(hello());
    socket.once('data', (challenge) => {
      const nonce = challenge.subarray(7, 39);
      socket.write(frameOf(Frame.Proof, proofOf(KEY, 'agent', Buffer.alloc(32), nonce)));
      socket.once('data', () => socket.write(Buffer.concat([frameOf(Frame.Sessions, entry), bytes])));
    });
    await closed;
    t.equal(left.pop(), why);
  }
  t.equal(router.sessions, 0, 'what it had registered is gone');
});

t.test('seeded mutations of an honest conversation: no crash, bounded memory', async (t) => {
  const { server, left, refused, router } = await serve(t, { limits: { handshakeMsMax: 100 } });
  const rng = new Rng(20261122);
  const entries = Buffer.alloc(13 * 40, Buffer.from([1, 0, 1, 0, 80, 10, 99, 0, 5, 10, 77, 0, 2]));
  const before = process.memoryUsage().arrayBuffers;
  const talk = async (): Promise<void> => {
    const pieces = [
      hello(),
      frameOf(Frame.Proof, Buffer.alloc(32)),
      frameOf(Frame.Sessions, entries),
      frameOf(Frame.Ping),
    ];
    const bytes = Buffer.concat(pieces.slice(0, 1 + rng.below(4)));
    for (let i = rng.below(6); i > 0; i--) {
      const at = rng.below(bytes.length);
      const kind = rng.below(3);
      bytes[at] = kind === 0 ? rng.below(256) : kind === 1 ? bytes[at]! ^ (1 << rng.below(8)) : 255;
    }
    await raw(server.port, bytes.subarray(0, 1 + rng.below(bytes.length)), rng.below(2) === 0);
  };
  // Two descriptors each, of which a process may have few.
  for (let round = 0; round < 6; round++) await Promise.all(Array.from({ length: 50 }, talk));
  // An agent with the key whose registrations are mutated.
  for (let run = 0; run < 60; run++) {
    const socket = connect(server.port, '127.0.0.1');
    const closed = new Promise((resolve) => socket.on('error', () => {}).on('close', resolve));
    socket.write(hello());
    socket.once('data', (challenge) => {
      socket.write(frameOf(Frame.Proof, proofOf(KEY, 'agent', Buffer.alloc(32), challenge.subarray(7, 39))));
      const bytes = Buffer.concat([frameOf(Frame.Sessions, entries), frameOf(Frame.Sessions, entries)]);
      for (let i = 0; i < 1 + rng.below(8); i++) bytes[rng.below(bytes.length)] = rng.below(256);
      let at = 0;
      while (at < bytes.length) {
        const step = 1 + rng.below(200);
        socket.write(bytes.subarray(at, at + step));
        at += step;
      }
      socket.end();
    });
    await closed;
  }
  await until('all ended', () => left.length + refused.length === 360);
  t.equal(router.sessions, 0);
  t.ok(process.memoryUsage().arrayBuffers - before < 32e6, 'no growth');
  const good = agent(t, server.port);
  await good.client.connect();
  t.pass('an honest agent still gets in');
});

t.test('after a restart of the far end every live session is registered anew', async (t) => {
  const first = await serve(t);
  const { port } = first.server;
  const a = agent(t, port);
  await a.client.connect();
  for (let i = 1; i <= 5_000; i++) a.client.register(sessionKey(i));
  for (let i = 1; i <= 1_000; i++) a.client.unregister(sessionKey(i));
  await until('registered', () => first.router.sessions === 4_000);
  await first.server.close();
  await until('noticed', () => a.states.includes('waiting'));
  a.client.register(sessionKey(6_000));
  a.client.unregister(sessionKey(5_000));
  const second = await serve(t, { port });
  await until('registered anew', () => second.router.sessions === 4_000);
  t.equal(a.client.statistics.registeredAnew, 4_000);
  t.equal(a.client.statistics.connects, 2);
  reply(second.router, 6_000, 1);
  reply(second.router, 2_000, 2);
  await until('replies', () => a.seen.length === 2);
});

t.test('an agent that does not read loses its own replies, counted, and harms no other', async (t) => {
  const { server, router, linkOf, left } = await serve(t, {
    limits: { queueBytesMax: 256 * 1024, silenceMsMax: 4_000 },
  });
  const slow = agent(t, server.port);
  await slow.client.connect();
  const quick = agent(t, server.port);
  await quick.client.connect();
  slow.client.register(sessionKey(1));
  quick.client.register(sessionKey(2));
  await until('registered', () => router.sessions === 2);
  const link = linkOf(0);
  slow.client.pause();
  let sent = 0;
  let rounds = 0;
  while (link.lost === 0 && sent < 2_000_000) {
    for (let i = 0; i < 2_000; i++, sent++) reply(router, 1, sent);
    reply(router, 2, sent);
    rounds++;
    await until('the quick one', () => quick.seen.length === rounds);
  }
  t.ok(link.lost > 0, `lost after ${sent}`);
  t.ok(link.queuedBytes <= 256 * 1024, 'bounded');
  t.equal(linkOf(1).lost, 0, 'the quick one has all of its own');
  const lost = link.lost;
  slow.client.resume();
  await until('read on', () => slow.seen.length === sent - lost);
  reply(router, 1, 9);
  await until('told', () => slow.client.statistics.lost === lost);
  // A third one has the key and falls silent.
  const silent = connect(server.port, '127.0.0.1').on('error', () => {});
  t.teardown(() => silent.destroy());
  silent.write(hello());
  silent.once('data', (challenge) => {
    silent.write(frameOf(Frame.Proof, proofOf(KEY, 'agent', Buffer.alloc(32), challenge.subarray(7, 39))));
  });
  await until('silence ends it', () => left.includes('silent'));
  t.equal(server.agentCount, 2);
});

t.test('TLS, with and without certificates of agents', { skip: programsMissing('openssl') ?? false }, async (t) => {
  const files = certificate(t.testdir());
  const cert = readFileSync(files.certificate, 'utf8');
  const key = readFileSync(files.key, 'utf8');
  const plain = await serve(t, { tls: { cert, key } });
  const a = agent(t, plain.server.port, { tls: { ca: cert, servername: 'lab.example.test' } });
  await a.client.connect();
  a.client.register(sessionKey(1));
  await until('registered', () => plain.router.sessions === 1);
  reply(plain.router, 1, 77);
  await until('reply', () => a.seen[0] === '1:77');
  await t.rejects(agent(t, plain.server.port, { tls: {} }).client.connect(), {
    code: 'ADDRESS',
    message: /nobody in --tls-ca has signed its certificate/,
  });
  await t.rejects(agent(t, plain.server.port, { tls: { ca: cert } }).client.connect(), {
    message: /altnames|Hostname/,
  });
  await raw(plain.server.port, Buffer.from('GET / HTTP/1.0\r\n\r\n'));
  t.ok((plain.server.ends.get('tls') ?? 0) >= 1, 'counted');
  const mutual = await serve(t, { tls: { cert, key, ca: cert } });
  const bare = agent(t, mutual.server.port, { tls: { ca: cert, servername: 'lab.example.test' } });
  await t.rejects(bare.client.connect(), { code: 'ADDRESS', message: /wants a certificate of this host: --tls-cert/ });
  await t.rejects(agent(t, plain.server.port).client.connect(), { message: /does it want TLS \(--tls-ca\)/ });
  const clear = await serve(t);
  await t.rejects(agent(t, clear.server.port, { tls: { ca: cert } }).client.connect(), {
    message: /see whether both ends speak TLS|does tsintercept there speak TLS/,
  });
  const full = agent(t, mutual.server.port, { tls: { ca: cert, cert, key, servername: 'lab.example.test' } });
  await full.client.connect();
  t.throws(() => new ReplyBatch().view.getUint8(0));
  const bad = openTunnelServer({
    host: '127.0.0.1',
    port: 0,
    key: KEY,
    tls: { cert: 'x', key },
    welcome: { mode: 'host', services: [] },
    events: {} as never,
  });
  await t.rejects(bad, { code: 'FILE', message: /certificate or key cannot be used/ });
});
