/**
 * The applications of the simulation: requests that carry their number and a pattern, so that a server notices every
 * byte that is wrong, and clients of many habits.
 */
import assert from 'node:assert/strict';
import type { Endpoint } from './endpoint.ts';
import type { World } from './world.ts';

const MAGIC = 0x5ca1ab1e;
const HEADER = 16;

export function request(id: number, payloadBytes: number, replyBytes: number): Uint8Array {
  const bytes = new Uint8Array(HEADER + payloadBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint32(4, id);
  view.setUint32(8, payloadBytes);
  view.setUint32(12, replyBytes);
  for (let i = 0; i < payloadBytes; i++) bytes[HEADER + i] = (id * 31 + i * 7) & 255;
  return bytes;
}

export interface ServerHabits {
  readonly greetingBytes?: number;
  readonly replyDelayNs: number;
  /** Every nth request gets no reply. */
  readonly ignoreEvery?: number;
  /** Closes behind every nth reply. */
  readonly closeEvery?: number;
  /** Replies so many times as long. */
  readonly replyFactor?: number;
  /** Sends something by itself every so often. */
  readonly pushEveryNs?: number;
  /** Replies when the client has closed its side. */
  readonly repliesAtEnd?: boolean;
  /** Stops reading for so long after its first bytes. */
  readonly pauseNs?: number;
  readonly onRequest?: (id: number) => void;
  readonly onReply?: () => void;
}

/** A server's side of one connection. */
export function serve(world: World, end: Endpoint, habits: ServerHabits): void {
  let [served, replies, isOver] = [0, 0, false];
  let pending = new Uint8Array(0);
  const reply = (bytes: number): void => {
    world.after(habits.replyDelayNs, () => {
      if (isOver || end.state === 'dead') return;
      habits.onReply?.();
      end.write(new Uint8Array(Math.ceil(bytes * (habits.replyFactor ?? 1))));
      replies++;
      if (habits.closeEvery && replies % habits.closeEvery === 0) {
        isOver = true;
        end.close();
      }
    });
  };
  if (habits.greetingBytes) end.onOpen = () => end.write(new Uint8Array(habits.greetingBytes!));
  if (habits.pushEveryNs) {
    const push = (): void => {
      if (end.state === 'dead' || isOver) return;
      end.write(new Uint8Array(100));
      world.after(habits.pushEveryNs!, push);
    };
    const before = end.onOpen;
    end.onOpen = () => {
      before();
      world.after(habits.pushEveryNs!, push);
    };
  }
  let total = 0;
  end.onData = (bytes) => {
    if (isOver && habits.closeEvery) {
      // The application has gone: its kernel answers with a RST.
      end.abort();
      return;
    }
    if (habits.pauseNs && total === 0) {
      end.isPaused = true;
      world.after(habits.pauseNs, () => end.resume());
    }
    total += bytes.length;
    const joined = new Uint8Array(pending.length + bytes.length);
    joined.set(pending);
    joined.set(bytes, pending.length);
    pending = joined;
    while (pending.length >= HEADER) {
      const view = new DataView(pending.buffer, pending.byteOffset, pending.length);
      assert.equal(view.getUint32(0), MAGIC, 'a request begins where the one before has ended');
      const length = HEADER + view.getUint32(8);
      if (pending.length < length) break;
      const id = view.getUint32(4);
      for (let i = HEADER; i < length; i++) {
        if (pending[i] !== ((id * 31 + (i - HEADER) * 7) & 255)) assert.fail(`request ${id}: byte ${i} is wrong`);
      }
      habits.onRequest?.(id);
      served++;
      const replyBytes = view.getUint32(12);
      const isIgnored = habits.ignoreEvery && served % habits.ignoreEvery === 0;
      if (!isIgnored && !habits.repliesAtEnd && replyBytes > 0) reply(replyBytes);
      pending = pending.slice(length);
    }
  };
  end.onPeerFin = () => {
    if (habits.repliesAtEnd) end.write(new Uint8Array(3000));
    world.after(habits.replyDelayNs, () => {
      isOver = true;
      end.close();
    });
  };
}

export type Habit = 'keep-alive' | 'post' | 'pipeline' | 'greeting' | 'half-close' | 'short' | 'stream' | 'reset';

export interface Script {
  readonly habit: Habit;
  readonly requests: number;
  readonly firstId: number;
  readonly thinkNs: number;
  readonly onSent: (id: number) => void;
  readonly onEnd: () => void;
}

/** A client's side of one connection. */
export function act(world: World, end: Endpoint, script: Script): void {
  let id = script.firstId;
  const last = script.firstId + script.requests;
  let awaited = script.habit === 'greeting' ? 32 : 0;
  let isEnded = false;
  const post = script.habit === 'post';
  const replyBytes = (): number => 50 + world.rng.below(script.habit === 'keep-alive' ? 6000 : 400);
  const sendOne = (): number => {
    const bytes = post ? 200_000 : script.habit === 'half-close' ? 5000 : 20 + world.rng.below(700);
    const reply = replyBytes();
    script.onSent(id);
    end.write(request(id++, bytes, script.habit === 'half-close' ? 0 : reply));
    return reply;
  };
  const finish = (): void => {
    if (isEnded) return;
    isEnded = true;
    if (script.habit === 'reset') end.abort();
    else end.close();
  };
  const step = (): void => {
    if (end.state !== 'open') return;
    if (id >= last) {
      finish();
      return;
    }
    if (script.habit === 'half-close') {
      while (id < last) sendOne();
      finish();
      return;
    }
    const batch = script.habit === 'pipeline' ? Math.min(8, last - id) : 1;
    for (let i = 0; i < batch; i++) awaited += sendOne();
    if (script.habit === 'stream') {
      awaited = 0;
      world.after(script.thinkNs, step);
    }
  };
  end.onOpen = () => {
    if (awaited === 0) world.after(world.rng.below(2_000_000), step);
  };
  end.onData = (bytes) => {
    if (script.habit === 'stream' || awaited <= 0) return;
    awaited -= bytes.length;
    if (awaited <= 0) {
      awaited = 0;
      world.after(script.thinkNs, step);
    }
  };
  end.onPeerFin = finish;
  end.onDead = script.onEnd;
}
