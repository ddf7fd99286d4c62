/**
 * Capturing through libpcap: any platform that has it. Frames are fetched one by one, as libpcap hands them out, and
 * copied into memory of our own; `device/packet_ring.ts` is the way without copies and calls.
 */
import { OperatorError } from '../base/errors.ts';
import { LITTLE_ENDIAN, SockFilter } from './layout.ts';
import { type ForeignFunction, viewOf } from './libc.ts';
import {
  activateError,
  compileFilter,
  DLT_OF_LINKTYPE,
  ERRBUF_BYTES,
  type FilterProgram,
  LINKTYPE_OF_DLT,
  library,
  readPointer,
  setFilter,
  textOf,
} from './libpcap.ts';

const PCAP_NETMASK_UNKNOWN = 0xffff_ffff;
const PCAP_TSTAMP_PRECISION_NANO = 1;
/** pcap/pcap.h: PCAP_TSTAMP_HOST, _ADAPTER, _ADAPTER_UNSYNCED; PCAP_D_INOUT, _IN, _OUT. */
const TSTAMP_TYPE = { host: 0, adapter: 3, adapter_unsynced: 4 } as const;
const DIRECTION = { inout: 0, in: 1, out: 2 } as const;

export interface PcapCaptureOptions {
  readonly name: string;
  readonly snaplen: number;
  readonly bufferBytes: number;
  readonly promiscuous: boolean;
  /** Hand frames over at once instead of in batches. */
  readonly immediate: boolean;
  readonly direction: 'in' | 'out' | 'inout';
  readonly stamps: 'host' | 'adapter' | 'adapter_unsynced';
  /** libpcap expression; empty: everything. */
  readonly filter: string;
  /** Wanted LINKTYPE_ where an interface has several, or null. */
  readonly linktype: number | null;
}

export interface PcapStatistics {
  readonly received: number;
  readonly droppedByKernel: number;
  readonly droppedByInterface: number;
}

export interface PcapCapture {
  /** LINKTYPE_ of the frames. */
  readonly linktype: number;
  /** Stamps have nanoseconds in their second field, not microseconds. */
  readonly nanoseconds: boolean;
  /** To poll, or -1 where there is none. */
  readonly fd: number;
  /**
   * 1: a frame is there, the addresses of its struct pcap_pkthdr and of its bytes are in `found`; 0: none now; below:
   * an error, see `message`.
   */
  next(): number;
  readonly found: { readonly headerAddress: number; readonly bytesAddress: number };
  statistics(): PcapStatistics;
  message(): string;
  close(): void;
}

interface CaptureFunctions {
  readonly setPromisc: ForeignFunction;
  readonly setImmediate: ForeignFunction;
  readonly setStampType: ForeignFunction;
  readonly setStampPrecision: ForeignFunction;
  readonly getStampPrecision: ForeignFunction;
  readonly setDirection: ForeignFunction;
  readonly setDatalink: ForeignFunction;
  readonly setNonblock: ForeignFunction;
  readonly selectableFd: ForeignFunction;
  readonly nextEx: ForeignFunction;
  readonly stats: ForeignFunction;
}

let functions: CaptureFunctions | null = null;

function captureFunctions(): CaptureFunctions {
  const { bindMore: f } = library();
  functions ??= {
    setPromisc: f('int pcap_set_promisc(intptr_t p, int on)'),
    setImmediate: f('int pcap_set_immediate_mode(intptr_t p, int on)'),
    setStampType: f('int pcap_set_tstamp_type(intptr_t p, int type)'),
    setStampPrecision: f('int pcap_set_tstamp_precision(intptr_t p, int precision)'),
    getStampPrecision: f('int pcap_get_tstamp_precision(intptr_t p)'),
    setDirection: f('int pcap_setdirection(intptr_t p, int direction)'),
    setDatalink: f('int pcap_set_datalink(intptr_t p, int linktype)'),
    setNonblock: f('int pcap_setnonblock(intptr_t p, int on, uint8_t *errbuf)'),
    selectableFd: f('int pcap_get_selectable_fd(intptr_t p)'),
    nextEx: f('int pcap_next_ex(intptr_t p, uint8_t *header, uint8_t *bytes)'),
    stats: f('int pcap_stats(intptr_t p, uint8_t *stats)'),
  };
  return functions;
}

/** Opens and activates a handle; the caller closes it. */
function openHandle(options: PcapCaptureOptions): { handle: number; linktype: number } {
  const pcap = library();
  const more = captureFunctions();
  const errbuf = new Uint8Array(new ArrayBuffer(ERRBUF_BYTES));
  const handle = pcap.create(options.name, errbuf);
  if (handle === 0) throw new OperatorError('INTERFACE', `libpcap cannot open ${options.name}: ${textOf(errbuf)}`);
  try {
    pcap.setSnaplen(handle, options.snaplen);
    pcap.setBufferSize(handle, Math.min(options.bufferBytes, 0x7fff_ffff));
    pcap.setTimeout(handle, 100);
    more.setPromisc(handle, options.promiscuous ? 1 : 0);
    more.setImmediate(handle, options.immediate ? 1 : 0);
    more.setStampPrecision(handle, PCAP_TSTAMP_PRECISION_NANO);
    if (options.stamps !== 'host' && more.setStampType(handle, TSTAMP_TYPE[options.stamps]) !== 0) {
      const remedy = `leave out --time-stamp-type ${options.stamps}`;
      throw new OperatorError('UNSUPPORTED', `${options.name} gives no such stamps: ${remedy}`);
    }
    const status = pcap.activate(handle);
    if (status < 0) throw activateError(options.name, status, pcap.geterr(handle) || pcap.statustostr(status));
    if (options.linktype !== null) more.setDatalink(handle, DLT_OF_LINKTYPE.get(options.linktype) ?? options.linktype);
    const dlt = pcap.datalink(handle);
    return { handle, linktype: LINKTYPE_OF_DLT.get(dlt) ?? dlt };
  } catch (error) {
    pcap.close(handle);
    throw error;
  }
}

