/**
 * libpcap, loaded when first asked for: filter compiler, device list, portable sending. Everything else of tsreplay
 * works without it.
 */
import koffi from 'koffi';
import { OperatorError } from '../base/errors.ts';
import { LITTLE_ENDIAN, SockFilter } from './layout.ts';
import { dataAddress, type ForeignFunction, viewOf } from './libc.ts';

const LIBRARIES =
  process.platform === 'darwin'
    ? ['/usr/lib/libpcap.dylib', 'libpcap.dylib']
    : ['libpcap.so.0.8', 'libpcap.so.1', 'libpcap.so'];

/** PCAP_ERRBUF_SIZE, PCAP_IF_LOOPBACK and the negative results, pcap/pcap.h. */
export const ERRBUF_BYTES = 256;
const PCAP_IF_LOOPBACK = 1;
const PCAP_ERROR_NO_SUCH_DEVICE = -5;
const PCAP_ERROR_PERM_DENIED = -8;
const PCAP_ERROR_IFACE_NOT_UP = -9;
const PCAP_NETMASK_UNKNOWN = 0xffff_ffff;

/** struct bpf_program: u32 bf_len, pointer bf_insns. struct pcap_if: next, name, description, addresses, flags. */
const BpfProgramStruct = { LEN: 0, INSNS: 8, SIZE: 16 } as const;
const PcapIf = { NEXT: 0, NAME: 8, DESCRIPTION: 16, ADDRESSES: 24, FLAGS: 32, SIZE: 40 } as const;
/** struct pcap_pkthdr: timeval, caplen, len. */
const PcapPkthdr = { CAPLEN: 16, LEN: 20, SIZE: 24 } as const;

/** LINKTYPE_ (files) -> DLT_ (libpcap's functions) where they differ on Linux and macOS, pcap-common.c. */
export const DLT_OF_LINKTYPE: ReadonlyMap<number, number> = new Map([
  [100, 11], // ATM RFC 1483
  [101, 12], // raw IP
  [102, 15], // BSD/OS SLIP
  [103, 16], // BSD/OS PPP
  [106, 19], // Linux classical IP over ATM
]);
export const LINKTYPE_OF_DLT: ReadonlyMap<number, number> = new Map(
  [...DLT_OF_LINKTYPE].map(([linktype, dlt]) => [dlt, linktype]),
);

/** Functions of libpcap, bound once. */
export interface Library {
  readonly openDead: ForeignFunction;
  readonly compile: ForeignFunction;
  readonly freecode: ForeignFunction;
  readonly offlineFilter: ForeignFunction;
  readonly geterr: ForeignFunction<string>;
  readonly close: ForeignFunction;
  readonly findalldevs: ForeignFunction;
  readonly freealldevs: ForeignFunction;
  readonly create: ForeignFunction;
  readonly setSnaplen: ForeignFunction;
  readonly setBufferSize: ForeignFunction;
  readonly setTimeout: ForeignFunction;
  readonly activate: ForeignFunction;
  readonly setfilter: ForeignFunction;
  readonly datalink: ForeignFunction;
  readonly sendpacket: ForeignFunction;
  readonly statustostr: ForeignFunction<string>;
  readonly version: ForeignFunction<string>;
  /** Binds further functions from their C prototypes. */
  readonly bindMore: <R = number>(prototype: string) => ForeignFunction<R>;
}

let loaded: Library | null = null;

export function library(): Library {
  if (loaded !== null) return loaded;
  for (const name of LIBRARIES) {
    let handle: ReturnType<typeof koffi.load>;
    try {
      handle = koffi.load(name);
    } catch {
      continue;
    }
    loaded = bind(handle);
    return loaded;
  }
  const remedy = process.platform === 'darwin' ? 'xcode-select --install' : 'apt-get install libpcap0.8';
  throw new OperatorError('UNSUPPORTED', `libpcap is not installed: ${remedy}`);
}

