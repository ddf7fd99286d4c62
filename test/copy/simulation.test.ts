import assert from 'node:assert/strict';
import t from 'tap';
import type { Habit } from './sim/application.ts';
import { nonZero, type Scene, Stage } from './sim/stage.ts';
import { type UploadScene, upload } from './sim/upload.ts';
import { type LinkTraits, MS } from './sim/world.ts';

const HABITS: readonly Habit[] = [
  'keep-alive',
  'post',
  'pipeline',
  'greeting',
  'half-close',
  'short',
  'stream',
  'reset',
];
const ROUGH: Partial<LinkTraits> = { loss: 0.01, duplication: 0.02, jitterNs: 3 * MS };
const SEEDS = 2;
/** One more seed, another one in each run; `TSREPLAY_SEED` gives it again. */
const CHANCE = Number(process.env['TSREPLAY_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`TSREPLAY_SEED=${CHANCE}`);
// Some seconds of computing, more beside other work.
t.setTimeout(120_000);

/** Runs a scene with several seeds; `check` sees each stage at its end. Names the seed of what fails. */
function each(scene: Omit<Scene, 'seed'>, check: (stage: Stage) => void, seeds = SEEDS): Record<string, number> {
  const sums: Record<string, number> = {};
  for (let i = 0; i <= seeds; i++) {
    const seed = i === seeds ? CHANCE : i + 1;
    const stage = new Stage({ isIpv6: seed % 3 === 0, ...scene, seed });
    try {
      stage.run();
      check(stage);
    } catch (cause) {
      throw new Error(`seed ${seed} of ${JSON.stringify(scene)}: ${JSON.stringify(nonZero(stage.engine))}`, { cause });
    }
    for (const [name, value] of Object.entries(nonZero(stage.engine))) sums[name] = (sums[name] ?? 0) + value;
  }
  return sums;
}

const all = (stage: Stage): void => stage.assertAllDelivered();

t.test('every request arrives, whole and once, at any loss in every direction', (t) => {
  for (const loss of [0, 0.001, 0.01, 0.05]) {
    for (const habit of HABITS) {
      const requests = habit === 'post' ? 2 : habit === 'short' ? 1 : 12;
      each({ habit, requests, clientLink: { loss }, targetLink: { loss }, replyLink: { loss } }, all, 4);
    }
    t.pass(`loss ${loss}: ${HABITS.length} habits, 5 seeds each`);
  }
  t.end();
});

t.test('a probe that repeats a segment which has arrived already', (t) => {
  const loss = 0.05;
  const links = { clientLink: { loss }, targetLink: { loss }, replyLink: { loss } };
  const stage = new Stage({ habit: 'post', requests: 2, ...links, seed: 1_063_720_708 });
  stage.run();
  stage.assertAllDelivered();
  t.pass('all delivered');
  t.end();
});

t.test('the last segment has arrived, one before it was sent again and has not: that one is asked for', (t) => {
  const loss = 0.05;
  const seed = 1139569491;
  const links = { clientLink: { loss }, targetLink: { loss }, replyLink: { loss } };
  all(new Stage({ isIpv6: true, habit: 'post', requests: 2, ...links, seed }).run());
  t.pass('the run that showed it');
  t.end();
});

t.test('a perfect path costs no retransmission, and requests leave from where they lay', (t) => {
  const sums = each({ habit: 'keep-alive', requests: 20 }, all);
  for (const name of [
    'RetransmittedTimeout',
    'RetransmittedFast',
    'RetransmittedProbe',
    'RetransmittedSyn',
    'RequestsLate',
  ]) {
    t.equal(sums[name], undefined, name);
  }
  t.equal(sums['PacketsInPlace'], sums['DataPackets'], 'every data packet in place');
  t.equal(sums['ResetPackets'], undefined, 'no RST');
  t.equal(sums['FinPackets'], sums['SessionsSeen'], 'a FIN for each session');
  t.end();
});

t.test('loss is mended by each of the sender’s means', (t) => {
  const loss = 0.03;
  const sums = each({ habit: 'post', requests: 2, targetLink: { loss }, replyLink: { loss } }, all);
  t.ok(sums['RetransmittedFast']! > 0, 'fast retransmit');
  const single = each({ habit: 'keep-alive', requests: 30, targetLink: { loss } }, all);
  t.ok(single['RetransmittedProbe']! > 0, 'tail-loss probe');
  const bad = each({ habit: 'keep-alive', requests: 30, targetLink: { loss: 0.2 } }, all);
  t.ok(bad['RetransmittedTimeout']! > 0, 'time-out, where the probe was lost as well');
  const noSack = { hasSack: false, hasTimestamps: false };
  const plain = each({ habit: 'post', requests: 2, targetLink: { loss }, targetTraits: noSack }, all);
  t.ok(plain['RetransmittedFast']! > 0, 'fast retransmit without SACK');
  const syn = each({ habit: 'short', requests: 1, targetLink: { loss: 0.2 }, replyLink: { loss: 0.1 } }, all);
  t.ok(syn['RetransmittedSyn']! > 0, 'SYN');
  t.end();
});

/** A gigabit's wire with a queue of 1 MB. */
const WIRE = { rate: 125_000_000, queueBytes: 1_000_000 };

/** Median time of an upload over several seeds, ms, and the counters of all. */
function uploads(
  scene: Partial<UploadScene>,
  link: Partial<LinkTraits> = {},
): { ms: number; sums: Map<string, number> } {
  const times: number[] = [];
  const sums = new Map<string, number>();
  for (let seed = 1; seed <= 3; seed++) {
    const { ns, counts } = upload({ seed, bytes: 3_000_000, targetLink: { ...WIRE, ...link }, ...scene });
    times.push(ns / MS);
    for (const [name, value] of Object.entries(counts)) sums.set(name, (sums.get(name) ?? 0) + value);
  }
  return { ms: times.sort((a, b) => a - b)[1]!, sums };
}

t.test('a backlog drains at nearly the rate of the wire, whatever is lost on it', (t) => {
  const { ms } = uploads({});
  t.comment(`3 MB without loss: ${ms.toFixed(1)} ms`);
  const within = (what: string, found: { ms: number }, factor: number): void =>
    void t.ok(found.ms <= factor * ms, `${what}: ${found.ms.toFixed(1)} ms, at most ${factor} times as long`);
  within('0.1 % lost', uploads({}, { loss: 0.001 }), 1.2);
  const lossy = uploads({}, { loss: 0.01 });
  within('1 % lost', lossy, 1.3);
  t.equal(lossy.sums.get('RetransmittedTimeout'), undefined, 'no time-out, also where what was sent again is lost');
  within('1 % of acknowledgements lost as well', uploads({ replyLink: { loss: 0.01 } }, { loss: 0.01 }), 1.4);
  within('1 % lost, without SACK', uploads({ hasSack: false }, { loss: 0.01 }), 6);
  const cut = uploads({ mtu: 700 }, { loss: 0.01 });
  t.ok(
    cut.sums.get('RetransmittedFast')! < 0.02 * cut.sums.get('DataPackets')!,
    'segments of two packets, named by halves',
  );
  const overtaken = uploads({}, { jitterNs: 100_000 });
  within('packets that overtake one another', overtaken, 1.5);
  t.ok(overtaken.sums.get('RetransmittedFast')! < 0.05 * overtaken.sums.get('DataPackets')!, 'few are sent in vain');
  const narrow = uploads({ bytes: 1_000_000 }, { rate: 12_500_000, queueBytes: 30_000 });
  within('a tenth of the rate, a queue of 20 packets', narrow, (10 / 3) * 1.3);
  t.ok(
    narrow.sums.get('RetransmittedFast')! < 0.15 * narrow.sums.get('DataPackets')!,
    'the queue is not overrun for long',
  );
  t.end();
});

t.test('a wire that is dead for a while, and a target that only seemed so', (t) => {
  const dead = uploads({ gap: [15 * MS, 115 * MS] });
  t.ok(dead.sums.get('RetransmittedTimeout')! >= 3, 'time-outs');
  t.ok(dead.ms < 500, `goes on at once: ${dead.ms.toFixed(0)} ms`);
  const wide = { queueBytes: 100_000_000 };
  const slow = uploads({ replyGap: [15 * MS, 300 * MS] }, wide);
  t.ok(slow.sums.get('RetransmittedTimeout')! >= 3, 'acknowledgements that are held back look like a dead wire');
  const again = slow.sums.get('DataPackets')! - uploads({}, wide).sums.get('DataPackets')!;
  t.ok(again < 30, `what had arrived is not sent again (${again} packets)`);
  t.end();
});

t.test('reordering, duplication, odd stacks and paths', (t) => {
  const rough = { clientLink: ROUGH, targetLink: ROUGH, replyLink: ROUGH };
  each({ habit: 'post', requests: 2, ...rough }, all);
  each({ habit: 'pipeline', requests: 80, ...rough }, all);
  t.pass('rough links');
  const bare = { hasSack: false, hasTimestamps: false, shift: undefined as never };
  each({ habit: 'post', requests: 2, targetLink: ROUGH, targetTraits: { ...bare, mss: 536 } }, all);
  each(
    {
      habit: 'post',
      requests: 2,
      targetLink: ROUGH,
      clientTraits: { ...bare, mss: 1000, extra: [34, 2, 30, 4, 1, 2] },
    },
    all,
  );
  t.pass('no options at the target; Fast Open and MPTCP of the client left out');
  let joined = 0;
  each({ habit: 'post', requests: 2, clientTraits: { mss: 16_000 } }, (stage) => {
    all(stage);
    joined += stage.joined;
  });
  t.ok(joined > 0, 'segments that follow one another leave as one packet where the device cuts it');
  each({ habit: 'post', requests: 2, clientTraits: { mss: 16_000 }, clientLink: ROUGH, targetLink: ROUGH }, all);
  t.pass('super-packets are cut to the path');
  const sums = each({ habit: 'post', requests: 2, pathMtu: 1400 }, all);
  t.ok(sums['SendTooLong']! > 0, 'EMSGSIZE lowers the segment size');
  t.end();
});

t.test('an emitter without room loses nothing', (t) => {
  for (const habit of HABITS) {
    const requests = habit === 'post' ? 1 : habit === 'short' ? 1 : 12;
    const sums = each({ habit, requests, fullShare: 0.2, targetLink: ROUGH }, all);
    assert.ok(sums['SendQueueFull']! > 0);
  }
  t.pass('every habit');
  t.end();
});

t.test('small, tiny and closed windows', (t) => {
  each({ habit: 'post', requests: 1, targetTraits: { buffer: 3000 } }, all);
  each({ habit: 'half-close', requests: 3, targetTraits: { buffer: 700 }, targetLink: ROUGH }, all);
  const closed = {
    habit: 'post',
    requests: 2,
    target: { pauseNs: 2000 * MS },
    targetTraits: { buffer: 20_000 },
  } as const;
  const sums = each(closed, all);
  t.ok(sums['WindowProbes']! > 0, 'a closed window is probed');
  each({ ...closed, targetLink: ROUGH, replyLink: ROUGH }, all);
  t.end();
});

t.test('requests wait for replies, with a deadline', (t) => {
  const keep = { habit: 'keep-alive', requests: 30 } as const;
  const ignored = each({ ...keep, target: { ignoreEvery: 10, replyDelayNs: MS } }, all);
  t.ok(ignored['RequestsLate']! > 0, 'a request behind an unanswered one is sent after the deadline');
  each({ ...keep, target: { replyDelayNs: 50 * MS } }, (stage) => {
    all(stage);
    assert.ok(Math.max(...stage.lag) < 1100 * MS, 'a slow target’s lag is bounded by the deadline');
  });
  each({ ...keep, target: { replyDelayNs: MS, replyFactor: 0.2 } }, (stage) => {
    all(stage);
    assert.ok(Math.max(...stage.lag) < 20 * MS, 'shorter replies end by silence');
  });
  const fast = each(
    { ...keep, target: { replyDelayNs: 50 * MS }, options: { noWait: true, congestionControl: false } },
    (stage) => {
      all(stage);
      assert.ok(Math.max(...stage.lag) < 5 * MS, 'without waiting there is no lag');
    },
  );
  t.equal(fast['RequestsLate'], undefined);
  const mute = { replyDelayNs: MS, ignoreEvery: 1, pushEveryNs: 0 };
  each({ habit: 'stream', requests: 200, thinkNs: 20 * MS, target: mute }, (stage) => {
    all(stage);
    const late = stage.lag.filter((ns) => ns > 500 * MS).length;
    assert.ok(late <= stage.lag.length / 3, 'a stream that is never answered stops waiting');
  });
  t.pass('slow, short, silent');
  t.end();
});

t.test('a session that is far behind goes some requests ahead of the replies', (t) => {
  const behind = {
    habit: 'keep-alive',
    requests: 400,
    clients: 1,
    thinkNs: 0,
    target: { replyDelayNs: 8 * MS },
  } as const;
  const longest = (replyDeadlineNs: number): number => {
    let longestNs = 0;
    const sums = each({ ...behind, options: { replyDeadlineNs } }, (stage) => {
      all(stage);
      longestNs = Math.max(longestNs, ...stage.lag);
      // Four of replies as long as the last; these are of any length.
      assert.ok(stage.unansweredMax <= 20, `a few requests, not ${stage.unansweredMax}`);
    });
    t.equal(sums['RequestsLate'], undefined, 'none had to wait for the deadline');
    return longestNs;
  };
  const usual = longest(1_000 * MS);
  const patient = longest(60_000 * MS);
  t.ok(usual < patient / 2, `it catches up: ${usual / MS} ms behind at most, else ${patient / MS} ms`);
  const reset = each({ ...behind, habit: 'reset', target: { replyDelayNs: 12 * MS } }, (stage) => {
    assert.equal(stage.replies, stage.sent.size, 'the client resets when it has every reply: so has the target');
  });
  t.ok(reset['RequestsAhead']! > 0, 'a reset does not overtake what is ahead');
  for (const replyFactor of [0.9, 1.1]) {
    each({ ...behind, target: { replyDelayNs: 8 * MS, replyFactor } }, (stage) => {
      all(stage);
      assert.ok(Math.max(...stage.lag) < patient / 2, 'also where replies are of other lengths');
    });
  }
  const dialogue = each({ ...behind, requests: 30, target: { replyDelayNs: 50 * MS } }, all);
  t.equal(dialogue['RequestsAhead'], undefined, 'a dialogue with a slow target keeps its turns');
  t.end();
});

t.test('a target that closes, refuses, vanishes', (t) => {
  const closing = { habit: 'keep-alive', requests: 23, target: { replyDelayNs: MS, closeEvery: 5 } } as const;
  const sums = each(closing, all);
  t.ok(sums['ConnectionsRenewed']! > 0, 'sessions outlive their connections');
  const others = sums['ConnectionsOpened']! - sums['SessionsSeen']!;
  t.equal(sums['ConnectionsRenewed'], others, 'each connection but a session’s first is counted once as renewed');
  each({ ...closing, targetLink: ROUGH, replyLink: ROUGH }, (stage) => {
    assert.ok(stage.delivered.size >= 0.97 * stage.sent.size, 'also over bad links');
    for (const times of stage.delivered.values()) assert.ok(times <= 2);
  });
  const from = 1000 * MS;
  const to = 2000 * MS;
  each({ habit: 'keep-alive', requests: 200, thinkNs: 20 * MS, outage: [from, to] }, (stage) => {
    for (const [id, at] of stage.sentAt) {
      const isOutside = at < from - 50 * MS || at > to + 50 * MS;
      if (isOutside) assert.equal(stage.delivered.get(id), 1, `request ${id}, sent outside the outage, arrives`);
    }
  });
  const dead = each({ habit: 'keep-alive', requests: 5, outage: [0, Number.MAX_VALUE] }, (stage) => {
    assert.equal(stage.delivered.size, 0);
  });
  t.ok(dead['SkippedRefused']! > 0, 'refusals are counted');
  const silent = each({ habit: 'keep-alive', requests: 5, targetLink: { loss: 1 } }, () => {});
  t.ok(silent['TargetSilent']! > 0, 'silence is counted');
  t.end();
});

t.test('sessions that are older than the engine', (t) => {
  const late = { habit: 'keep-alive', requests: 40, startNs: 60 * MS } as const;
  each(late, (stage) => {
    const missing = [...stage.sent].filter((id) => !stage.delivered.has(id));
    const after = missing.filter((id) => stage.sentAt.get(id)! >= 60 * MS);
    // Of each client at most the request under way and the one whose beginning nobody can know.
    assert.ok(after.length <= 3, `from the next request on everything arrives (${after.length} missing)`);
  });
  const post = each({ habit: 'post', requests: 6, startNs: 60 * MS }, (stage) => {
    assert.ok(stage.delivered.size >= 9, 'the rest of an upload is passed over, the next one is not');
  });
  t.ok(post['SkippedBytes']! > 0);
  each({ ...late, options: { onlyNew: true } }, (stage) => assert.equal(stage.emitted, 0, 'onlyNew sends nothing'));
  t.end();
});

t.test('ports used again', (t) => {
  each({ habit: 'short', requests: 1, reuse: 6 }, all);
  each({ habit: 'short', requests: 1, reuse: 6, targetLink: ROUGH, replyLink: ROUGH }, all);
  each({ habit: 'keep-alive', requests: 5, reuse: 4, target: { replyDelayNs: 30 * MS } }, all);
  t.pass('each incarnation is delivered after the one before');
  t.end();
});

t.test('packets that the capture lost never become wrong bytes', (t) => {
  for (const habit of ['keep-alive', 'post', 'stream'] as const) {
    const requests = habit === 'post' ? 3 : 40;
    const sums = each({ habit, requests, captureLoss: 0.02 }, (stage) => {
      for (const id of stage.delivered.keys()) assert.ok(stage.sent.has(id));
    });
    t.ok(sums['GapsAbandoned']! > 0, `${habit}: gaps are given up and counted`);
  }
  t.end();
});

t.test('limits: what does not fit is left out by the policy, and counted', (t) => {
  const upload = {
    habit: 'post',
    requests: 3,
    targetTraits: { buffer: 4000 },
    target: { replyDelayNs: MS, pauseNs: 500 * MS },
  } as const;
  for (const whenFull of ['hold', 'skip', 'drop'] as const) {
    const sums = each({ ...upload, options: { sessionBytes: 65_536, whenFull } }, () => {}, 3);
    t.ok(sums['SessionFull']! > 0, `${whenFull}: full`);
    if (whenFull === 'drop') t.ok(sums['DroppedByPolicy']! > 0);
  }
  const lagging = { ...upload, clients: 1, requests: 8, options: { memoryBytes: 2_800_000, sessionBytes: 0 } };
  const alone = each(lagging, all, 3);
  t.equal(alone['SessionFull'], undefined, 'a session alone has three quarters of all memory');
  const crowd = { ...lagging, clients: 6, requests: 12, targetTraits: { buffer: 2000 } };
  const crowded = each(crowd, (stage) => assert.ok(stage.engine.statistics().PoolFull === 0, 'some is always left'), 3);
  t.ok(crowded['SessionFull']! > 0, 'among others it has less');
  const slow = { habit: 'keep-alive', requests: 100, thinkNs: MS, target: { replyDelayNs: 40 * MS } } as const;
  each({ ...slow, options: { sessionBytes: 16_384, whenFull: 'skip' } }, (stage) => {
    assert.ok(stage.delivered.size > 0.1 * stage.sent.size && stage.delivered.size < stage.sent.size);
    assert.ok(Math.max(...stage.lag) < 500 * MS, 'skip bounds the lag');
    assert.equal(stage.connections, 3, 'on the same connections');
  });
  const pool = each(
    { habit: 'post', requests: 3, clients: 6, options: { memoryBytes: 100_000 }, targetTraits: { buffer: 4000 } },
    () => {},
    3,
  );
  t.ok(pool['PoolFull']! > 0, 'the pool is bounded');
  const shed = each({ habit: 'keep-alive', clients: 8, options: { maxSessions: 4 } }, (stage) => {
    assert.ok(stage.delivered.size >= 40, 'four sessions are copied whole');
  });
  t.ok(shed['ShedTableFull']! > 0);
  t.end();
});

t.test('closeAll ends every session in order', (t) => {
  each({ habit: 'keep-alive', requests: 100 }, () => {}, 0);
  for (let seed = 1; seed <= SEEDS; seed++) {
    const stage = new Stage({ seed, habit: 'keep-alive', requests: 100, targetLink: ROUGH });
    let open = 0;
    stage.world.at(200 * MS, () => {
      open = stage.engine.sessionsOpen;
      stage.engine.closeAll();
    });
    stage.run();
    assert.ok(open > 0, 'sessions were open');
    assert.equal(stage.resets, 0, 'with FINs');
    assert.ok(stage.fins >= open);
  }
  t.pass(`${SEEDS} seeds`);
  t.end();
});
