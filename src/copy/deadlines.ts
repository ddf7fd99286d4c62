/** HOT: what happens when a session's deadlines pass. One wheel timer per session stands for all of them. */
import { abandonGap, wake } from './client_side.ts';
import { Clock, type Core, hasFlag, setDeadline } from './core.ts';
import { Count } from './counts.ts';
import { endSession, finishClient, goIdle, loseConnection, stateOf } from './lifecycle.ts';
import { sendAck, sendSyn } from './packet_builder.ts';
import { armRetransmission, onPersist, onTailProbe, onTimeout } from './recovery.ts';
import {
  CELLS,
  Cell,
  SessionFlag,
  TIME_FIRST_DEADLINE,
  TIME_LAST_DEADLINE,
  TIMES,
  Time,
  TimerMode,
} from './session_cells.ts';
import { isConnected, State } from './states.ts';

/** Fires every deadline of a session that has passed and sets the wheel to the next one. */
export function fireDeadlines(core: Core, s: number): void {
  const { times } = core;
  const t = s * TIMES;
  const now = core.clock[Clock.Now]!;
  if (stateOf(core, s) === State.Free) return;
  times[t + Time.Wheel] = Number.POSITIVE_INFINITY;
  for (let which = TIME_FIRST_DEADLINE; which <= TIME_LAST_DEADLINE; which++) {
    if (times[t + which]! > now) continue;
    times[t + which] = Number.POSITIVE_INFINITY;
    fire(core, s, which);
    if (stateOf(core, s) === State.Free) return;
  }
  let next = Number.POSITIVE_INFINITY;
  for (let which = TIME_FIRST_DEADLINE; which <= TIME_LAST_DEADLINE; which++) {
    if (times[t + which]! < next) next = times[t + which]!;
  }
  if (next >= times[t + Time.Wheel]!) return;
  times[t + Time.Wheel] = next;
  core.wheel.set(s, next);
}

function fire(core: Core, s: number, which: number): void {
  switch (which) {
    case Time.Retransmit:
      fireRetransmit(core, s);
      break;
    case Time.Ack:
      if (isConnected(stateOf(core, s)) && core.cells[s * CELLS + Cell.Unacknowledged]! > 0 && !sendAck(core, s)) {
        setDeadline(core, s, Time.Ack, core.clock[Clock.Now]! + core.options.ackDelayNs);
      }
      break;
    case Time.Pace:
      wake(core, s);
      break;
    case Time.Gap:
      abandonGap(core, s);
      break;
    default:
      fireLife(core, s);
  }
}

function fireRetransmit(core: Core, s: number): void {
  const { cells, times } = core;
  const now = core.clock[Clock.Now]!;
  const mode = cells[s * CELLS + Cell.TimerMode];
  if (mode === TimerMode.Syn) {
    fireSyn(core, s);
    return;
  }
  if (!isConnected(stateOf(core, s)) || mode === TimerMode.None) return;
  if (now - times[s * TIMES + Time.Progress]! >= core.options.silentNs && isWaitedFor(core, s)) {
    core.bump(Count.TargetSilent);
    loseConnection(core, s, Count.SkippedSilent);
    return;
  }
  if (mode === TimerMode.TailProbe) onTailProbe(core, s);
  else if (mode === TimerMode.Persist) onPersist(core, s);
  else onTimeout(core, s);
  armIfNone(core, s);
}

/** The oldest byte in flight was not sent just now, after a long rest. */
function isWaitedFor(core: Core, s: number): boolean {
  return core.cells[s * CELLS + Cell.Backoff]! >= 3;
}

/** The emitter may have had no room: time goes on all the same. */
function armIfNone(core: Core, s: number): void {
  if (core.times[s * TIMES + Time.Retransmit] === Number.POSITIVE_INFINITY) armRetransmission(core, s, true);
}

function fireSyn(core: Core, s: number): void {
  const { cells } = core;
  const at = s * CELLS;
  if (stateOf(core, s) !== State.SynSent) return;
  const tries = cells[at + Cell.Backoff]! + 1;
  if (tries >= core.options.synTries) {
    core.bump(Count.TargetSilent);
    loseConnection(core, s, Count.SkippedSilent);
    return;
  }
  cells[at + Cell.Backoff] = tries;
  if (sendSyn(core, s)) core.bump(Count.RetransmittedSyn);
  const wait = Math.min(core.options.rtoMaxNs, core.options.rtoInitialNs * 2 ** tries);
  setDeadline(core, s, Time.Retransmit, core.clock[Clock.Now]! + wait);
}

/** The longest deadline: of an idle client, of a close that is not answered, of the time after the end. */
function fireLife(core: Core, s: number): void {
  const { options, times } = core;
  const t = s * TIMES;
  const now = core.clock[Clock.Now]!;
  const state = stateOf(core, s);
  if (state === State.Linger) {
    endSession(core, s);
    return;
  }
  if (state === State.FinSent || state === State.LastAck) {
    if (hasFlag(core, s, SessionFlag.Renew)) {
      goIdle(core, s);
      return;
    }
    const heard = Math.max(times[t + Time.Reply]!, times[t + Time.Progress]!, times[t + Time.Client]!);
    if (now - heard >= options.finWaitNs) {
      core.bump(Count.EndedFinWait);
      endSession(core, s);
    } else setDeadline(core, s, Time.Life, heard + options.finWaitNs);
    return;
  }
  const quietUntil = times[t + Time.Client]! + options.idleNs;
  if (quietUntil > now) {
    setDeadline(core, s, Time.Life, quietUntil);
    return;
  }
  core.bump(Count.EndedIdle);
  setDeadline(core, s, Time.Life, now + options.idleNs);
  if (hasFlag(core, s, SessionFlag.ClientFin | SessionFlag.ClientReset)) endSession(core, s);
  else finishClient(core, s);
  if (stateOf(core, s) !== State.Free) wake(core, s);
}