function bind(handle: ReturnType<typeof koffi.load>): Library {
  const f = <R = number>(prototype: string): ForeignFunction<R> =>
    handle.func(prototype) as unknown as ForeignFunction<R>;
  return {
    openDead: f('intptr_t pcap_open_dead(int linktype, int snaplen)'),
    compile: f('int pcap_compile(intptr_t p, uint8_t *program, const char *text, int optimize, uint32_t netmask)'),
    freecode: f('void pcap_freecode(uint8_t *program)'),
    offlineFilter: f('int pcap_offline_filter(const uint8_t *program, const uint8_t *header, const uint8_t *bytes)'),
    geterr: f<string>('const char *pcap_geterr(intptr_t p)'),
    close: f('void pcap_close(intptr_t p)'),
    findalldevs: f('int pcap_findalldevs(uint8_t *list, uint8_t *errbuf)'),
    freealldevs: f('void pcap_freealldevs(intptr_t list)'),
    create: f('intptr_t pcap_create(const char *source, uint8_t *errbuf)'),
    setSnaplen: f('int pcap_set_snaplen(intptr_t p, int snaplen)'),
    setBufferSize: f('int pcap_set_buffer_size(intptr_t p, int bytes)'),
    setTimeout: f('int pcap_set_timeout(intptr_t p, int milliseconds)'),
    activate: f('int pcap_activate(intptr_t p)'),
    setfilter: f('int pcap_setfilter(intptr_t p, uint8_t *program)'),
    datalink: f('int pcap_datalink(intptr_t p)'),
    sendpacket: f('int pcap_sendpacket(intptr_t p, intptr_t bytes, int length)'),
    statustostr: f<string>('const char *pcap_statustostr(int status)'),
    version: f<string>('const char *pcap_lib_version(void)'),
    bindMore: f,
  };
}

/** Whether libpcap can be loaded here. */
export function hasLibpcap(): boolean {
  try {
    library();
    return true;
  } catch {
    return false;
  }
}

/** `libpcap version 1.10.3 (with TPACKET_V3)`. */
export function libpcapVersion(): string {
  return library().version();
}

/** A compiled program in memory of its own: an array of struct sock_filter, 8 bytes each. */
export type FilterProgram = Uint8Array;

/** What libpcap said about an expression: the program, or its own message. */
type Compiled = { readonly program: FilterProgram } | { readonly message: string };

function compile(expression: string, linktype: number, snaplen: number): Compiled {
  const pcap = library();
  const handle = pcap.openDead(DLT_OF_LINKTYPE.get(linktype) ?? linktype, snaplen);
  if (handle === 0) return { message: 'out of memory' };
  const struct = new Uint8Array(new ArrayBuffer(BpfProgramStruct.SIZE));
  try {
    if (pcap.compile(handle, struct, expression, 1, PCAP_NETMASK_UNKNOWN) !== 0)
      return { message: pcap.geterr(handle) };
    const view = new DataView(struct.buffer);
    const bytes = view.getUint32(BpfProgramStruct.LEN, LITTLE_ENDIAN) * SockFilter.SIZE;
    const program = new Uint8Array(viewOf(readPointer(view, BpfProgramStruct.INSNS), bytes)).slice();
    pcap.freecode(struct);
    return { program };
  } finally {
    pcap.close(handle);
  }
}

/**
 * Compiles a libpcap filter expression for frames of one LINKTYPE_, without a device. Throws USAGE with libpcap's own
 * message and, for a syntax error, the word that it cannot follow.
 */
export function compileFilter(expression: string, linktype: number, snaplen = 262_144): FilterProgram {
  const result = compile(expression, linktype, snaplen);
  if ('program' in result) return result.program;
  const place = result.message.includes('syntax error') ? errorPlace(expression, linktype) : '';
  throw new OperatorError('USAGE', `filter "${expression}": ${result.message}${place}; see man pcap-filter`);
}

