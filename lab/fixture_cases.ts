/** The cases of `fixtures/pcaps`: application traffic. Links, tunnels and fragments are in `fixture_link_cases.ts`. */
import type { FixtureCase, Storage } from './fixture.ts';
import { pair } from './lab.ts';
import { startDns, startNginx, startRedis } from './servers.ts';

export const stored = (
  format: Storage['format'],
  precision: Storage['precision'],
  order: 'little' | 'big' = 'little',
): Storage => ({ format, precision, bigEndian: order === 'big' });

/** Text that compresses badly and is the same in every run. */
export function body(length: number): string {
  let state = 1;
  let text = '';
  while (text.length < length) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    text += `${state.toString(36)}\n`;
  }
  return text.slice(0, length);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const httpKeepalive: FixtureCase = {
  name: 'http-keepalive',
  description: 'Five HTTP/1.1 requests on one connection, one of them answered 404, with the ARP exchange before them',
  programs: ['nginx', 'curl'],
  storage: stored('pcap', 'micro'),
  async make(bench) {
    const lab = bench.lab(pair({ staticNeighbours: false }));
    await startNginx(lab, lab.host('b'), { files: { 'a.txt': body(300), 'b.txt': body(4000) } });
    const urls = ['a.txt', 'b.txt', 'none', 'a.txt', 'b.txt'].map((name) => `http://10.77.0.2/${name}`);
    const file = await bench.captured(lab, ['a', 'eth0'], () => bench.run(lab, 'a', ['curl', '-s', ...urls]));
    return { interfaces: [{ name: 'eth0', file }] };
  },
};

const httpLargeBody: FixtureCase = {
  name: 'http-large-body',
  description: 'A 60,000-byte HTTP body in segments of one MSS: no offloads, nothing longer than the MTU',
  programs: ['nginx', 'curl'],
  storage: stored('pcap', 'nano'),
  async make(bench) {
    const lab = bench.lab(pair());
    await startNginx(lab, lab.host('b'), { files: { 'large.txt': body(60_000) } });
    const argv = ['curl', '-s', '-o', '/dev/null', 'http://10.77.0.2/large.txt'];
    const file = await bench.captured(lab, ['b', 'eth0'], () => bench.run(lab, 'a', argv));
    return { interfaces: [{ name: 'eth0', file }] };
  },
};

const httpGro: FixtureCase = {
  name: 'http-gro',
  description:
    'A 100,000-byte HTTP body seen with offloads on: frames far longer than the MTU, and TCP checksums that the ' +
    'sending kernel left to hardware, so they hold the pseudo-header sum only',
  programs: ['nginx', 'curl'],
  storage: stored('pcap', 'nano'),
  async make(bench) {
    const lab = bench.lab(pair({ offloads: 'keep' }));
    await startNginx(lab, lab.host('b'), { files: { 'large.txt': body(100_000) } });
    const argv = ['curl', '-s', '-o', '/dev/null', 'http://10.77.0.2/large.txt'];
    const file = await bench.captured(lab, ['a', 'eth0'], () => bench.run(lab, 'a', argv));
    return { interfaces: [{ name: 'eth0', file }] };
  },
};

const httpIpv6: FixtureCase = {
  name: 'http-ipv6',
  description: 'HTTP over IPv6 with neighbour discovery',
  programs: ['nginx', 'curl'],
  storage: stored('pcapng', 'micro'),
  async make(bench) {
    const lab = bench.lab(pair({ staticNeighbours: false }, 'both'));
    await startNginx(lab, lab.host('b'), { files: { 'a.txt': body(3000) } });
    const argv = ['curl', '-s', 'http://[fd77::2]/a.txt', 'http://[fd77::2]/a.txt'];
    const file = await bench.captured(lab, ['a', 'eth0'], () => bench.run(lab, 'a', argv));
    return { interfaces: [{ name: 'eth0', file }] };
  },
};

const tcpRetransmissions: FixtureCase = {
  name: 'tcp-retransmissions',
  description:
    'An 80,000-byte HTTP body over a link that loses every 12th frame towards the client; seen at the server',
  programs: ['nginx', 'curl', 'nft'],
  storage: stored('pcapng', 'nano'),
  async make(bench) {
    const lab = bench.lab(pair());
    await startNginx(lab, lab.host('b'), { files: { 'large.txt': body(80_000) } });
    lab.host('a').loseAtIngress('eth0', 12);
    const argv = ['curl', '-s', '-m', '20', '-o', '/dev/null', 'http://10.77.0.2/large.txt'];
    const file = await bench.captured(lab, ['b', 'eth0'], () => bench.run(lab, 'a', argv));
    return { interfaces: [{ name: 'eth0', file }] };
  },
};

