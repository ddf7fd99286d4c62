/** A capturing thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { CaptureControl } from './control.ts';
import { type CaptureMessage, describeError } from './messages.ts';
import { OpenedRun, type RunStart } from './run.ts';

function post(message: CaptureMessage): void {
  parentPort!.postMessage(message);
}

async function main(start: RunStart): Promise<void> {
  const control = new CaptureControl(start.workers, start.orders, start.counters);
  const run = new OpenedRun(start, control, true, (fault) => post({ kind: 'fault', fault }));
  post({ kind: 'opened', interfaces: run.interfaces });
  control.waitForRun();
  post({ kind: 'done', ...(await run.run()) });
}

main(workerData as RunStart).catch((error: unknown) => {
  post({ kind: 'failed', error: describeError(error) });
});
