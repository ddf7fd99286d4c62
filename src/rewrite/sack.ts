/** HOT: shifts the edges of SACK blocks (RFC 2018 section 3) as `--tcp-sequence` shifts the numbers they refer to. */
import { seqAdd } from '../wire/seq.ts';
import {
  findTcpOption,
  rewriteTcpSackBlock,
  TcpOption,
  tcpSackBlocks,
  tcpSackLeft,
  tcpSackRight,
} from '../wire/tcpoption.ts';

/** Precondition: the whole TCP header was captured (`layers.payload >= 0`). */
export function shiftSackBlocks(view: DataView, tcp: number, shift: number): void {
  const option = findTcpOption(view, tcp, TcpOption.Sack);
  if (option < 0) return;
  const blocks = tcpSackBlocks(view, option);
  for (let b = 0; b < blocks; b++) {
    const left = seqAdd(tcpSackLeft(view, option, b), shift);
    const right = seqAdd(tcpSackRight(view, option, b), shift);
    rewriteTcpSackBlock(view, tcp, option, b, left, right);
  }
}
