/** Segments of a rehearsal's clients and of its target, as frames and as records of the tunnel. */
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../../wire/checksum.ts';
import { fixIpv4Checksum } from '../../wire/ipv4.ts';
import { IpProtocol } from '../../wire/protocol.ts';
import { setTcpChecksum, TcpFlag } from '../../wire/tcp.ts';
import { Header, type TargetHeader } from '../target_header.ts';
import type { AddressWords } from '../targets.ts';

const ETHERNET_BYTES = 14;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
/** MSS, SACK permitted, timestamps, NOP, window scale: the SYN of Linux; else timestamps only. */
const SYN_OPTION_BYTES = 20;
const OPTION_BYTES = 12;
const TCP_BYTES = 20;
const MSS = 1460;
const SHIFT = 7;
/** Scaled; on a SYN it is not. */
const WINDOW = 502;
const SYN_WINDOW = 64_240;
const TTL = 64;

/** One segment; sequence numbers signed or not. */
export class Segment {
  from: AddressWords;
  to: AddressWords;
  fromPort = 0;
  toPort = 0;
  flags = 0;
  seq = 0;
  ack = 0;
  payloadBytes = 0;
  /** Of the timestamps option. */
  tsValue = 1;

  constructor(from: AddressWords, to: AddressWords) {
    this.from = from;
    this.to = to;
  }

  get #optionBytes(): number {
    return (this.flags & TcpFlag.Syn) === 0 ? OPTION_BYTES : SYN_OPTION_BYTES;
  }

  /** Bytes of its Ethernet, IP and TCP headers. */
  get headerBytes(): number {
    return ETHERNET_BYTES + (this.to.length === 4 ? IPV6_BYTES : IPV4_BYTES) + TCP_BYTES + this.#optionBytes;
  }

  /** Writes the headers of its frame; without checksum of TCP. */
  writeFrame(view: DataView, at: number): void {
    const tcpBytes = TCP_BYTES + this.#optionBytes + this.payloadBytes;
    const ip = at + ETHERNET_BYTES;
    const isIpv6 = this.to.length === 4;
    view.setUint16(at + 12, isIpv6 ? 0x86dd : 0x0800);
    if (isIpv6) {
      view.setUint32(ip, 0x60000000);
      view.setUint32(ip + 4, (tcpBytes << 16) | (6 << 8) | TTL);
    } else {
      view.setUint32(ip, 0x45000000 | (IPV4_BYTES + tcpBytes));
      view.setUint32(ip + 4, 0x00014000);
      view.setUint32(ip + 8, (TTL << 24) | (6 << 16));
    }
    const addresses = ip + (isIpv6 ? 8 : 12);
    const words = this.to.length;
    for (let word = 0; word < words; word++) {
      view.setUint32(addresses + 4 * word, this.from[word as 0]!);
      view.setUint32(addresses + 4 * (words + word), this.to[word as 0]!);
    }
    if (!isIpv6) fixIpv4Checksum(view, ip);
    this.#writeTcp(view, addresses + 8 * words);
  }

  /** Fills in the checksum of TCP, over the payload as it lies there. */
  fillSum(view: DataView, at: number): void {
    const ip = at + ETHERNET_BYTES;
    const addressBytes = 4 * this.to.length;
    const from = ip + (this.to.length === 4 ? 8 : 12);
    const tcp = from + 2 * addressBytes;
    const end = at + this.headerBytes + this.payloadBytes;
    const total = pseudoHeaderSum(view, from, from + addressBytes, addressBytes, IpProtocol.Tcp, end - tcp);
    setTcpChecksum(view, tcp, checksumFinish(checksumAdd(view, tcp, end, total)));
  }

  #writeTcp(view: DataView, at: number): void {
    const isSyn = (this.flags & TcpFlag.Syn) !== 0;
    view.setUint16(at, this.fromPort);
    view.setUint16(at + 2, this.toPort);
    view.setUint32(at + 4, this.seq);
    view.setUint32(at + 8, this.ack);
    view.setUint32(
      at + 12,
      ((TCP_BYTES + this.#optionBytes) << 26) | (this.flags << 16) | (isSyn ? SYN_WINDOW : WINDOW),
    );
    view.setUint32(at + 16, 0);
    if (!isSyn) {
      view.setUint32(at + 20, 0x0101080a);
      view.setUint32(at + 24, this.tsValue);
      view.setUint32(at + 28, 1);
      return;
    }
    view.setUint32(at + 20, 0x02040000 | MSS);
    view.setUint32(at + 24, 0x0402080a);
    view.setUint32(at + 28, this.tsValue);
    view.setUint32(at + 32, 0);
    view.setUint32(at + 36, 0x01030300 | SHIFT);
  }

  /** The same, of a target, as it comes out of the ring of replies. */
  fill({ cells }: TargetHeader): void {
    const isSyn = (this.flags & TcpFlag.Syn) !== 0;
    cells.fill(0);
    for (let word = 0; word < this.to.length; word++) {
      cells[Header.Client0 + word] = this.to[word as 0]!;
      cells[Header.Target0 + word] = this.from[word as 0]!;
    }
    cells[Header.ClientPort] = this.toPort;
    cells[Header.TargetPort] = this.fromPort;
    cells[Header.IsIpv6] = this.to.length === 4 ? 1 : 0;
    cells[Header.Flags] = this.flags;
    cells[Header.Seq] = this.seq;
    cells[Header.Ack] = this.ack;
    cells[Header.Window] = isSyn ? SYN_WINDOW : WINDOW;
    cells[Header.PayloadBytes] = this.payloadBytes;
    cells[Header.Mss] = isSyn ? MSS : 0;
    cells[Header.Shift] = isSyn ? SHIFT : -1;
    cells[Header.SackPermitted] = isSyn ? 1 : 0;
    cells[Header.HasTimestamps] = 1;
    cells[Header.TsValue] = this.tsValue;
  }
}
