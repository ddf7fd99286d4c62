/**
 * HOT: the headers of a target's segment, as `tsintercept` hands them back: fields in preallocated cells, filled from a
 * captured packet (`readTargetPacket`) or by whoever decodes them from the tunnel. Addresses and ports are named from
 * the session's side: `client` is the segment's destination. Budget 30 ns.
 */
import { ipv4Dst, ipv4Src } from '../wire/ipv4.ts';
import { ipv6DstWord, ipv6SrcWord } from '../wire/ipv6.ts';
import { Fragment, type Layers } from '../wire/layers.ts';
import { IpProtocol } from '../wire/protocol.ts';
import { TcpFlag, tcpAck, tcpDstPort, tcpFlags, tcpHeaderLen, tcpSeq, tcpSrcPort, tcpWindow } from '../wire/tcp.ts';
import {
  firstTcpOption,
  nextTcpOption,
  TCP_WINDOW_SCALE_MAX,
  TcpOption,
  tcpMss,
  tcpOptionKind,
  tcpOptionLen,
  tcpSackBlocks,
  tcpSackLeft,
  tcpSackRight,
  tcpTimestampValue,
  tcpWindowScale,
} from '../wire/tcpoption.ts';

/** Cells of `TargetHeader.cells`. All numbers are signed 32-bit integers. */
export const Header = {
  Client0: 0, // four words; IPv4 in the first, the others 0
  ClientPort: 4,
  Target0: 5, // four words
  TargetPort: 9,
  IsIpv6: 10,
  Flags: 11, // TcpFlag
  Seq: 12,
  Ack: 13,
  Window: 14, // as it stands, not shifted
  PayloadBytes: 15,
  Mss: 16, // 0: no such option
  Shift: 17, // -1: no such option
  SackPermitted: 18, // 0 or 1
  HasTimestamps: 19, // 0 or 1
  TsValue: 20,
  SackBlocks: 21, // 0..4, then left and right edges
  Sack0: 22, // eight cells
  Status: 30, // HTTP status of the reply that begins with this segment; 0: none, or not looked for
  AgeUs: 31, // since it was captured, where that is known
} as const;
export const HEADER_CELLS = 32;

export class TargetHeader {
  readonly cells: Int32Array = new Int32Array(HEADER_CELLS);
}

/** Fills `out` from a decoded packet of a target; false: not a whole TCP header. Payload need not be captured. */
export function readTargetPacket(view: DataView, layers: Layers, out: TargetHeader): boolean {
  const tcp = layers.l4;
  if (tcp < 0 || layers.l4Protocol !== IpProtocol.Tcp || layers.payload < 0) return false;
  if (layers.fragment !== Fragment.None) return false;
  const cells = out.cells;
  cells.fill(0);
  cells[Header.IsIpv6] = layers.ipVersion === 6 ? 1 : 0;
  if (layers.ipVersion === 4) {
    cells[Header.Client0] = ipv4Dst(view, layers.ip);
    cells[Header.Target0] = ipv4Src(view, layers.ip);
  } else {
    for (let word = 0; word < 4; word++) {
      cells[Header.Client0 + word] = ipv6DstWord(view, layers.ip, word);
      cells[Header.Target0 + word] = ipv6SrcWord(view, layers.ip, word);
    }
  }
  cells[Header.ClientPort] = tcpDstPort(view, tcp);
  cells[Header.TargetPort] = tcpSrcPort(view, tcp);
  cells[Header.Flags] = tcpFlags(view, tcp);
  cells[Header.Seq] = tcpSeq(view, tcp);
  cells[Header.Ack] = tcpAck(view, tcp);
  cells[Header.Window] = tcpWindow(view, tcp);
  cells[Header.PayloadBytes] = ipPacketBytes(view, layers) - (tcp - layers.ip) - tcpHeaderLen(view, tcp);
  cells[Header.Shift] = -1;
  readOptions(view, tcp, cells);
  return cells[Header.PayloadBytes]! >= 0;
}

/** Length of the IP packet as it was, also where only its headers were captured. */
function ipPacketBytes(view: DataView, layers: Layers): number {
  if (layers.ipLengthZero) return layers.ipEnd - layers.ip;
  return layers.ipVersion === 4 ? view.getUint16(layers.ip + 2) : view.getUint16(layers.ip + 4) + 40;
}

function readOptions(view: DataView, tcp: number, cells: Int32Array): void {
  const isSyn = (cells[Header.Flags]! & TcpFlag.Syn) !== 0;
  for (let option = firstTcpOption(view, tcp); option >= 0; option = nextTcpOption(view, tcp, option)) {
    const kind = tcpOptionKind(view, option);
    const length = tcpOptionLen(view, option);
    if (kind === TcpOption.Timestamps && length === 10) {
      cells[Header.HasTimestamps] = 1;
      cells[Header.TsValue] = tcpTimestampValue(view, option);
    } else if (kind === TcpOption.Sack && length >= 10 && (length - 2) % 8 === 0) {
      const blocks = Math.min(4, tcpSackBlocks(view, option));
      cells[Header.SackBlocks] = blocks;
      for (let b = 0; b < blocks; b++) {
        cells[Header.Sack0 + 2 * b] = tcpSackLeft(view, option, b);
        cells[Header.Sack0 + 2 * b + 1] = tcpSackRight(view, option, b);
      }
    } else if (isSyn && kind === TcpOption.Mss && length === 4) {
      cells[Header.Mss] = tcpMss(view, option);
    } else if (isSyn && kind === TcpOption.WindowScale && length === 3) {
      cells[Header.Shift] = Math.min(tcpWindowScale(view, option), TCP_WINDOW_SCALE_MAX);
    } else if (isSyn && kind === TcpOption.SackPermitted) {
      cells[Header.SackPermitted] = 1;
    }
  }
}
