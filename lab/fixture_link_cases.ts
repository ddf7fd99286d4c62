/** The cases of `fixtures/pcaps` that are about links, tunnels, fragments and errors. */
import type { FixtureBench, FixtureCase, Made } from './fixture.ts';
import { body, stored } from './fixture_cases.ts';
import { type Lab, type LabSpec, pair } from './lab.ts';
import type { PcapFile } from './pcapfile.ts';
import { startDns, startNginx } from './servers.ts';

interface Tag {
  readonly protocol: '802.1q' | '802.1ad';
  readonly id: number;
}

const TPID = { '802.1q': 0x8100, '802.1ad': 0x88a8 } as const;
const ADDRESSES_LEN = 12;

/** The same packets with tags behind their addresses, outermost first. */
function tagged(file: PcapFile, tags: readonly Tag[]): PcapFile {
  const bytes = Buffer.alloc(tags.length * 4);
  tags.forEach(({ protocol, id }, i) => {
    bytes.writeUInt16BE(TPID[protocol], i * 4);
    bytes.writeUInt16BE(id, i * 4 + 2);
  });
  const packets = file.packets.map((packet) => ({
    ...packet,
    len: packet.len + bytes.length,
    data: Buffer.concat([packet.data.subarray(0, ADDRESSES_LEN), bytes, packet.data.subarray(ADDRESSES_LEN)]),
  }));
  return { ...file, packets };
}

/** Stacks VLAN interfaces on `eth0` of both hosts; false where the kernel has no such interfaces. */
function stackVlans(lab: Lab, tags: readonly Tag[]): boolean {
  for (const [name, n] of [
    ['a', 1],
    ['b', 2],
  ] as const) {
    let below = 'eth0';
    for (const { protocol, id } of tags) {
      const add = ['ip', 'link', 'add', 'link', below, 'name', `v${id}`, 'type', 'vlan', 'proto', protocol];
      if (lab.host(name).run([...add, 'id', String(id)], { check: false }).status !== 0) return false;
      below = `v${id}`;
      lab.host(name).run(['ip', 'link', 'set', below, 'up']);
    }
    lab.host(name).run(['ip', 'addr', 'add', `10.78.0.${n}/24`, 'dev', below]);
  }
  return true;
}

/** HTTP over VLAN interfaces where the kernel has them, else over the plain link and tagged afterwards. */
async function overVlans(bench: FixtureBench, tags: readonly Tag[]): Promise<Made> {
  const lab = bench.lab(pair({ staticNeighbours: false }));
  await startNginx(lab, lab.host('b'), { files: { 'a.txt': body(2500) } });
  const real = stackVlans(lab, tags);
  const argv = ['curl', '-s', `http://10.${real ? 78 : 77}.0.2/a.txt`];
  const file = await bench.captured(lab, ['a', 'eth0'], () => bench.run(lab, 'a', argv));
  if (real) return { interfaces: [{ name: 'eth0', file }] };
  const altered = 'captured untagged, as the kernel had no VLAN interfaces; the tags were inserted afterwards';
  return { interfaces: [{ name: 'eth0', file: tagged(file, tags) }], altered };
}

const vlan: FixtureCase = {
  name: 'vlan',
  description: 'HTTP and ARP in VLAN 100 (802.1Q)',
  programs: ['nginx', 'curl'],
  storage: stored('pcap', 'micro'),
  make: (bench) => overVlans(bench, [{ protocol: '802.1q', id: 100 }]),
};

const qinq: FixtureCase = {
  name: 'qinq',
  description: 'HTTP and ARP in customer VLAN 100 (802.1Q) within service VLAN 20 (802.1ad)',
  programs: ['nginx', 'curl'],
  storage: stored('pcapng', 'micro', 'big'),
  make: (bench) =>
    overVlans(bench, [
      { protocol: '802.1ad', id: 20 },
      { protocol: '802.1q', id: 100 },
    ]),
};

const LONG_TEXT = Array.from({ length: 14 }, (_, i) => `"${'x'.repeat(200)}${i}"`).join(',');

