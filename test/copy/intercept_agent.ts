/**
 * A small agent, run inside a lab host: it registers sessions, opens them at the test server from clients' addresses
 * with packets of its own, sends a request in each, and prints what came back through the tunnel. Not a test.
 */
import { BATCH_FRAMES } from '../../src/base/batch.ts';
import { plainRegion } from '../../src/base/region.ts';
import { addressWords } from '../../src/copy/intercept/services.ts';
import { Header, TargetHeader } from '../../src/copy/target_header.ts';
import { TunnelClient } from '../../src/copy/tunnel/client.ts';
import { readKeyFile } from '../../src/copy/tunnel/key.ts';
import { keyOfHeader } from '../../src/copy/tunnel/reply.ts';
import { KEY_WORDS } from '../../src/copy/tunnel/session_key.ts';
import { openAfPacketSink } from '../../src/device/af_packet.ts';
import { TcpFlag } from '../../src/wire/tcp.ts';

export interface AgentTask {
  readonly intercept: string;
  readonly port: number;
  readonly keyFile: string;
  /** Where the copies leave, and the MAC address of the next hop there. */
  readonly iface: string;
  readonly mac: string;
  readonly sessions: readonly { readonly client: string; readonly clientPort: number; readonly service: string }[];
  readonly servicePort: number;
  readonly request: string;
  /** Payload bytes to wait for, each session. */
  readonly replyBytes: number;
  readonly registerLateMs: number;
}

export interface AgentResult {
  readonly synAckMs: number;
  readonly mss: number;
  readonly windowScale: number;
  readonly replyBytes: number;
  readonly largest: number;
  readonly ageUsMax: number;
  readonly resets: number;
}

const task = JSON.parse(process.argv[2]!) as AgentTask;
const region = plainRegion(65_536 * 4);
const sink = openAfPacketSink({ name: task.iface });