/** Opens a capture. Throws INTERFACE, PERMISSION, UNSUPPORTED, or USAGE for a filter that is wrong. */
export function openPcapCapture(options: PcapCaptureOptions): PcapCapture {
  const pcap = library();
  const more = captureFunctions();
  const { handle, linktype } = openHandle(options);
  try {
    if (options.direction !== 'inout' && more.setDirection(handle, DIRECTION[options.direction]) !== 0) {
      const remedy = 'leave out --direction, or filter by address';
      throw new OperatorError('UNSUPPORTED', `${options.name} cannot tell directions through libpcap: ${remedy}`);
    }
    if (options.filter !== '') setFilter(pcap, handle, compileOn(handle, options, linktype));
    more.setNonblock(handle, 1, new Uint8Array(new ArrayBuffer(ERRBUF_BYTES)));
  } catch (error) {
    pcap.close(handle);
    throw error;
  }
  return new Handle(handle, linktype);
}

class Handle implements PcapCapture {
  readonly linktype: number;
  readonly nanoseconds: boolean;
  readonly fd: number;
  readonly found = { headerAddress: 0, bytesAddress: 0 };
  readonly #handle: number;
  readonly #pcap = library();
  readonly #more = captureFunctions();
  readonly #pointers: Uint8Array = new Uint8Array(new ArrayBuffer(16));
  readonly #view: DataView = new DataView(this.#pointers.buffer);
  readonly #headerOut: Uint8Array = new Uint8Array(this.#pointers.buffer, 0, 8);
  readonly #bytesOut: Uint8Array = new Uint8Array(this.#pointers.buffer, 8, 8);
  #open = true;

  constructor(handle: number, linktype: number) {
    this.#handle = handle;
    this.linktype = linktype;
    this.nanoseconds = this.#more.getStampPrecision(handle) === PCAP_TSTAMP_PRECISION_NANO;
    this.fd = process.platform === 'win32' ? -1 : this.#more.selectableFd(handle);
  }

  next(): number {
    const result = this.#more.nextEx(this.#handle, this.#headerOut, this.#bytesOut);
    if (result !== 1) return result;
    this.found.headerAddress = readPointer(this.#view, 0);
    this.found.bytesAddress = readPointer(this.#view, 8);
    return 1;
  }

  statistics(): PcapStatistics {
    const bytes = new Uint8Array(new ArrayBuffer(32));
    if (this.#more.stats(this.#handle, bytes) !== 0) return { received: 0, droppedByKernel: 0, droppedByInterface: 0 };
    // struct pcap_stat: u_int ps_recv, ps_drop, ps_ifdrop
    const [received, droppedByKernel, droppedByInterface] = new Uint32Array(bytes.buffer) as unknown as number[];
    return { received: received!, droppedByKernel: droppedByKernel!, droppedByInterface: droppedByInterface! };
  }

  message(): string {
    return this.#pcap.geterr(this.#handle);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#pcap.close(this.#handle);
  }
}

/** Compiles on an open handle: the program then knows where this interface keeps VLAN tags. */
function compileOn(handle: number, options: PcapCaptureOptions, linktype: number): FilterProgram {
  const pcap = library();
  const struct = new Uint8Array(new ArrayBuffer(16));
  if (pcap.compile(handle, struct, options.filter, 1, PCAP_NETMASK_UNKNOWN) !== 0) {
    // The same compiler, with the place of a syntax error.
    compileFilter(options.filter, linktype, options.snaplen);
    throw new OperatorError('USAGE', `filter "${options.filter}": ${pcap.geterr(handle)}`);
  }
  const view = new DataView(struct.buffer);
  const bytes = view.getUint32(0, LITTLE_ENDIAN) * SockFilter.SIZE;
  const program = new Uint8Array(viewOf(readPointer(view, 8), bytes)).slice();
  pcap.freecode(struct);
  return program;
}

/**
 * The program as the kernel needs it for an interface whose VLAN tags it takes out of the frames (`vlan` must look at
 * the metadata): compiled on a handle that is opened for it, of which nothing is read.
 */
export function compileForKernel(name: string, filter: string, linktype: number, snaplen: number): FilterProgram {
  const options: PcapCaptureOptions = {
    name,
    snaplen,
    bufferBytes: 1 << 20,
    promiscuous: false,
    immediate: false,
    direction: 'inout',
    stamps: 'host',
    filter,
    linktype,
  };
  const opened = openHandle(options);
  try {
    return compileOn(opened.handle, options, opened.linktype);
  } finally {
    library().close(opened.handle);
  }
}