const dns: FixtureCase = {
  name: 'dns',
  description: 'DNS questions and answers over UDP and TCP, IPv4 and IPv6: A, AAAA, TXT and a name that does not exist',
  programs: ['dnsmasq', 'dig'],
  storage: stored('pcap', 'micro', 'big'),
  async make(bench) {
    const lab = bench.lab(pair({}, 'both'));
    const names = { 'www.example.test': '192.0.2.80', 'six.example.test': '2001:db8::80' };
    await startDns(lab, lab.host('b'), names, ['--txt-record=text.example.test,fixture']);
    const ask = (...rest: string[]): void => bench.run(lab, 'a', ['dig', '+tries=1', '+time=2', ...rest]);
    const file = await bench.captured(lab, ['a', 'eth0'], () => {
      ask('@10.77.0.2', 'www.example.test', 'A');
      ask('@10.77.0.2', 'six.example.test', 'AAAA');
      ask('@10.77.0.2', 'text.example.test', 'TXT');
      ask('@10.77.0.2', 'none.example.test', 'A');
      ask('@10.77.0.2', '+tcp', 'www.example.test', 'A');
      ask('@fd77::2', 'www.example.test', 'A');
    });
    return { interfaces: [{ name: 'eth0', file }] };
  },
};

const redis: FixtureCase = {
  name: 'redis',
  description: 'Redis commands one by one and pipelined, on several connections',
  programs: ['redis-server', 'redis-cli', 'redis-benchmark'],
  storage: stored('pcapng', 'nano'),
  async make(bench) {
    const lab = bench.lab(pair());
    await startRedis(lab, lab.host('b'));
    const cli = (...rest: string[]): void => bench.run(lab, 'a', ['redis-cli', '-h', '10.77.0.2', ...rest]);
    const file = await bench.captured(lab, ['b', 'eth0'], () => {
      cli('set', 'fixture', 'value');
      cli('get', 'fixture');
      cli('lrange', 'nothing', '0', '-1');
      const load = ['-h', '10.77.0.2', '-c', '2', '-n', '40', '-P', '4', '-t', 'set,get', '-q'];
      bench.run(lab, 'a', ['redis-benchmark', ...load]);
    });
    return { interfaces: [{ name: 'eth0', file }] };
  },
};

const tls: FixtureCase = {
  name: 'tls',
  description: 'TLS 1.3 and TLS 1.2 handshakes with a self-made certificate, and an HTTP request inside each',
  programs: ['nginx', 'curl', 'openssl'],
  storage: stored('pcap', 'nano', 'big'),
  async make(bench) {
    const lab = bench.lab(pair());
    await startNginx(lab, lab.host('b'), { tls: true, files: { 'a.txt': body(2000) } });
    const file = await bench.captured(lab, ['a', 'eth0'], () => {
      bench.run(lab, 'a', ['curl', '-sk', 'https://10.77.0.2/a.txt']);
      bench.run(lab, 'a', ['curl', '-sk', '--tls-max', '1.2', 'https://10.77.0.2/a.txt']);
    });
    return { interfaces: [{ name: 'eth0', file }] };
  },
};

const mixed: FixtureCase = {
  name: 'mixed',
  description:
    'Eight seconds of a small site: HTTP, DNS, redis and pings side by side, with pauses; the demo replays it',
  programs: ['nginx', 'curl', 'dnsmasq', 'dig', 'redis-server', 'redis-cli', 'ping'],
  storage: stored('pcap', 'nano'),
  async make(bench) {
    const lab = bench.lab(pair({ staticNeighbours: false }, 'both'));
    const [a, b] = [lab.host('a'), lab.host('b')];
    await startNginx(lab, b, { files: { 'a.txt': body(700), 'b.txt': body(3000) } });
    await startRedis(lab, b);
    await startDns(lab, b, { 'www.example.test': '10.77.0.2' });
    const file = await bench.captured(lab, ['a', 'eth0'], async () => {
      const pings = a.spawn(['ping', '-q', '-i', '0.1', '-c', '75', '10.77.0.2']);
      bench.commands.push('ping -q -i 0.1 -c 75 10.77.0.2');
      for (let i = 0; i < 12; i++) {
        bench.run(lab, 'a', ['dig', '+tries=1', '@10.77.0.2', 'www.example.test', i % 2 ? 'AAAA' : 'A']);
        const host = i % 3 === 2 ? '[fd77::2]' : '10.77.0.2';
        bench.run(lab, 'a', ['curl', '-s', `http://${host}/a.txt`, `http://${host}/b.txt`]);
        bench.run(lab, 'a', ['redis-cli', '-h', '10.77.0.2', 'incr', 'visits']);
        await pause(550 + 40 * (i % 4));
      }
      await pings.ended;
    });
    return { interfaces: [{ name: 'eth0', file }] };
  },
};

export const APPLICATION_CASES: readonly FixtureCase[] = [
  httpKeepalive,
  httpLargeBody,
  httpGro,
  httpIpv6,
  tcpRetransmissions,
  dns,
  redis,
  tls,
  mixed,
];
