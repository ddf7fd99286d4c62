/**
 * The kernel's filter for headers of TCP packets from given ports, on any kind of interface: offsets count from the IP
 * header. Instructions: include/uapi/linux/filter.h, bpf_common.h. libpcap is not needed for it.
 */
import { OperatorError } from '../base/errors.ts';
import { LITTLE_ENDIAN, PACKET_OUTGOING, SockFilter } from '../sys/layout.ts';

/** Ethernet with a VLAN tag, IP and TCP headers with all their options; IPv6 with some extension headers. */
export const HEADER_SNAPLEN = 168;

const SKF_AD_PKTTYPE = -0x1000 + 4;
const SKF_NET_OFF = -0x100000;
const LD_H_ABS = 0x28;
const LD_W_ABS = 0x20;
const LD_B_ABS = 0x30;
const LD_H_IND = 0x48;
const LDX_W_IMM = 0x01;
const AND_K = 0x54;
const LSH_K = 0x64;
const RSH_K = 0x74;
const TAX = 0x07;
const JEQ_K = 0x15;
const JSET_K = 0x45;
const RET_K = 0x06;

const TCP = 6;
/** Hop-by-hop options, routing, fragment, destination options: TCP may follow. */
const IPV6_EXTENSIONS = [0, 43, 44, 60];
/** Jumps are counted in eight bits. */
const PORTS_MAX = 100;

interface Line {
  readonly label?: string;
  readonly code: number;
  readonly k: number;
  /** Labels; the next line where there is none. */
  readonly yes?: string;
  readonly no?: string;
}

/**
 * TCP from one of the ports (none: from any) that leaves (`out`) or comes in, no later fragments. Behind IPv6
 * extension headers the ports are not looked at: such packets pass, and whoever reads them decides.
 */
export function portFilter(ports: readonly number[], direction: 'in' | 'out'): Uint8Array {
  if (ports.length > PORTS_MAX) {
    throw new OperatorError('USAGE', `${ports.length} ports are more than the ${PORTS_MAX} that one filter takes`);
  }
  const isOut = direction === 'out';
  const equals = (k: number, yes?: string, no?: string): Line => ({
    code: JEQ_K,
    k,
    ...(yes === undefined ? {} : { yes }),
    ...(no === undefined ? {} : { no }),
  });
  return assemble([
    { code: LD_W_ABS, k: SKF_AD_PKTTYPE },
    isOut ? equals(PACKET_OUTGOING, undefined, 'refuse') : equals(PACKET_OUTGOING, 'refuse'),
    { code: LD_B_ABS, k: SKF_NET_OFF },
    { code: RSH_K, k: 4 },
    equals(4, undefined, 'six'),
    { code: LD_B_ABS, k: SKF_NET_OFF + 9 },
    equals(TCP, undefined, 'refuse'),
    { code: LD_H_ABS, k: SKF_NET_OFF + 6 },
    { code: JSET_K, k: 0x1fff, yes: 'refuse' },
    { code: LD_B_ABS, k: SKF_NET_OFF },
    { code: AND_K, k: 15 },
    { code: LSH_K, k: 2 },
    { code: TAX, k: 0 },
    { code: LD_H_IND, k: SKF_NET_OFF },
    ...ports.map((port) => equals(port, 'accept')),
    { code: RET_K, k: ports.length === 0 ? HEADER_SNAPLEN : 0 },
    { label: 'six', ...equals(6, undefined, 'refuse') },
    { code: LD_B_ABS, k: SKF_NET_OFF + 6 },
    ...IPV6_EXTENSIONS.map((header) => equals(header, 'accept')),
    equals(TCP, undefined, 'refuse'),
    { code: LDX_W_IMM, k: 40 },
    { code: LD_H_IND, k: SKF_NET_OFF },
    ...ports.map((port) => equals(port, 'accept')),
    { code: RET_K, k: ports.length === 0 ? HEADER_SNAPLEN : 0 },
    { label: 'refuse', code: RET_K, k: 0 },
    { label: 'accept', code: RET_K, k: HEADER_SNAPLEN },
  ]);
}

function assemble(lines: readonly Line[]): Uint8Array {
  const labels = new Map(lines.flatMap((line, i) => (line.label === undefined ? [] : [[line.label, i] as const])));
  const bytes = new Uint8Array(lines.length * SockFilter.SIZE);
  const view = new DataView(bytes.buffer);
  lines.forEach(({ code, k, yes, no }, i) => {
    const at = i * SockFilter.SIZE;
    const jump = (label: string | undefined): number => (label === undefined ? 0 : labels.get(label)! - i - 1);
    view.setUint16(at + SockFilter.CODE, code, LITTLE_ENDIAN);
    view.setUint8(at + SockFilter.JT, jump(yes));
    view.setUint8(at + SockFilter.JF, jump(no));
    view.setInt32(at + SockFilter.K, k, LITTLE_ENDIAN);
  });
  return bytes;
}
