/** HOT: what the session engine tells the pairing, where there is one (`Core.pairing`). */
import { seqAdd, seqAfter, seqDelta } from '../../wire/seq.ts';
import { TcpFlag } from '../../wire/tcp.ts';
import { Clock, type Core, hasFlag } from '../core.ts';
import { Seg, SegFlag } from '../segment_pool.ts';
import { CELLS, Cell, SessionFlag, TIMES, Time } from '../session_cells.ts';
import { Header } from '../target_header.ts';
import { Mark } from './exchanges.ts';
import type { Pairing } from './pairing.ts';

/** After a silence this long no reply is under way. */
const REST_NS = 50_000_000;

/** A segment of the client is sent for the first time on its connection; what is awaited of replies still stands. */
export function pairRequest(core: Core, pairing: Pairing, s: number, seg: number): void {
  const { pool } = core;
  const seq = pool.get(seg, Seg.ClientSeq);
  const at = s * CELLS;
  const { cells } = core;
  const isn = cells[at + Cell.ClientIsn]!;
  const awaited = seqDelta(cells[at + Cell.SentAck]!, pool.get(seg, Seg.ClientAck));
  const isLate = cells[at + Cell.LateInRow]! > 0 || core.options.noWait;
  const isEarly = isLate || !pairing.isAnswered(s);
  const isWhole = !isEarly && awaited > 0 && cells[at + Cell.ReplyBytes]! >= awaited;
  const isRested = !isLate && core.clock[Clock.Now]! - core.times[s * TIMES + Time.Reply]! >= REST_NS;
  const opens = hasFlag(core, s, SessionFlag.HasIsn) && seq === (seqAdd(isn, 1) | 0);
  pairing.requestSent(
    s,
    seq,
    pool.get(seg, Seg.Length),
    pool.has(seg, SegFlag.Boundary),
    opens,
    isWhole || isRested ? Mark.Apart : isEarly ? Mark.Early : 0,
    pool.get(seg, Seg.TargetSeq),
    pool.arrivedNs[seg]!,
    core.clock[Clock.Now]!,
  );
}

/** New bytes of the target, `expected`: the sequence number that they were to begin with. */
export function pairReply(core: Core, pairing: Pairing, s: number, h: Int32Array, expected: number): void {
  const fin = (h[Header.Flags]! & TcpFlag.Fin) !== 0 ? 1 : 0;
  const fresh = ((h[Header.Seq]! + h[Header.PayloadBytes]!) | 0) - expected;
  if (h[Header.PayloadBytes] === 0 && fin === 1) return;
  const bytes = fresh | 0;
  if (bytes <= 0) {
    if (h[Header.Status]! > 0) pairing.targetStatusAgain(s, h[Header.Ack]!, h[Header.Status]!);
    return;
  }
  const at = s * CELLS;
  const { cells } = core;
  if (hasFlag(core, s, SessionFlag.HasIsn) && pairing.hasAskedNothing(s)) {
    pairing.targetGreeting(s, cells[at + Cell.ClientIsn]!, cells[at + Cell.Iss]!);
  }
  const hasHole = seqAfter(h[Header.Seq]!, expected);
  pairing.targetReply(s, h[Header.Ack]!, bytes, hasHole, h[Header.Status]!, core.clock[Clock.Replied]!);
}
