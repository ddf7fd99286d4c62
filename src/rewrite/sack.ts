/** HOT: shifts the edges of SACK blocks (RFC 2018 section 3) as `--tcp-sequence` shifts the numbers they refer to. */
import { checksumReplace32, checksumReplace32Odd } from '../wire/checksum.ts';
import { seqAdd } from '../wire/seq.ts';
import { setTcpChecksum, TCP_MIN_HEADER_LEN, tcpChecksum, tcpHeaderLen } from '../wire/tcp.ts';

const END = 0;
const NOP = 1;
const SACK = 5;
const EDGE_LEN = 4;

/** Precondition: the whole TCP header was captured (`layers.payload >= 0`). */
export function shiftSackBlocks(view: DataView, tcp: number, shift: number): void {
  const end = tcp + tcpHeaderLen(view, tcp);
  let at = tcp + TCP_MIN_HEADER_LEN;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === END) return;
    if (kind === NOP) {
      at += 1;
      continue;
    }
    if (at + 2 > end) return;
    const length = view.getUint8(at + 1);
    if (length < 2 || at + length > end) return;
    if (kind === SACK) {
      for (let edge = at + 2; edge + EDGE_LEN <= at + length; edge += EDGE_LEN) shiftEdge(view, tcp, edge, shift);
    }
    at += length;
  }
}

function shiftEdge(view: DataView, tcp: number, edge: number, shift: number): void {
  const before = view.getUint32(edge);
  const after = seqAdd(before, shift);
  view.setUint32(edge, after);
  const sum = tcpChecksum(view, tcp);
  const isOdd = ((edge - tcp) & 1) !== 0;
  setTcpChecksum(view, tcp, isOdd ? checksumReplace32Odd(sum, before, after) : checksumReplace32(sum, before, after));
}