/** Endings that complete a correct beginning of an expression, so that it can be told from a wrong one. */
const ENDINGS = [
  '',
  ' 1',
  ' 1.1.1.1',
  ' tcp',
  ' port 1',
  ' host 1.1.1.1',
  ' 1-2',
  ' = 1',
  ' ] = 1',
  ' 1 ] = 1',
  ' 1 = 1',
  ':0:0:0:0:1',
];
/** Words that are no names of hosts (scanner.l). */
const KEYWORDS = new Set(
  (
    'src dst host net port portrange mask gateway proto protochain and or not ether link tr fddi wlan arp rarp ' +
    'ip ip6 ppp slip tcp udp icmp icmp6 sctp igmp igrp pim vrrp carp ah esp aarp atalk iso is-is isis stp ipx ' +
    'netbeui decnet lat moprc mopdl broadcast multicast less greater len byte inbound outbound vlan mpls pppoed ' +
    'pppoes geneve type subtype direction dir addr1 addr2 addr3 addr4 ra ta on ifname rnr rulenum srnr ' +
    'subrulenum rset ruleset reason action vpi vci lane llc metac bcc oam sio opc dpc sls ifindex clns esis ' +
    'csnp psnp es-is'
  ).split(' '),
);

/** Where a syntax error lies: ` at "prot" (character 5)`. libpcap itself does not tell. */
function errorPlace(expression: string, linktype: number): string {
  const words = [...expression.matchAll(/[A-Za-z0-9_.:\-/\\]+|&&|\|\||<<|>>|[<>!=]=|\S/g)];
  for (let n = 1; n <= words.length; n++) {
    const beginning = words.slice(0, n).map((match) => probeWord(match[0]));
    if (isBeginning(beginning.join(' '), linktype)) continue;
    const word = words[n - 1]!;
    return ` at "${word[0]}" (character ${word.index + 1})`;
  }
  return ' at its end: something is missing there';
}

/** Names of hosts become addresses, so that probing asks no name server. */
function probeWord(word: string): string {
  return /^[A-Za-z_]/.test(word) && !KEYWORDS.has(word) ? '1.1.1.1' : word;
}

function isBeginning(text: string, linktype: number): boolean {
  const open = text.split('(').length - text.split(')').length;
  const closing = open > 0 ? ' )'.repeat(open) : '';
  for (const ending of ENDINGS) {
    const result = compile(text + ending + closing, linktype, 65_535);
    if ('program' in result || !result.message.includes('syntax error')) return true;
  }
  return false;
}

/**
 * libpcap's own interpreter: the reference that `wire/bpf.ts` is tested against. Returns whether the filter accepts.
 */
export function offlineFilter(program: FilterProgram, frame: Uint8Array, wireLength: number): boolean {
  const instructions = new Uint8Array(new ArrayBuffer(program.byteLength));
  instructions.set(program);
  const struct = new Uint8Array(BpfProgramStruct.SIZE);
  const view = new DataView(struct.buffer);
  view.setUint32(BpfProgramStruct.LEN, program.byteLength / SockFilter.SIZE, LITTLE_ENDIAN);
  writePointer(view, BpfProgramStruct.INSNS, dataAddress(instructions));
  const header = new Uint8Array(PcapPkthdr.SIZE);
  const headerView = new DataView(header.buffer);
  headerView.setUint32(PcapPkthdr.CAPLEN, frame.byteLength, LITTLE_ENDIAN);
  headerView.setUint32(PcapPkthdr.LEN, wireLength, LITTLE_ENDIAN);
  return library().offlineFilter(struct, header, frame) !== 0;
}

export interface PcapDevice {
  readonly name: string;
  readonly description: string;
  readonly loopback: boolean;
}

/** Devices that libpcap can open, for `--listnics`. */
export function listDevices(): PcapDevice[] {
  const pcap = library();
  const list = new Uint8Array(new ArrayBuffer(8));
  const errbuf = new Uint8Array(new ArrayBuffer(ERRBUF_BYTES));
  if (pcap.findalldevs(list, errbuf) !== 0) {
    throw new OperatorError('SYSTEM', `libpcap cannot list the interfaces: ${textOf(errbuf)}`);
  }
  const head = readPointer(new DataView(list.buffer), 0);
  const devices: PcapDevice[] = [];
  for (let at = head; at !== 0; ) {
    const entry = new DataView(viewOf(at, PcapIf.SIZE));
    devices.push({
      name: stringAt(readPointer(entry, PcapIf.NAME)),
      description: stringAt(readPointer(entry, PcapIf.DESCRIPTION)),
      loopback: (entry.getUint32(PcapIf.FLAGS, LITTLE_ENDIAN) & PCAP_IF_LOOPBACK) !== 0,
    });
    at = readPointer(entry, PcapIf.NEXT);
  }
  pcap.freealldevs(head);
  return devices;
}