function sum16(view: DataView, from: number, end: number, start: number): number {
  let sum = start;
  for (let at = from; at < end; at += 2) sum += at + 1 < end ? view.getUint16(at) : view.getUint8(at) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

class Session {
  readonly key: Int32Array = new Int32Array(KEY_WORDS);
  readonly #header = new TargetHeader();
  readonly #isV6: boolean;
  seq = 1_000_000;
  ack = 0;
  sentAt = 0;
  highest = 0;
  result = { synAckMs: -1, mss: 0, windowScale: -1, replyBytes: 0, largest: 0, ageUsMax: 0, resets: 0 };

  constructor({ client, clientPort, service }: AgentTask['sessions'][number]) {
    this.#isV6 = client.includes(':');
    const cells = this.#header.cells;
    cells[Header.IsIpv6] = this.#isV6 ? 1 : 0;
    cells.set(addressWords(client), Header.Client0);
    cells.set(addressWords(service), Header.Target0);
    cells[Header.ClientPort] = clientPort;
    cells[Header.TargetPort] = task.servicePort;
    keyOfHeader(this.#header, this.key);
  }

  send(flags: number, payload = ''): void {
    const { view, bytes } = region;
    const words = this.#isV6 ? 4 : 1;
    const ip = 14;
    const tcp = ip + (this.#isV6 ? 40 : 20);
    const optionBytes = (flags & TcpFlag.Syn) === 0 ? 0 : 8;
    const end = tcp + 20 + optionBytes + payload.length;
    bytes.fill(0, 0, end);
    bytes.set(task.mac.split(':').map((part) => Number.parseInt(part, 16)));
    bytes.set([2, 0, 0, 0, 9, 9], 6);
    view.setUint16(12, this.#isV6 ? 0x86dd : 0x0800);
    if (this.#isV6) {
      view.setUint32(ip, 0x6000_0000);
      view.setUint16(ip + 4, end - tcp);
      view.setUint16(ip + 6, 0x0640);
    } else {
      view.setUint16(ip, 0x4500);
      view.setUint16(ip + 2, end - ip);
      view.setUint16(ip + 6, 0x4000);
      view.setUint16(ip + 8, 0x4006);
    }
    const cells = this.#header.cells;
    for (let i = 0; i < words; i++) {
      view.setInt32(tcp - 8 * words + 4 * i, cells[Header.Client0 + i]!);
      view.setInt32(tcp - 4 * words + 4 * i, cells[Header.Target0 + i]!);
    }
    if (!this.#isV6) view.setUint16(ip + 10, ~sum16(view, ip, tcp, 0) & 0xffff);
    view.setUint16(tcp, cells[Header.ClientPort]!);
    view.setUint16(tcp + 2, cells[Header.TargetPort]!);
    view.setInt32(tcp + 4, this.seq | 0);
    view.setInt32(tcp + 8, this.ack | 0);
    view.setUint16(tcp + 12, ((5 + optionBytes / 4) << 12) | flags);
    view.setUint16(tcp + 14, 65_535);
    if (optionBytes > 0) view.setUint32(tcp + 20, 0x0204_05b4);
    if (optionBytes > 0) view.setUint32(tcp + 24, 0x0103_030a);
    bytes.set(Buffer.from(payload), tcp + 20 + optionBytes);
    const pseudo = sum16(view, tcp - 8 * words, tcp, 6 + end - tcp);
    view.setUint16(tcp + 16, ~sum16(view, tcp, end, pseudo) & 0xffff);
    sink.push(region, 0, end);
    sink.flush();
    this.seq += payload.length + ((flags & TcpFlag.Syn) === 0 ? 0 : 1);
  }

  take(header: TargetHeader, ageUs: number): void {
    const cells = header.cells;
    const result = this.result;
    result.ageUsMax = Math.max(result.ageUsMax, ageUs);
    const seq = cells[Header.Seq]!;
    if ((cells[Header.Flags]! & TcpFlag.Rst) !== 0) {
      result.resets++;
      result.replyBytes = task.replyBytes;
      return;
    }
    if ((cells[Header.Flags]! & TcpFlag.Syn) !== 0) {
      if (result.synAckMs >= 0) return;
      result.synAckMs = performance.now() - this.sentAt;
      result.mss = cells[Header.Mss]!;
      result.windowScale = cells[Header.Shift]!;
      this.ack = (seq + 1) | 0;
      this.highest = this.ack;
      this.send(TcpFlag.Ack);
      this.send(TcpFlag.Ack | TcpFlag.Psh, task.request);
      return;
    }
    const payload = cells[Header.PayloadBytes]!;
    const end = (seq + payload) | 0;
    if (payload === 0 || ((end - this.highest) | 0) <= 0) return;
    result.replyBytes += (end - this.highest) | 0;
    result.largest = Math.max(result.largest, payload);
    this.highest = end;
    this.ack = end;
    this.send(TcpFlag.Ack);
  }
}

const sessions = task.sessions.map((each) => new Session(each));
const byKey = new Map(sessions.map((session) => [session.key.join(), session]));
const header = new TargetHeader();
const key = new Int32Array(KEY_WORDS);
const client = new TunnelClient({
  host: task.intercept,
  port: task.port,
  key: readKeyFile(task.keyFile),
  tls: null,
  onReplies(batch) {
    while (batch.next(header)) {
      keyOfHeader(header, key);
      byKey.get(key.join())?.take(header, batch.ageUs);
    }
  },
});
const welcome = await client.connect();
console.log(JSON.stringify({ welcome }));
const register = (): void => {
  for (const session of sessions) client.register(session.key);
  client.flush();
};
if (task.registerLateMs > 0) setTimeout(register, task.registerLateMs);
else register();
for (const session of sessions) {
  session.sentAt = performance.now();
  session.send(TcpFlag.Syn);
  await new Promise((resolve) => setTimeout(resolve, 20));
}
const deadline = Date.now() + 20_000;
while (Date.now() < deadline && sessions.some(({ result }) => result.replyBytes < task.replyBytes)) {
  await new Promise((resolve) => setTimeout(resolve, 10));
}
console.log(JSON.stringify({ results: sessions.map(({ result }) => result), batch: BATCH_FRAMES }));
// The sessions stay open: what becomes of them when the interception ends is looked at from outside.
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