/** Pings and a DNS answer longer than the MTU. */
function fragmentsCase(
  name: string,
  description: string,
  address: string,
  storage: FixtureCase['storage'],
): FixtureCase {
  return {
    name,
    description,
    programs: ['ping', 'dnsmasq', 'dig'],
    storage,
    async make(bench) {
      const lab = bench.lab(pair({}, 'both'));
      const dnsOptions = ['--edns-packet-max=4096', `--txt-record=long.example.test,${LONG_TEXT.replaceAll('"', '')}`];
      await startDns(lab, lab.host('b'), {}, dnsOptions);
      const file = await bench.captured(lab, ['a', 'eth0'], () => {
        bench.run(lab, 'a', ['ping', '-c', '2', '-i', '0.05', '-s', '4000', address]);
        bench.run(lab, 'a', ['ping', '-c', '1', '-s', '1473', address]);
        const edns = ['+notcp', '+ignore', '+bufsize=4096', '+tries=1'];
        bench.run(lab, 'a', ['dig', `@${address}`, ...edns, 'long.example.test', 'TXT']);
      });
      return { interfaces: [{ name: 'eth0', file }] };
    },
  };
}

/** HTTP seen on the pseudo-interface `any`. */
function anyCase(name: string, linktype: string, storage: FixtureCase['storage']): FixtureCase {
  return {
    name,
    description: `HTTP over IPv4 and IPv6 captured on the interface "any" (link type ${linktype})`,
    programs: ['nginx', 'curl'],
    storage,
    async make(bench) {
      const lab = bench.lab(pair({ staticNeighbours: false }, 'both'));
      await startNginx(lab, lab.host('b'), { files: { 'a.txt': body(1000) } });
      const argv = ['curl', '-s', 'http://10.77.0.2/a.txt', 'http://[fd77::2]/a.txt'];
      const run = (): void => bench.run(lab, 'a', argv);
      const file = await bench.captured(lab, ['a', 'any'], run, { linktype });
      return { interfaces: [{ name: 'any', file }] };
    },
  };
}

/** Adds an interface without a link layer to both hosts: a VXLAN-GPE tunnel that carries IP packets as they are. */
function tunnel(lab: Lab): void {
  for (const [name, own, far] of [
    ['a', 1, 2],
    ['b', 2, 1],
  ] as const) {
    const host = lab.host(name);
    host.run(['ip', 'link', 'add', 'tun0', 'type', 'vxlan', 'dstport', '4790', 'external', 'gpe']);
    host.run(['ip', 'link', 'set', 'tun0', 'mtu', '1400', 'up']);
    host.run(['ethtool', '-K', 'tun0', 'tx', 'off', 'gso', 'off', 'gro', 'off']);
    host.run(['ip', 'addr', 'add', `10.79.0.${own}/32`, 'dev', 'tun0']);
    const encapsulation = ['encap', 'ip', 'id', '7', 'dst', `10.77.0.${far}`];
    const source = ['src', `10.79.0.${own}`];
    host.run(['ip', 'route', 'add', `10.79.0.${far}/32`, ...encapsulation, 'dev', 'tun0', ...source]);
  }
}

async function throughTunnel(bench: FixtureBench, spec: LabSpec): Promise<{ inner: PcapFile; outer: PcapFile }> {
  const lab = bench.lab(spec);
  tunnel(lab);
  await startNginx(lab, lab.host('b'), { files: { 'a.txt': body(2000) } });
  let outer: PcapFile | null = null;
  const inner = await bench.captured(lab, ['a', 'tun0'], async () => {
    const argv = ['curl', '-s', 'http://10.79.0.2/a.txt'];
    outer = await bench.captured(lab, ['a', 'eth0'], () => bench.run(lab, 'a', argv));
  });
  return { inner, outer: outer! };
}

const raw: FixtureCase = {
  name: 'raw-ip',
  description: 'HTTP on a tunnel interface without a link layer (link type RAW)',
  programs: ['nginx', 'curl', 'ip'],
  storage: stored('pcap', 'nano', 'big'),
  async make(bench) {
    const { inner } = await throughTunnel(bench, pair());
    return { interfaces: [{ name: 'tun0', file: inner }] };
  },
};

