/** What stands between this host's agent and the wire to the targets: routes, lengths, buffers, firewall, rules. */
import { spawnSync } from 'node:child_process';
import { hasCapability, ipJson } from '../../device/host.ts';
import { interfaceOffloads, linkFacts } from '../../device/link.ts';
import { ANY } from '../../device/packet_ring_open.ts';
import type { AgentSpec, AgentTarget } from '../agent/spec.ts';
import { type Check, check, hostPortText } from './check.ts';
import { sysctl } from './facts.ts';

/** The agent asks for 16 MiB; from here on bursts do not overflow it. */
const SEND_BUFFER_BYTES_MIN = 1 << 20;
/** Share of conntrack's table above which it may soon refuse packets. */
const CONNTRACK_SHARE_MAX = 0.8;
const NFT_MS_MAX = 5_000;

export function wayOutChecks(spec: AgentSpec): readonly Check[] {
  const devices = [...new Set(spec.targets.map(({ device }) => device))];
  return [
    ...spec.targets.map(routeCheck),
    ...devices.flatMap((device) => deviceChecks(device, spec)),
    bufferCheck(),
    firewallCheck(spec),
    ...(spec.replies.kind === 'local' ? devices.flatMap(localChecks) : []),
  ];
}

function routeCheck(target: AgentTarget): Check {
  const { host, device, sender, macs } = target;
  const mac = [...macs.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  const hop = mac === '' ? 'the kernel finds the next hop' : `next hop ${mac}`;
  const text = `${host} by ${device}, ${hop}, ${sender}`;
  return check('this host', 'route', 'ok', text, { target: hostPortText(target) });
}

function deviceChecks(device: string, { packets, targets }: AgentSpec): readonly Check[] {
  const { up, mtu } = linkFacts(device);
  if (!up) {
    const remedy = `ip link set ${device} up`;
    return [check('this host', 'way out', 'broken', `${device} is down`, { remedy })];
  }
  const used = Math.min(mtu, ...targets.filter((each) => each.device === device).map((each) => each.mtu));
  const { txChecksum, tso } = interfaceOffloads(device);
  const own = [...(txChecksum === true ? ['checksums'] : []), ...(tso === true ? ['segments'] : [])];
  const by = own.length === 0 ? 'the kernel makes checksums and segments' : `${device} makes ${own.join(' and ')}`;
  const checks = [check('this host', 'way out', 'ok', `${by}, as it does for this host's own packets`)];
  if (packets.kind !== 'live' || packets.device === ANY || packets.netns !== null) {
    return [check('this host', 'MTU', 'ok', `${used} on the way out by ${device}`), ...checks];
  }
  const inMtu = facts(packets.device);
  const smaller = used < inMtu ? ': longer packets are segmented again' : '';
  const text = `${used} on the way out by ${device}, ${inMtu} where clients come in${smaller}`;
  return [check('this host', 'MTU', 'ok', text), ...checks];
}

function facts(device: string): number {
  try {
    return linkFacts(device).mtu;
  } catch {
    return 0;
  }
}

function bufferCheck(): Check {
  const most = sysctl('net/core/wmem_max') ?? 0;
  if (hasCapability('CAP_NET_ADMIN')) return check('this host', 'send buffer', 'ok', '16 MiB (CAP_NET_ADMIN)');
  // The kernel doubles what is asked for.
  if (most >= SEND_BUFFER_BYTES_MIN) return check('this host', 'send buffer', 'ok', `${most} bytes (wmem_max)`);
  return check('this host', 'send buffer', 'warning', `${most} bytes only, so bursts may be refused`, {
    remedy: 'sysctl -w net.core.wmem_max=16777216, or CAP_NET_ADMIN',
  });
}

/** Frames of af_packet go past netfilter. */
function firewallCheck({ targets }: AgentSpec): Check {
  const senders = [...new Set(targets.map(({ sender }) => sender))].filter((sender) => sender !== 'af_packet');
  if (senders.length === 0) {
    return check('this host', 'firewall', 'ok', 'copies go past netfilter and conntrack of this host (af_packet)');
  }
  const count = sysctl('net/netfilter/nf_conntrack_count');
  const most = sysctl('net/netfilter/nf_conntrack_max');
  if (count !== null && most !== null && count > most * CONNTRACK_SHARE_MAX) {
    const text = `conntrack holds ${count} of ${most} connections, and refuses copies when it is full`;
    const remedy = `sysctl -w net.netfilter.nf_conntrack_max=${most * 4}, or --sender af_packet`;
    return check('this host', 'firewall', 'warning', text, { remedy });
  }
  const nft = spawnSync('nft', ['list', 'chains'], { encoding: 'utf8', timeout: NFT_MS_MAX });
  const how = senders.join(' and ');
  if (nft.error !== undefined || nft.status !== 0) {
    const text = `copies pass netfilter of this host (${how}), and nft does not say what is there: the probe will show`;
    return check('this host', 'firewall', 'ok', text);
  }
  const hooks = nft.stdout.match(/hook (?:output|postrouting)\b/g)?.length ?? 0;
  const passed = hooks === 0 ? 'which has no chains there' : `${hooks} chains (nft list ruleset)`;
  return check(
    'this host',
    'firewall',
    'ok',
    `copies pass netfilter of this host (${how}), ${passed}, as the probe does`,
  );
}

interface LinkJson {
  readonly linkinfo?: { readonly info_kind?: string };
}

/** `--intercept local`: what lets replies through beside the routing rule. */
function localChecks(device: string): readonly Check[] {
  const kind = ipJson<LinkJson>('-d', 'link', 'show', 'dev', device)[0]?.linkinfo?.info_kind;
  if (kind === 'bridge') {
    const text = `${device} is a bridge, which forwards below the routing rule that swallows replies`;
    return [check('this host', 'bridge', 'warning', text, { remedy: 'tsintercept on the target in place of local' })];
  }
  const forward = sysctl('net/ipv4/ip_forward') ?? 'unknown';
  const all = sysctl('net/ipv4/conf/all/rp_filter') ?? 0;
  const own = sysctl(`net/ipv4/conf/${device}/rp_filter`) ?? 0;
  const rpFilter = Math.max(all, own);
  const text = `ip_forward=${forward}, rp_filter=${rpFilter} on ${device}: replies end at a routing rule before`;
  return [check('this host', 'ip_forward', 'ok', text)];
}
