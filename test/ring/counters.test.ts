import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { Command, CommandCell } from '../../src/ring/commands.ts';
import { SharedCounters } from '../../src/ring/counters.ts';

const NAMES = { rx: 0, dropFull: 1, dropBad: 2 } as const;

t.test('what one row publishes is read by name; private counts stay private', (t) => {
  const counters = new SharedCounters(NAMES, 2);
  const first = counters.row(0);
  const second = counters.row(1);
  first.add(NAMES.rx, 5);
  second.add(NAMES.rx, 2 ** 40);
  t.equal(counters.sum(NAMES.rx), 0);
  first.publish();
  second.publish();
  second.add(NAMES.dropBad, 1);
  t.equal(counters.at(0, NAMES.rx), 5);
  t.same(counters.totals(), { rx: 2 ** 40 + 5, dropFull: 0, dropBad: 0 });
  const elsewhere = new SharedCounters(NAMES, 2, counters.buffer);
  t.same(elsewhere.totals(), counters.totals());
  t.throws(() => new SharedCounters(NAMES, 3, counters.buffer));
  t.throws(() => counters.row(2));
  t.end();
});

t.test('workers count, obey and stop', async (t) => {
  const rows = 2;
  const counters = new SharedCounters(NAMES, rows);
  const commands = new CommandCell();
  const module = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const script = `
    const { workerData, parentPort } = await import('node:worker_threads');
    const { SharedCounters } = await import(${module('../../src/ring/counters.js')});
    const { CommandCell, Command } = await import(${module('../../src/ring/commands.js')});
    const row = new SharedCounters(${JSON.stringify(NAMES)}, ${rows}, workerData.counters).row(workerData.row);
    const commands = new CommandCell(workerData.commands);
    let batches = 0;
    while (commands.waitWhilePaused(10000) === Command.Run) { row.add(0, 3); row.publish(); batches++; }
    parentPort.postMessage(batches);`;
  const workers = Array.from({ length: rows }, (_, row) => {
    const workerData = { counters: counters.buffer, commands: commands.buffer, row };
    return new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`), { workerData });
  });
  t.teardown(() => Promise.all(workers.map((worker) => worker.terminate())));
  const results = workers.map((worker) => once(worker, 'message'));
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  while (counters.at(0, NAMES.rx) < 30 || counters.at(1, NAMES.rx) < 30) await sleep(5);
  commands.pause();
  t.equal(commands.command, Command.Pause);
  // Each publishes at most once more, when it gets the processor.
  let paused = -1;
  while (paused !== counters.sum(NAMES.rx)) {
    paused = counters.sum(NAMES.rx);
    await sleep(100);
  }
  await sleep(50);
  t.equal(counters.sum(NAMES.rx), paused, 'nothing moves while paused');
  commands.resume();
  while (counters.sum(NAMES.rx) === paused) await sleep(5);
  commands.pause();
  commands.stop();
  const batches = (await Promise.all(results)).map(([n]) => n as number);
  t.equal(counters.sum(NAMES.rx), (batches[0]! + batches[1]!) * 3);
  commands.resume();
  commands.pause();
  t.equal(commands.command, Command.Stop, 'stop is final');
});