const twoInterfaces: FixtureCase = {
  name: 'pcapng-two-interfaces',
  description: 'One HTTP session seen twice: inside its tunnel (RAW, ns) and on the Ethernet below (VXLAN-GPE in UDP)',
  programs: ['nginx', 'curl', 'ip'],
  storage: stored('pcapng', 'nano'),
  async make(bench) {
    const { inner, outer } = await throughTunnel(bench, pair());
    return {
      interfaces: [
        { name: 'eth0', file: outer },
        { name: 'tun0', file: inner },
      ],
    };
  },
};

const icmpErrors: FixtureCase = {
  name: 'icmp-errors',
  description: 'Port unreachable for UDP over IPv4 and IPv6, a TCP reset, and an address that cannot be reached',
  programs: ['dig', 'curl', 'ping', 'ip'],
  storage: stored('pcapng', 'micro'),
  async make(bench) {
    const lab = bench.lab(pair({}, 'both'));
    lab.host('a').run(['ip', 'route', 'add', '10.80.0.0/24', 'via', '10.77.0.2']);
    lab.host('b').run(['ip', 'route', 'add', 'prohibit', '10.80.0.0/24']);
    lab.host('b').run(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
    const file = await bench.captured(lab, ['a', 'eth0'], () => {
      bench.run(lab, 'a', ['dig', '@10.77.0.2', '-p', '5300', '+tries=1', '+time=1', 'www.example.test']);
      bench.run(lab, 'a', ['dig', '@fd77::2', '-p', '5300', '+tries=1', '+time=1', 'www.example.test']);
      bench.run(lab, 'a', ['curl', '-s', '-m', '2', 'http://10.77.0.2:8999/']);
      bench.run(lab, 'a', ['ping', '-c', '1', '-W', '1', '10.80.0.9']);
    });
    return { interfaces: [{ name: 'eth0', file }] };
  },
};

const multicast: FixtureCase = {
  name: 'multicast-reports',
  description:
    'Joining and leaving groups: MLD behind an IPv6 hop-by-hop header with router alert, IGMP behind IPv4 options',
  programs: ['ip'],
  storage: stored('pcap', 'micro'),
  async make(bench) {
    const lab = bench.lab(pair({}, 'both'));
    const file = await bench.captured(lab, ['b', 'eth0'], async () => {
      for (const group of ['239.77.0.1/32', 'ff15::77/128']) {
        bench.run(lab, 'a', ['ip', 'addr', 'add', group, 'dev', 'eth0', 'autojoin']);
      }
      await new Promise((resolve) => setTimeout(resolve, 500));
      for (const group of ['239.77.0.1/32', 'ff15::77/128']) {
        bench.run(lab, 'a', ['ip', 'addr', 'del', group, 'dev', 'eth0']);
      }
      await new Promise((resolve) => setTimeout(resolve, 500));
    });
    return { interfaces: [{ name: 'eth0', file }] };
  },
};

const snaplen: FixtureCase = {
  name: 'http-snaplen',
  description: 'HTTP captured with a snaplen of 96 bytes: longer frames are there in part only',
  programs: ['nginx', 'curl'],
  storage: stored('pcap', 'micro'),
  async make(bench) {
    const lab = bench.lab(pair());
    await startNginx(lab, lab.host('b'), { files: { 'a.txt': body(5000) } });
    const argv = ['curl', '-s', 'http://10.77.0.2/a.txt'];
    const file = await bench.captured(lab, ['a', 'eth0'], () => bench.run(lab, 'a', argv), { snaplen: 96 });
    return { interfaces: [{ name: 'eth0', file }] };
  },
};

export const LINK_CASES: readonly FixtureCase[] = [
  vlan,
  qinq,
  fragmentsCase('fragments-ipv4', 'Pings and a DNS answer in IPv4 fragments', '10.77.0.2', stored('pcap', 'micro')),
  fragmentsCase(
    'fragments-ipv6',
    'Pings and a DNS answer in IPv6 fragments',
    'fd77::2',
    stored('pcapng', 'nano', 'big'),
  ),
  anyCase('sll', 'LINUX_SLL', stored('pcap', 'micro', 'big')),
  anyCase('sll2', 'LINUX_SLL2', stored('pcap', 'nano')),
  raw,
  twoInterfaces,
  icmpErrors,
  multicast,
  snaplen,
];