/** A libpcap handle for sending. */
export interface PcapHandle {
  /** LINKTYPE_ of the frames it takes. */
  readonly linktype: number;
  /** Sends the frame at `address`; 0, or -1 (then `errno` and `message` say why). */
  send(address: number, length: number): number;
  message(): string;
  close(): void;
}

/** Opens an interface to send on. What it would capture is refused by a filter, so that nothing piles up. */
export function openPcapHandle(name: string): PcapHandle {
  const pcap = library();
  const errbuf = new Uint8Array(new ArrayBuffer(ERRBUF_BYTES));
  const handle = pcap.create(name, errbuf);
  if (handle === 0) throw new OperatorError('INTERFACE', `libpcap cannot open ${name}: ${textOf(errbuf)}`);
  pcap.setSnaplen(handle, 64);
  pcap.setBufferSize(handle, 65_536);
  pcap.setTimeout(handle, 100);
  const status = pcap.activate(handle);
  if (status < 0) {
    const message = pcap.geterr(handle) || pcap.statustostr(status);
    pcap.close(handle);
    throw activateError(name, status, message);
  }
  const dlt = pcap.datalink(handle);
  const linktype = LINKTYPE_OF_DLT.get(dlt) ?? dlt;
  const refuseAll = compile('less 0', linktype, 64);
  if ('program' in refuseAll) setFilter(pcap, handle, refuseAll.program);
  return {
    linktype,
    send: (address, length) => pcap.sendpacket(handle, address, length),
    message: () => pcap.geterr(handle),
    close: () => {
      pcap.close(handle);
    },
  };
}

export function setFilter(pcap: Library, handle: number, program: FilterProgram): void {
  const instructions = new Uint8Array(new ArrayBuffer(program.byteLength));
  instructions.set(program);
  const struct = new Uint8Array(BpfProgramStruct.SIZE);
  const view = new DataView(struct.buffer);
  view.setUint32(BpfProgramStruct.LEN, program.byteLength / SockFilter.SIZE, LITTLE_ENDIAN);
  writePointer(view, BpfProgramStruct.INSNS, dataAddress(instructions));
  pcap.setfilter(handle, struct);
}

export function activateError(name: string, status: number, message: string): OperatorError {
  if (status === PCAP_ERROR_PERM_DENIED) {
    return new OperatorError('PERMISSION', `no permission to open ${name} through libpcap: run with sudo`);
  }
  if (status === PCAP_ERROR_NO_SUCH_DEVICE) {
    return new OperatorError('INTERFACE', `libpcap knows no interface ${name}: tsreplay --listnics lists them`);
  }
  if (status === PCAP_ERROR_IFACE_NOT_UP) {
    return new OperatorError('INTERFACE', `${name} is down: ip link set ${name} up`);
  }
  return new OperatorError('INTERFACE', `libpcap cannot open ${name}: ${message}`);
}

export function readPointer(view: DataView, at: number): number {
  return view.getUint32(at, LITTLE_ENDIAN) + view.getUint32(at + 4, LITTLE_ENDIAN) * 0x1_0000_0000;
}

function writePointer(view: DataView, at: number, address: number): void {
  view.setUint32(at, address >>> 0, LITTLE_ENDIAN);
  view.setUint32(at + 4, Math.floor(address / 0x1_0000_0000), LITTLE_ENDIAN);
}

export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function stringAt(address: number): string {
  return address === 0 ? '' : (koffi.decode(BigInt(address), 'char', -1) as string);
}
